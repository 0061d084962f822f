"""Figures of answers: accuracy and macro-F1 of a group of texts, languages below another identifier, reliability."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Booleans = npt.NDArray[np.bool_]

SURE = 0.9
BINS = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.001)
"""Edges of the scores whose answers are counted together."""


def accuracy(truth: Sequence[str], said: Sequence[str]) -> float:
    """The share of right answers."""
    return sum(a == b for a, b in zip(truth, said, strict=True)) / max(len(truth), 1)


def macro_f1(truth: Sequence[str], said: Sequence[str]) -> float:
    """The mean of F1 over the languages of ``truth``."""
    texts, answers = Counter(truth), Counter(said)
    right = Counter(a for a, b in zip(truth, said, strict=True) if a == b)
    return sum(2 * right[code] / (texts[code] + answers[code]) for code in texts) / max(len(texts), 1)


def recall(truth: Sequence[str], said: Sequence[str]) -> dict[str, float]:
    """The share of each language's texts that are right."""
    texts = Counter(truth)
    right = Counter(a for a, b in zip(truth, said, strict=True) if a == b)
    return {code: right[code] / number for code, number in sorted(texts.items())}


def reliability(right: Booleans, scores: Sequence[float]) -> list[tuple[int, float | None]]:
    """For each bin of scores: how many texts, and the share that is right (None of no text)."""
    places = np.digitize(np.asarray(scores, np.float64).round(2), BINS) - 1
    groups = [right[places == place] for place in range(len(BINS) - 1)]
    return [(len(group), float(group.mean()) if len(group) else None) for group in groups]


def sure_and_right(right: Booleans, scores: Sequence[float]) -> tuple[float, float | None]:
    """The share of texts with a score of SURE or more, and the share of these that is right."""
    sure = np.asarray(scores, np.float64).round(2) >= SURE
    return float(sure.mean()) if len(sure) else 0.0, float(right[sure].mean()) if sure.any() else None
