"""What the model has to guess: positions are drawn, most become ``<mask>``, and their tokens are the labels.

XLM-R masks tokens (not words), anew each time that a sequence is seen; as RoBERTa and fairseq's MaskTokensDataset.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pretrain.rng import below, mix, uniform

PAD = 1
FIRST_ORDINARY = 4
"""``<s>`` ``<pad>`` ``</s>`` ``<unk>`` come before. All ids from it on can be masked, but for ``<mask>`` itself."""

BLOCK = 256
"""Sequences that are masked at once: what is worked out on the way stays near the processor, which is twice as fast."""

POSITIONS, AMOUNT, TREATMENT, TOKEN = range(4)
"""Which decision a random number is for."""

MASKED, REPLACED = 0.8, 0.1
"""Shares of the drawn positions that become ``<mask>`` and a random token; the others stay (BERT, section 3.1)."""


@dataclass(frozen=True)
class MaskedVocabulary:
    """How many ids there are, and which is <mask>: the last but for tokens that were added behind it."""

    size: int
    mask: int

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


def mask_sequences(
    sequences: NDArray[np.int64],
    vocabulary: MaskedVocabulary,
    rate: float,
    seed: int,
    step: int,
    names: NDArray[np.int64],
) -> MaskedBatch:
    """Mask ``sequences`` [n, length]; the same (seed, step, name of the sequence) gives the same masks.

    Of a sequence's m ordinary tokens, 0.15·m are drawn, rounded up or down at random so that the mean is exact.
    """
    starts = range(0, max(len(sequences), 1), BLOCK)
    blocks = [
        _mask_block(sequences[start : start + BLOCK], vocabulary, rate, mix(seed, step, names[start:][:BLOCK]))
        for start in starts
    ]
    return MaskedBatch(
        np.concatenate([block.ids for block in blocks]),
        np.concatenate([block.rows + start for start, block in zip(starts, blocks, strict=True)]),
        np.concatenate([block.columns for block in blocks]),
        np.concatenate([block.labels for block in blocks]),
    )


def _mask_block(
    sequences: NDArray[np.int64], vocabulary: MaskedVocabulary, rate: float, key: NDArray[np.uint64]
) -> MaskedBatch:
    ordinary = (sequences >= FIRST_ORDINARY) & (sequences != vocabulary.mask)
    amount = np.floor(rate * ordinary.sum(1) + uniform(key, AMOUNT)).astype(np.int64)
    cell = mix(key[:, None], np.arange(sequences.shape[1]))
    order = np.where(ordinary, uniform(cell, POSITIONS), 2.0)
    drawn = order <= _smallest(order, amount)[:, None]
    rows, columns = np.nonzero(drawn)
    labels = sequences[rows, columns]
    ids = sequences.copy()
    ids[rows, columns] = _treat(labels, cell[rows, columns], vocabulary)
    return MaskedBatch(ids, rows, columns, labels)


def _smallest(order: NDArray[np.float64], amount: NDArray[np.int64]) -> NDArray[np.float64]:
    """The amount-th smallest number of each row; -1 where nothing is to be drawn."""
    ranked = np.sort(order, axis=1)
    last = ranked[np.arange(len(order)), np.maximum(amount - 1, 0)]
    return np.where(amount > 0, last, -1.0)


def _treat(labels: NDArray[np.int64], cell: NDArray[np.uint64], vocabulary: MaskedVocabulary) -> NDArray[np.int64]:
    treatment = uniform(cell, TREATMENT)
    random_token = FIRST_ORDINARY + below(vocabulary.size - 1 - FIRST_ORDINARY, cell, TOKEN)
    random_token += random_token >= vocabulary.mask  # any but <mask>
    kept_or_random = np.where(treatment < MASKED + REPLACED, random_token, labels)
    return np.where(treatment < MASKED, vocabulary.mask, kept_or_random)
