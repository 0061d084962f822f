"""What the model has to guess: positions are drawn, most become ``<mask>``, and their pieces are the targets.

XLM-R masks pieces (not words), anew each time that a sample is seen; as RoBERTa and fairseq's MaskTokensDataset.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pretrain.chance import below, mix, uniform

PAD = 1
FIRST_ORDINARY = 4
"""``<s>`` ``<pad>`` ``</s>`` ``<unk>`` come before. All ids from it on can be masked, but for ``<mask>`` itself."""

BLOCK = 256
"""Samples that are masked at once: what is worked out on the way stays near the processor, which is twice as fast."""

POSITIONS, AMOUNT, TREATMENT, PIECE = range(4)
"""Which decision a random number is for."""

MASKED, REPLACED = 0.8, 0.1
"""Shares of the drawn positions that become ``<mask>`` and a random piece; the others stay (BERT, section 3.1)."""


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
    """Samples as the model sees them, and what it has to say about them.

    ``ids`` [samples, length] int64; ``rows``, ``columns`` [n] the positions drawn, row by row; ``targets`` [n].
    """

    ids: NDArray[np.int64]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    targets: NDArray[np.int64]

    def split(self, size: int) -> Iterator[MaskedBatch]:
        """Micro-batches of ``size`` samples."""
        for start in range(0, len(self.ids), size):
            inside = slice(*np.searchsorted(self.rows, (start, start + size)))
            yield MaskedBatch(
                self.ids[start : start + size], self.rows[inside] - start, self.columns[inside], self.targets[inside]
            )

    @property
    def where(self) -> NDArray[np.int64]:
        """The positions as indices into the flattened [samples × length]."""
        return self.rows * self.ids.shape[1] + self.columns

    @property
    def keep(self) -> NDArray[np.bool_] | None:
        """False at padding; None when there is none, which is the rule."""
        present = self.ids != PAD
        return None if present.all() else present


def mask_samples(
    samples: NDArray[np.int64],
    vocabulary: MaskedVocabulary,
    rate: float,
    seed: int,
    update: int,
    names: NDArray[np.int64],
) -> MaskedBatch:
    """Mask ``samples`` [n, length]; the same (seed, update, name of the sample) gives the same masks.

    Of a sample's m ordinary pieces, 0.15·m are drawn, rounded up or down at random so that the mean is exact.
    """
    starts = range(0, max(len(samples), 1), BLOCK)
    blocks = [
        _mask_block(samples[start : start + BLOCK], vocabulary, rate, mix(seed, update, names[start:][:BLOCK]))
        for start in starts
    ]
    return MaskedBatch(
        np.concatenate([block.ids for block in blocks]),
        np.concatenate([block.rows + start for start, block in zip(starts, blocks, strict=True)]),
        np.concatenate([block.columns for block in blocks]),
        np.concatenate([block.targets for block in blocks]),
    )


def _mask_block(
    samples: NDArray[np.int64], vocabulary: MaskedVocabulary, rate: float, key: NDArray[np.uint64]
) -> MaskedBatch:
    ordinary = (samples >= FIRST_ORDINARY) & (samples != vocabulary.mask)
    amount = np.floor(rate * ordinary.sum(1) + uniform(key, AMOUNT)).astype(np.int64)
    cell = mix(key[:, None], np.arange(samples.shape[1]))
    order = np.where(ordinary, uniform(cell, POSITIONS), 2.0)
    drawn = order <= _smallest(order, amount)[:, None]
    rows, columns = np.nonzero(drawn)
    targets = samples[rows, columns]
    ids = samples.copy()
    ids[rows, columns] = _treat(targets, cell[rows, columns], vocabulary)
    return MaskedBatch(ids, rows, columns, targets)


def _smallest(order: NDArray[np.float64], amount: NDArray[np.int64]) -> NDArray[np.float64]:
    """The amount-th smallest number of each row; -1 where nothing is to be drawn."""
    ranked = np.sort(order, axis=1)
    last = ranked[np.arange(len(order)), np.maximum(amount - 1, 0)]
    return np.where(amount > 0, last, -1.0)


def _treat(targets: NDArray[np.int64], cell: NDArray[np.uint64], vocabulary: MaskedVocabulary) -> NDArray[np.int64]:
    treatment = uniform(cell, TREATMENT)
    random_piece = FIRST_ORDINARY + below(vocabulary.size - 1 - FIRST_ORDINARY, cell, PIECE)
    random_piece += random_piece >= vocabulary.mask  # any but <mask>
    kept_or_random = np.where(treatment < MASKED + REPLACED, random_piece, targets)
    return np.where(treatment < MASKED, vocabulary.mask, kept_or_random)
