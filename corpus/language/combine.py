"""Combines two identifiers, of which each knows languages that the other does not, into one.

The labels that an identifier predicts for a text are evidence for a language, as far as it predicts the same labels for
other texts in that language. These are a row of its *confusion matrix*: the mean of its probabilities over labelled
text in the language. For Zulu, which lid.176 does not know, it may predict Swahili or English; for Indonesian, ours may
predict Malay. With B the probabilities of the first and H its confusion matrix, Q and G ours,

    P(language) ∝ (Σ_label B(label) · H(label | language))^w · (Σ_label Q(label) · G(label | language))^v

The confusion matrices and both weights are learnt from labelled text that ours was not trained on, the weights by least
log loss, every language counting the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

PRIOR_TEXTS = 2.0
"""How many texts the prior of a confusion row counts as."""
PRIOR_ITSELF = 0.95
"""The prior probability of its own label, for a language that the identifier knows; the rest is spread evenly."""
LEAST_PROBABILITY = 0.005
"""Smaller probabilities of a confusion row are not written to the card; they are spread evenly."""
_LEAST = 1e-6

_WEIGHTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0)


@dataclass(frozen=True)
class Combination:
    """Two identifiers as one: ``codes`` are the labels that it predicts, the others those of each one; sorted."""

    codes: list[str]
    base_codes: list[str]
    own_codes: list[str]
    base_confusion: Floats  # [codes, base_codes]
    own_confusion: Floats  # [codes, own_codes]
    base_weight: float
    own_weight: float

    def probabilities(self, base: Floats, own: Floats) -> Floats:
        """[texts, base_codes] and [texts, own_codes] to [texts, codes]."""
        return _mixed(*self.evidence(base, own), *self.weights)

    def evidence(self, base: Floats, own: Floats) -> tuple[Floats, Floats]:
        """The log of each identifier's evidence for each language: twice [texts, codes]."""
        return _evidence(base, self.base_confusion), _evidence(own, self.own_confusion)

    @property
    def weights(self) -> tuple[float, float]:
        """How much each of the two counts."""
        return self.base_weight, self.own_weight

    def to_card(self) -> dict[str, Any]:
        """As plain values. Small probabilities are left out: ``from_card`` spreads what is missing evenly."""
        return {
            "base_codes": self.base_codes,
            "base_weight": self.base_weight,
            "own_weight": self.own_weight,
            "base_confusion": _named(self.codes, self.base_codes, self.base_confusion),
            "own_confusion": _named(self.codes, self.own_codes, self.own_confusion),
        }

    @classmethod
    def from_card(cls, card: Mapping[str, Any], own_codes: Sequence[str]) -> Combination:
        """The other way round."""
        codes, base_codes = sorted(card["base_confusion"]), card["base_codes"]
        base_confusion = _table(codes, base_codes, card["base_confusion"])
        own_confusion = _table(codes, own_codes, card["own_confusion"])
        weights = card["base_weight"], card["own_weight"]
        return cls(codes, base_codes, list(own_codes), base_confusion, own_confusion, *weights)


def learn(
    base_codes: Sequence[str], own_codes: Sequence[str], truth: Sequence[str], base: Floats, own: Floats
) -> Combination:
    """Learn the weights, by confusion rows of one half of the labelled texts on the other half, then the rows of all.

    ``truth`` names each text's language; ``base`` and ``own`` are the probabilities that the two give.
    """
    codes = sorted({*base_codes, *own_codes})
    known = np.isin(truth, codes)
    places = np.searchsorted(codes, np.asarray(truth)[known])
    base, own = base[known], own[known]
    first = np.arange(len(places)) % 2 == 0
    evidence = [
        _evidence(probabilities[~first], _confusion(codes, names, places[first], probabilities[first]))
        for names, probabilities in ((base_codes, base), (own_codes, own))
    ]
    weights = _best_weights(evidence[0], evidence[1], places[~first])
    confusion = [
        _confusion(codes, names, places, probabilities)
        for names, probabilities in ((base_codes, base), (own_codes, own))
    ]
    return Combination(codes, list(base_codes), list(own_codes), confusion[0], confusion[1], *weights)


def _best_weights(base: Floats, own: Floats, places: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Those of least log loss, the mean over languages of the mean over their texts."""
    shares = (1 / np.bincount(places).clip(1))[places]
    here = np.arange(len(places))

    def loss(weights: tuple[float, float]) -> float:
        return float(-(shares * np.log(_mixed(base, own, *weights)[here, places] + _LEAST)).sum())

    return min(((w, v) for w in _WEIGHTS for v in _WEIGHTS), key=loss)


def _evidence(probabilities: Floats, confusion: Floats) -> Floats:
    """The log of each language's evidence: [texts, codes]."""
    return np.log(probabilities.astype(np.float32) @ confusion.T + np.float32(_LEAST))


def _mixed(base: Floats, own: Floats, base_weight: float, own_weight: float) -> Floats:
    logs = np.float32(base_weight) * base + np.float32(own_weight) * own
    likely = np.exp(logs - logs.max(1, keepdims=True, initial=-np.inf))
    return likely / likely.sum(1, keepdims=True)


def _confusion(
    codes: Sequence[str], names: Sequence[str], places: npt.NDArray[np.int64], probabilities: Floats
) -> Floats:
    """[codes, names]: the mean of the probabilities of texts in each language, and of a prior."""
    total = np.full((len(codes), len(names)), PRIOR_TEXTS / len(names))
    itself = np.searchsorted(codes, names)
    total[itself] *= 1 - PRIOR_ITSELF
    total[itself, np.arange(len(names))] += PRIOR_TEXTS * PRIOR_ITSELF
    np.add.at(total, places, probabilities)
    return (total / total.sum(1, keepdims=True)).astype(np.float32)


def _named(codes: Sequence[str], names: Sequence[str], confusion: Floats) -> dict[str, dict[str, float]]:
    return {
        code: {name: round(value, 3) for name, value in zip(names, row, strict=True) if value >= LEAST_PROBABILITY}
        for code, row in zip(codes, confusion.tolist(), strict=True)
    }


def _table(codes: Sequence[str], names: Sequence[str], confusion: Mapping[str, Mapping[str, float]]) -> Floats:
    place = {name: i for i, name in enumerate(names)}
    table = np.zeros((len(codes), len(names)), np.float32)
    for row, code in zip(table, codes, strict=True):
        for label, value in confusion[code].items():
            row[place[label]] = value
    return table + (1 - table.sum(1, keepdims=True)).clip(min=0) / len(names)
