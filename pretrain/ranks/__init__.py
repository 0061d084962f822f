"""Several processes as one run: how they are started, what they tell each other, how they stop together."""
