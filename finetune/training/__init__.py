"""From examples to results: rows of tokens, the loop, and every run of a comparison with its baselines."""
