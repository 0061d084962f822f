"""Combines identifiers, of which each knows languages that the others do not, into one.

The labels that an identifier predicts for a text are evidence for a language, as far as it predicts the same labels for
other texts in that language. These are a row of its *confusion matrix*: the mean of its probabilities over labelled
text in the language. For Zulu, which lid.176 does not know, it may predict Swahili or English; for Indonesian, ours may
predict Malay. With B_k the probabilities of identifier k, H_k its confusion matrix, and n the text's characters,

    P(language) ∝ prior(language)^u(n) · Π_k (Σ_label B_k(label) · H_k(label | language))^w_k(n)

The prior is a small power of the language's share of the crawl: short texts say too little for a rare language. u,
which is less for longer texts, and the weights w_k are given at LENGTHS, linear in log n between them and constant
beyond. Confusion matrices and w_k are learnt from labelled text of all lengths that ours was not trained on, w_k by
least log loss, each language counting prior^u(n). So they are also what makes the probability of an answer as large as
its chance to be right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from corpus.language.labels import NO_LANGUAGE

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

LENGTHS = (5, 15, 35, 75, 200)
"""Characters of texts at which the weights are learnt."""
PRIOR_WEIGHTS = (1.0, 1.0, 0.83, 0.68, 0.5)
"""u at LENGTHS. At 1 for long texts too, some languages that the crawl has little of would be lost to their neighbours
for good: the evidence of text that a language shares with a larger one does not grow with its length."""
PRIOR_TEXTS = 2.0
"""How many texts the prior of a confusion row counts as."""
PRIOR_ITSELF = 0.95
"""The prior probability of its own label, for a language that the identifier knows; the rest is spread evenly."""
LEAST_PROBABILITY = 0.005
"""Smaller probabilities of a confusion row are not written to the card; they are spread evenly."""
_LEAST = 1e-6
_MOST_WEIGHT = 5.0
_FIRST_WEIGHT = 0.7
_SHRINKAGE = 1e-4
"""Of the squares of the weights, in the loss: few texts shall not give extreme weights."""
_ITERATIONS = 30


@dataclass(frozen=True)
class Voter:
    """One of the identifiers: its labels, its confusion matrix [languages, labels], its weights [LENGTHS]."""

    identifier: str
    labels: list[str]
    confusion: Floats
    weights: Floats

    def evidence(self, probabilities: Floats) -> Floats:
        """[texts, labels] to the log of the evidence for each language: [texts, languages].

        Most of a row is small and the same for all labels: the rest is a sparse matrix, a twentieth of the work.
        """
        rest, least = self._parts
        found = rest @ np.ascontiguousarray(probabilities.T, np.float32)
        found += np.outer(least, probabilities.sum(1, dtype=np.float32)) + np.float32(_LEAST)
        return np.log(found, out=found).T

    @cached_property
    def _parts(self) -> tuple[csr_matrix, Floats]:
        """The confusion matrix less the least of each row, and this: [languages, labels] and [languages]."""
        least = self.confusion.min(1)
        return csr_matrix(self.confusion - least[:, None]), least


@dataclass(frozen=True)
class Combination:
    """Identifiers as one: ``codes`` are the languages that it predicts, those of each one; sorted."""

    codes: list[str]
    voters: tuple[Voter, ...]
    prior: Floats  # [codes]
    prior_weights: Floats  # [LENGTHS]

    def probabilities(self, found: Sequence[Floats], lengths: Sequence[int], with_prior: bool = True) -> Floats:
        """[texts, labels] of each voter, and the characters of each text, to [texts, codes]; or as if u were 0."""
        evidence = [voter.evidence(one) for voter, one in zip(self.voters, found, strict=True)]
        return self.mixed(evidence, lengths, with_prior)

    def mixed(self, evidence: Sequence[Floats], lengths: Sequence[int], with_prior: bool = True) -> Floats:
        """The same of the evidence of the voters, or of the first of them alone."""
        at = _places(lengths)
        # In memory as the evidence is, a language after the other.
        logs = np.outer(np.log(self.prior), at @ self.prior_weights * with_prior).T
        for voter, one in zip(self.voters, evidence, strict=False):
            logs += (at @ voter.weights)[:, None] * one
        return _normalised(logs)

    def to_card(self) -> dict[str, Any]:
        """As plain values. Small probabilities are left out: ``from_card`` spreads what is missing evenly."""
        voters = [
            {
                "identifier": voter.identifier,
                "labels": voter.labels,
                "weights": [round(weight, 3) for weight in voter.weights.tolist()],
                "confusion": _named(self.codes, voter.labels, voter.confusion),
            }
            for voter in self.voters
        ]
        return {
            "codes": self.codes,
            "lengths": list(LENGTHS),
            "prior": {code: round(value, 4) for code, value in zip(self.codes, self.prior.tolist(), strict=True)},
            "prior_weights": [round(weight, 3) for weight in self.prior_weights.tolist()],
            "voters": voters,
        }

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> Combination:
        """The other way round."""
        codes = card["codes"]
        voters = [
            Voter(
                voter["identifier"],
                voter["labels"],
                _table(codes, voter["labels"], voter["confusion"]),
                np.array(voter["weights"], np.float32),
            )
            for voter in card["voters"]
        ]
        prior = np.array([card["prior"][code] for code in codes], np.float32)
        return cls(codes, tuple(voters), prior, np.array(card["prior_weights"], np.float32))


@dataclass(frozen=True)
class Examples:
    """Labelled texts: languages, characters, and which languages are written in their script [texts, all codes]."""

    truth: Sequence[str]
    lengths: Sequence[int]
    allowed: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class VoterInput:
    """An identifier: its name, its labels, and the probabilities that it gives to some texts [texts, labels]."""

    identifier: str
    labels: Sequence[str]
    probabilities: Floats


def all_codes(labels: Sequence[Sequence[str]]) -> list[str]:
    """The languages that identifiers with these labels predict together."""
    return sorted({code for one in labels for code in one} - {NO_LANGUAGE})


def learn(asked: Sequence[VoterInput], examples: Examples, prior_of: Mapping[str, float]) -> Combination:
    """Learn the weights, by confusion rows of one half of the labelled texts on the other, then the rows of all.

    ``asked``: what each identifier says of the examples. ``prior_of``: of each language.
    """
    codes = all_codes([one.labels for one in asked])
    prior = np.array([prior_of[code] for code in codes], np.float32)
    prior_weights = np.array(PRIOR_WEIGHTS, np.float32)
    known = np.isin(examples.truth, codes)
    places = np.searchsorted(codes, np.asarray(examples.truth)[known])
    chosen = [one.probabilities[known] for one in asked]
    evidence = [_crossed(codes, one.labels, places, found) for one, found in zip(asked, chosen, strict=True)]
    at = _places(np.asarray(examples.lengths)[known].tolist())
    # A language may be barred by its script, but never the one that a text is in.
    start = np.outer(at @ prior_weights, np.log(prior))
    here = np.arange(len(places)), places
    own = start[here]
    start[~examples.allowed[known]] = -np.inf
    start[here] = own
    weights = _best_weights(evidence, at, places, start)
    voters = [
        Voter(one.identifier, list(one.labels), _confusion(codes, one.labels, places, found), row)
        for one, found, row in zip(asked, chosen, weights, strict=True)
    ]
    return Combination(codes, tuple(voters), prior, prior_weights)


def _crossed(codes: Sequence[str], names: Sequence[str], places: npt.NDArray[np.int64], found: Floats) -> Floats:
    """The evidence of each half of the texts, by the confusion rows of the other."""
    first = np.arange(len(places)) % 2 == 0
    evidence = np.empty((len(places), len(codes)), np.float32)
    for half in (first, ~first):
        rows = _confusion(codes, names, places[half], found[half])
        evidence[~half] = np.log(found[~half] @ rows.T + np.float32(_LEAST))
    return evidence


def _best_weights(evidence: Sequence[Floats], at: Floats, places: npt.NDArray[np.int64], start: Floats) -> Floats:
    """Those of least log loss: [voters, LENGTHS]. A text counts its prior, shared by the texts in its language.

    ``start``: the log of each language's prior for each text; -inf where its script bars it.
    """
    from scipy.optimize import minimize

    here = np.arange(len(places))
    shares = np.exp(start[here, places]) / np.bincount(places)[places]
    shares /= shares.sum() or 1
    ours = [one[here, places] for one in evidence]

    def loss(flat: Doubles) -> tuple[float, Doubles]:
        weights = flat.reshape(len(evidence), -1)
        logs = sum((at @ row.astype(np.float32))[:, None] * one for row, one in zip(weights, evidence, strict=True))
        likely = _normalised(np.asarray(logs + start, np.float32))
        slopes = [
            (shares * (np.einsum("ij,ij->i", likely, one) - truth)) @ at
            for one, truth in zip(evidence, ours, strict=True)
        ]
        value = -float((shares * np.log(likely[here, places] + _LEAST)).sum())
        return value + _SHRINKAGE * float(flat @ flat), np.concatenate(slopes) + 2 * _SHRINKAGE * flat

    size = len(evidence) * len(LENGTHS)
    first = np.full(size, _FIRST_WEIGHT)
    bounds = [(0, _MOST_WEIGHT)] * size
    best = minimize(loss, first, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _ITERATIONS}).x
    weights: Floats = best.reshape(len(evidence), -1).astype(np.float32)
    return weights


def _places(lengths: Sequence[int]) -> Floats:
    """[texts, LENGTHS]: how near each text is to each length; every row is 1 in all."""
    logs = np.log(np.clip(np.asarray(lengths, np.float64), LENGTHS[0], LENGTHS[-1]))
    return np.stack([np.interp(logs, np.log(LENGTHS), row) for row in np.eye(len(LENGTHS))], 1).astype(np.float32)


def _normalised(logs: Floats) -> Floats:
    likely = np.exp(logs - logs.max(1, keepdims=True, initial=-np.inf))
    return likely / likely.sum(1, keepdims=True)


def _confusion(
    codes: Sequence[str], names: Sequence[str], places: npt.NDArray[np.int64], probabilities: Floats
) -> Floats:
    """[codes, names]: the mean of the probabilities of texts in each language, and of a prior."""
    total = np.full((len(codes), len(names)), PRIOR_TEXTS / len(names))
    labels = [place for place, name in enumerate(names) if name != NO_LANGUAGE]
    itself = np.searchsorted(codes, [names[place] for place in labels])
    total[itself] *= 1 - PRIOR_ITSELF
    total[itself, labels] += PRIOR_TEXTS * PRIOR_ITSELF
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
