"""Means and deviations over seeds and languages."""

from __future__ import annotations

import numpy as np


def mean(values: list[float]) -> float:
    """Plain mean."""
    return float(np.mean(values))


def deviation(values: list[float]) -> float:
    """Standard deviation of a sample (n − 1); 0 for a single value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
