"""Training an identifier of our own on labelled text."""
