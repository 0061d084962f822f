"""What the model has to guess: positions are drawn, most become ``<mask>``, and their tokens are the labels.

XLM-R masks single tokens, anew each time that a sequence is seen, as RoBERTa does. Other strategies stand in
``masking_strategies``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pretrain.data.masking_strategies import TOKEN, TREATMENT, Candidates, Mask, MaskingStrategy, tokens
from pretrain.rng import below, mix, uniform

PAD = 1
FIRST_ORDINARY = 4
"""``<s>`` ``<pad>`` ``</s>`` ``<unk>`` come before. All ids from it on can be masked, but for ``<mask>`` itself."""

BLOCK = 256
"""Sequences that are masked at once: what is worked out on the way stays near the processor, which is twice as fast."""

MASKED, REPLACED = 0.8, 0.1
"""Shares of the drawn positions that become ``<mask>`` and a random token; the others stay (BERT, section 3.1)."""


@dataclass(frozen=True)
class MaskedVocabulary:
    """How many ids there are, and which is <mask>: the last but for tokens that were added behind it.

    ``begins_word`` [size] bool: tokens that follow white space, for strategies that mask words; None: not known.
    """

    size: int
    mask: int
    begins_word: Mask | None = None

    @classmethod
    def plain(cls, size: int) -> MaskedVocabulary:
        """Without added tokens."""
        return cls(size, size - 1)


@dataclass(frozen=True)
class MaskedBatch:
    """Sequences as the model sees them, and what it has to say about them.

    ``ids`` [sequences, length] int64; ``rows``, ``columns`` [n] the positions drawn, row by row; ``labels`` [n].
    """

    ids: NDArray[np.int64]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    labels: NDArray[np.int64]

    def split(self, size: int) -> Iterator[MaskedBatch]:
        """Micro-batches of ``size`` sequences."""
        for start in range(0, len(self.ids), size):
            inside = slice(*np.searchsorted(self.rows, (start, start + size)))
            yield MaskedBatch(
                self.ids[start : start + size], self.rows[inside] - start, self.columns[inside], self.labels[inside]
            )

    @property
    def masked_positions(self) -> NDArray[np.int64]:
        """The positions as indices into the flattened [sequences × length]."""
        return self.rows * self.ids.shape[1] + self.columns

    @property
    def attention_mask(self) -> NDArray[np.bool_] | None:
        """False at padding; None when there is none, which is the rule."""
        present = self.ids != PAD
        return None if present.all() else present


@dataclass(frozen=True)
class Masker:
    """Masks sequences; the same (seed, step, name of the sequence) gives the same masks on any rank.

    ``rate``      share of the ordinary tokens to predict.
    ``strategy``  which positions these are.
    """

    vocabulary: MaskedVocabulary
    rate: float
    seed: int
    strategy: MaskingStrategy = tokens

    def mask(self, sequences: NDArray[np.int64], step: int, names: NDArray[np.int64]) -> MaskedBatch:
        """Mask ``sequences`` [n, length], which have the ``names`` [n]. ``sequences`` is not changed."""
        starts = range(0, max(len(sequences), 1), BLOCK)
        blocks = [
            self._mask_block(sequences[start : start + BLOCK], mix(self.seed, step, names[start:][:BLOCK]))
            for start in starts
        ]
        return MaskedBatch(
            np.concatenate([block.ids for block in blocks]),
            np.concatenate([block.rows + start for start, block in zip(starts, blocks, strict=True)]),
            np.concatenate([block.columns for block in blocks]),
            np.concatenate([block.labels for block in blocks]),
        )

    def _mask_block(self, sequences: NDArray[np.int64], key: NDArray[np.uint64]) -> MaskedBatch:
        ordinary = (sequences >= FIRST_ORDINARY) & (sequences != self.vocabulary.mask)
        candidates = Candidates(sequences, ordinary, self.rate, key, self.vocabulary.begins_word)
        rows, columns = np.nonzero(self.strategy(candidates))
        labels = sequences[rows, columns]
        ids = sequences.copy()
        ids[rows, columns] = _treat(labels, candidates.cell[rows, columns], self.vocabulary)
        return MaskedBatch(ids, rows, columns, labels)


def _treat(labels: NDArray[np.int64], cell: NDArray[np.uint64], vocabulary: MaskedVocabulary) -> NDArray[np.int64]:
    treatment = uniform(cell, TREATMENT)
    random_token = FIRST_ORDINARY + below(vocabulary.size - 1 - FIRST_ORDINARY, cell, TOKEN)
    random_token += random_token >= vocabulary.mask  # any but <mask>
    kept_or_random = np.where(treatment < MASKED + REPLACED, random_token, labels)
    return np.where(treatment < MASKED, vocabulary.mask, kept_or_random)
