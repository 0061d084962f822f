"""Probabilities of labels and tags, from the scores of a model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from finetune.heads.encoding import Encoded
from finetune.heads.losses import Scores

DIGITS = 4


def softmax(scores: Scores) -> Scores:
    """Over the last axis."""
    likely: Scores = np.exp(scores - scores.max(-1, keepdims=True))
    return likely / likely.sum(-1, keepdims=True)


def label_probabilities(scores: Scores, labels: Sequence[str]) -> list[dict[str, float]]:
    """Of each row, label -> probability; ``scores`` are [rows, labels]."""
    return [
        {label: round(float(value), DIGITS) for label, value in zip(labels, row, strict=True)}
        for row in softmax(scores)
    ]


def word_probabilities(scores: Scores, encoded: Encoded, counts: Sequence[int]) -> list[list[float | None]]:
    """Of each word, the probability of its likeliest tag; None for a word without tokens.

    ``scores`` [tokens, labels] lie like ``encoded.tokens``; ``counts`` are words.
    """
    found: list[list[float | None]] = [[None] * count for count in counts]
    best = softmax(scores).max(1)
    example = np.repeat(encoded.examples, encoded.lengths)
    for token in np.flatnonzero(encoded.places >= 0):
        found[example[token]][encoded.places[token]] = round(float(best[token]), DIGITS)
    return found
