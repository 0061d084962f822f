"""The endless stream of global batches: languages in the shares that a mixing strategy gives, epoch after epoch.

Any batch is found from its number alone, in constant memory, so the position in the stream is one integer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import XlmrError
from pretrain.data.mixing import Mixing, epoch_shares
from pretrain.data.sequences import SequenceArray, SequenceFolder
from pretrain.rng import below, shuffled


@dataclass(frozen=True)
class Drawn:
    """Sequences of one global batch, or a rank's part: ``ids`` [n, length] and their rows in the global batch."""

    ids: NDArray[np.int64]
    rows: NDArray[np.int64]
    epoch: int


class Stream:
    """Global batches by number. An epoch has only whole batches; every epoch has an order and draws of its own.

    A language that has more sequences than its share gives each at most once an epoch; one that has fewer is drawn
    from with replacement.
    """

    def __init__(
        self, sequences: Mapping[str, SequenceArray], length: int, batch: int, mixing: Mixing, seed: int,
        rank: int = 0, world: int = 1,
    ) -> None:  # fmt: skip
        self.languages = sorted(sequences)
        self._arrays = [sequences[language] for language in self.languages]
        self._available = np.array([len(array) for array in self._arrays], np.int64)
        weights = mixing({language: len(array) for language, array in sequences.items()})
        self._shares = epoch_shares(self._available, np.array([weights.get(one, 0.0) for one in self.languages]))
        self._ends = np.cumsum(self._shares)
        self._length, self._batch, self._seed = length, batch, seed
        self._rank, self._world = rank, world
        self.batches_an_epoch = int(self._ends[-1]) // batch
        if not self.batches_an_epoch:
            raise XlmrError(
                f"an epoch has {self._ends[-1]} sequences, a global batch {batch}",
                "give more text, or lower pretrain.train.global_batch",
            )

    @property
    def shares(self) -> dict[str, int]:
        """Sequences of each language in an epoch."""
        return dict(zip(self.languages, self._shares.tolist(), strict=True))

    def batch(self, number: int) -> Drawn:
        """This rank's part of global batch ``number`` (from 0): every world-th sequence of it."""
        return self.draw(number, np.arange(self._rank, self._batch, self._world))

    def draw(self, number: int, rows: NDArray[np.int64]) -> Drawn:
        """These rows of global batch ``number``."""
        epoch, turn = divmod(number, self.batches_an_epoch)
        place = shuffled(turn * self._batch + rows, int(self._ends[-1]), self._seed, epoch)
        language = np.searchsorted(self._ends, place, side="right")
        within = place - (self._ends - self._shares)[language]
        ids = np.empty((len(rows), self._length), np.int64)
        for code in np.unique(language):
            chosen = np.flatnonzero(language == code)
            self._read(int(code), within[chosen], epoch, ids, chosen)
        return Drawn(ids, rows, epoch)

    def _read(
        self, code: int, within: NDArray[np.int64], epoch: int, ids: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> None:
        available = int(self._available[code])
        draw = (self._seed, epoch, code)
        if self._shares[code] > available:
            index = below(available, *draw, within)
        else:
            index = shuffled(within, available, *draw)
        sequences = np.empty((len(index), self._length), np.int64)
        self._arrays[code].read(index, sequences)
        ids[rows] = sequences


class MixedStream:
    """Global batches whose last rows are pairs of translations, as many in each batch; the others are of one language.

    Every rank takes every world-th row of the whole, so that each has its share of both.
    """

    def __init__(
        self, texts: SequenceFolder, pairs: SequenceFolder, batch: int, mixing: Mixing, seed: int, share: float,
        rank: int = 0, world: int = 1,
    ) -> None:  # fmt: skip
        of_pairs = rows_of_pairs(batch, share)
        self._of_texts, self._rows = batch - of_pairs, np.arange(rank, batch, world)
        length = texts.sequence_length
        self._texts = Stream(texts.train, length, self._of_texts, mixing, seed) if self._of_texts else None
        self._pairs = Stream(pairs.train, length, of_pairs, mixing, seed) if of_pairs else None

    def batch(self, number: int) -> Drawn:
        """This rank's part of global batch ``number``. The epoch is that of the texts, where there are any."""
        of_texts = self._rows < self._of_texts
        drawn = []
        if self._texts is not None:
            drawn.append(self._texts.draw(number, self._rows[of_texts]))
        if self._pairs is not None:
            drawn.append(self._pairs.draw(number, self._rows[~of_texts] - self._of_texts))
        return Drawn(np.concatenate([part.ids for part in drawn]), self._rows, drawn[0].epoch)


def rows_of_pairs(batch: int, share: float) -> int:
    """How many sequences of a global batch are pairs: none only where ``share`` is 0, all only where it is 1."""
    if share in {0.0, 1.0}:
        return int(share) * batch
    return min(max(round(share * batch), 1), batch - 1)
