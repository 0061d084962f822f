"""What the characters of a text tell without a model: its script, its letters, codes that a model cannot split."""
