"""How often each language is seen: weights from how many sequences each has.

A mixing strategy is a function from ``{language: sequences}`` to ``{language: weight}``; a language that it leaves
out or gives no weight is not trained on. Ours take the settings ``pretrain.data`` besides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import XlmrError
from pipeline.plug_ins import calling
from pretrain.choices import MIXING
from pretrain.settings import DataSettings

Mixing = Callable[[Mapping[str, int]], Mapping[str, float]]


def by_alpha(available: Mapping[str, int], data: DataSettings) -> dict[str, float]:
    """P ∝ (n/N)^alpha (Conneau and Lample 2019, section 3.1; fairseq's ResamplingDataset)."""
    total = sum(available.values())
    return {language: float((count / total) ** data.alpha) for language, count in available.items()}


def by_weights(available: Mapping[str, int], data: DataSettings) -> dict[str, float]:
    """The weights of ``data.weights``. Errors: XlmrError for a language that has no sequences."""
    if missing := sorted(data.weights.keys() - available.keys()):
        raise XlmrError(
            f"pretrain.data.weights names {', '.join(missing)}, of which there are no training sequences",
            f"there are {', '.join(sorted(available))}",
        )
    return dict(data.weights)


def mixing_of(data: DataSettings) -> Mixing:
    """The strategy that the settings choose."""
    strategy = MIXING.load(data.mixing)
    own = MIXING.is_own(data.mixing)

    def weights(available: Mapping[str, int]) -> Mapping[str, float]:
        with calling(MIXING.import_string(data.mixing)):
            found: Mapping[str, float] = strategy(available, data) if own else strategy(dict(available))
        return checked(found, available, data.mixing)

    return weights


def checked(weights: Any, available: Mapping[str, int], name: str) -> Mapping[str, float]:
    """The same. Errors: XlmrError for what are no weights of these languages."""
    if not isinstance(weights, Mapping) or not weights.keys() <= available.keys():
        raise XlmrError(f"pretrain.data.mixing: {name} gives no weights of languages", "return {language: weight}")
    if not all(np.isfinite(one) and one >= 0 for one in weights.values()) or not sum(weights.values()):
        raise XlmrError(
            f"pretrain.data.mixing: {name} gives weights that are no shares", "give numbers of 0 or more, one above 0"
        )
    return weights


def epoch_shares(available: NDArray[np.int64], weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many sequences of each language an epoch has, about as many in all as there are; 1 at least of a weight."""
    shares = np.rint(available.sum() * weights / weights.sum()).astype(np.int64)
    return np.maximum(shares, weights > 0)
