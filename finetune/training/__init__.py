"""From examples to results: rows of pieces, the loop, and every run of a comparison with its baselines."""
