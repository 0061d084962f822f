"""What a training takes, counted before anything is bought: operations, memory, days. Light: no torch."""
