"""Validation: the same sequences with the same masks each time, scored by language; and what knows less than the model.

Two baselines say what a loss means: guessing evenly, and knowing how often each token occurs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pretrain.data.masking import MaskedBatch, Masker
from pretrain.data.sequences import SequenceArray, SequenceFolder

NEVER_TRAINED = 2**62
"""Stands in the place of the step when validation masks are drawn, so that they are nobody else's."""

UNIGRAM_SEQUENCES = 20_000
"""Training sequences of a language whose tokens are counted; ten million tokens say enough about frequencies."""


class Scorer(Protocol):
    """What an Engine offers here."""

    data_rank: int
    data_world: int

    def score(self, batch: MaskedBatch) -> float:
        """The summed cross-entropy of a batch."""

    def sum_over_ranks(self, value: float) -> float:
        """The sum of every data rank's value."""


@dataclass(frozen=True)
class Losses:
    """Mean cross-entropy in nats per masked position: over all languages (nan without any), and of each."""

    overall: float
    by_language: dict[str, float]


class Validation:
    """The masked validation sequences, by language."""

    def __init__(self, folder: SequenceFolder, sequences: int, masker: Masker) -> None:
        self.batches = {
            language: _mask(array, folder.sequence_length, sequences, masker, code)
            for code, (language, array) in enumerate(folder.validation.items())
        }
        self.batches = {language: batch for language, batch in self.batches.items() if len(batch.labels)}

    def losses(self, scorer: Scorer, micro_batch: int) -> Losses:
        """The losses by ``scorer``. The data ranks share the work, each asking equally often."""
        parts = [(language, part) for language, batch in self.batches.items() for part in batch.split(micro_batch)]
        own = parts[scorer.data_rank :: scorer.data_world]
        sums = dict.fromkeys(self.batches, 0.0)
        for number in range(-(-len(parts) // scorer.data_world)):
            language, part = own[number] if number < len(own) else parts[0]
            score = scorer.score(part)
            sums[language] += score if number < len(own) else 0.0
        return self._means({language: scorer.sum_over_ranks(total) for language, total in sums.items()})

    def uniform_loss(self, vocabulary_size: int) -> float:
        """The cross-entropy of guessing evenly: ln of the vocabulary's size."""
        return math.log(vocabulary_size)

    def unigram_losses(self, counts: Mapping[str, NDArray[np.int64]]) -> Losses:
        """The cross-entropy of the tokens' frequencies in training, over all languages, add-one."""
        total = np.sum(list(counts.values()), axis=0) + 1
        surprise = -np.log(total / total.sum())
        return self._means({language: float(surprise[b.labels].sum()) for language, b in self.batches.items()})

    def language_unigram_losses(self, counts: Mapping[str, NDArray[np.int64]]) -> Losses:
        """The same with each language's own frequencies: what is known when only the language is known."""
        sums = {}
        for language, batch in self.batches.items():
            own = counts[language] + 1
            sums[language] = float(-np.log(own[batch.labels] / own.sum()).sum())
        return self._means(sums)

    def _means(self, sums: Mapping[str, float]) -> Losses:
        amounts = {language: len(batch.labels) for language, batch in self.batches.items()}
        by_language = {language: total / amounts[language] for language, total in sums.items()}
        return Losses(sum(sums.values()) / sum(amounts.values()) if sums else math.nan, by_language)


def count_tokens(folder: SequenceFolder) -> dict[str, NDArray[np.int64]]:
    """How often each id occurs in training, by language; ids that are never predicted count nothing."""
    counts = {}
    for language in folder.train.keys() | folder.validation.keys():
        array = folder.train.get(language)
        size = folder.vocabulary_size
        counted = array.count_tokens(UNIGRAM_SEQUENCES) if array else np.zeros(size, np.int64)
        counted[:4] = counted[-1] = 0
        counts[language] = counted
    return counts


def _mask(array: SequenceArray, length: int, sequences: int, masker: Masker, code: int) -> MaskedBatch:
    index = np.arange(min(sequences, len(array)), dtype=np.int64)
    ids = np.empty((len(index), length), np.int64)
    array.read(index, ids)
    return masker.mask(ids, NEVER_TRAINED + code, index)
