"""Scores of predictions, by scikit-learn; classes are numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score

Classes = NDArray[np.int64]


def score(gold: Classes, predicted: Classes) -> dict[str, float]:
    """``accuracy``, and ``macro_f1``: the plain mean of F1 over the classes that ``gold`` has."""
    present = np.unique(gold)
    return {
        "accuracy": float(accuracy_score(gold, predicted)),
        "macro_f1": float(f1_score(gold, predicted, labels=present, average="macro", zero_division=0.0)),
    }


def mean(values: list[float]) -> float:
    """Plain mean."""
    return float(np.mean(values))


def deviation(values: list[float]) -> float:
    """Standard deviation of a sample (n − 1); 0 for a single value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
