"""The tokenizer package: a SentencePiece vocabulary out of the corpus, and the corpus as samples of its pieces.

corpus.regroup -> sample (training text) -> train (the model) -> encode (samples of pieces) -> pretraining.
"""
