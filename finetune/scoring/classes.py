"""Scores of classes and numbers, by scikit-learn and SciPy, in percent: XNLI's, GLUE's and the embedded task's."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Labels = Sequence[str] | Sequence[int] | NDArray[np.int64]
Numbers = Sequence[float] | NDArray[np.floating]


def accuracy(gold: Labels, predicted: Labels) -> float:
    """Share of examples whose class is right. Errors: ValueError for different lengths or nothing at all."""
    first, second = _pair(gold, predicted)
    return 100.0 * float(np.mean(first == second))


def f1(gold: Labels, predicted: Labels, positive: str | int = 1) -> float:
    """F1 of one class, as GLUE scores MRPC and QQP; 0 where it is neither a right answer nor a prediction."""
    from sklearn.metrics import f1_score

    first, second = _pair(gold, predicted)
    return 100.0 * float(f1_score(first == positive, second == positive, zero_division=0.0))


def macro_f1(gold: Labels, predicted: Labels) -> float:
    """The plain mean of F1 over the classes that ``gold`` has."""
    from sklearn.metrics import f1_score

    first, second = _pair(gold, predicted)
    return 100.0 * float(f1_score(first, second, labels=np.unique(first), average="macro", zero_division=0.0))


def pearson(gold: Numbers, predicted: Numbers) -> float:
    """Correlation of the numbers (STS-B), −100 to 100; 0 where either does not vary, for then there is none."""
    return _correlation("pearsonr", gold, predicted)


def spearman(gold: Numbers, predicted: Numbers) -> float:
    """Correlation of the ranks (STS-B), −100 to 100, ties by their mean rank; 0 where either does not vary."""
    return _correlation("spearmanr", gold, predicted)


def _correlation(name: str, gold: Numbers, predicted: Numbers) -> float:
    from scipy import stats

    first, second = _pair(gold, predicted)
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "nearly constant": the number is what SciPy gives
        found = float(getattr(stats, name)(first, second).statistic)
    return 100.0 * found if np.isfinite(found) else 0.0


def _pair(gold: Labels | Numbers, predicted: Labels | Numbers) -> tuple[NDArray, NDArray]:
    first, second = np.asarray(gold), np.asarray(predicted)
    if len(first) != len(second) or not len(first):
        raise ValueError(f"{len(first)} right and {len(second)} predicted values")
    return first, second
