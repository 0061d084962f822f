"""What is kept of each document."""
