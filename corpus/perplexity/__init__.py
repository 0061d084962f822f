"""How likely a text is under a language's model: training the models, scoring, and the cut-offs of the buckets."""
