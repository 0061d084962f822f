"""Membership in a sorted table of hashes that is larger than the processor's cache."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from corpus.duplicates.arrays import Hashes

Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.intp]

BLOCK = 64


class HashTable:
    """Sorted distinct hashes that can be asked where many others stand in them.

    The first of every 64 stand apart, few enough for the cache: they are searched first, then all the blocks that were
    found step by step, many at a time. One search after the other would wait for memory at each step of each
    (measured on 19 million: 2.3 times as long).
    """

    def __init__(self, hashes: Hashes) -> None:
        self.hashes = hashes
        self._firsts = hashes[::BLOCK].copy()

    def find(self, values: Hashes) -> tuple[Places, Mask]:
        """For each of ``values`` its place, and whether it is there at all (else the place is of no use)."""
        if not len(self.hashes):
            return np.zeros(len(values), np.intp), np.zeros(len(values), bool)
        places = (np.maximum(np.searchsorted(self._firsts, values, "right"), 1) - 1) * BLOCK
        step = BLOCK // 2
        while step:
            ahead = np.minimum(places + step, len(self.hashes) - 1)
            places = np.where(self.hashes[ahead] <= values, ahead, places)
            step //= 2
        found: Mask = self.hashes[places] == values
        return places, found

    def holds(self, values: Hashes) -> Mask:
        """Which of ``values`` are there."""
        return self.find(values)[1]
