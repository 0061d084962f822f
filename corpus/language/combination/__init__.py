"""Models combined into one: the rule, what it learns, and the models that it asks."""
