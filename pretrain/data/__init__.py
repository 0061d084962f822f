"""Sequences of tokens -> masked batches: what is read, in which order, and what the model has to guess."""
