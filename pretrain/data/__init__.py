"""Samples of pieces -> masked batches: what is read, in which order, and what the model has to guess."""
