"""Hashes sorted outside memory: sorted runs of them on disk, merged range by range. Each value comes at most twice."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from corpus.duplicates.arrays import Hashes, HashWriter, map_hashes, read_into

RUN_HASHES = 2**24
"""Hashes that are in memory at once: 128 MiB."""


class SortedRuns:
    """Takes hashes in any order and gives them sorted, the third and later copies of each left out.

    Up to ``most`` of them (RUN_HASHES if not given) never leave memory; beyond that they go to ``folder``, which is
    removed at the end.
    """

    def __init__(self, folder: Path, most: int | None = None) -> None:
        self._folder, self._most = folder, most or RUN_HASHES
        # Space that is not written to yet takes no memory.
        self._waiting: Hashes = np.empty(self._most, np.uint64)
        self._length = 0
        self._runs: list[Path] = []

    def append(self, hashes: Hashes) -> None:
        """Take some more."""
        while len(hashes):
            if self._length == self._most:
                self._spill()
            some = hashes[: self._most - self._length]
            self._waiting[self._length : self._length + len(some)] = some
            self._length += len(some)
            hashes = hashes[len(some) :]

    def chunks(self) -> Iterator[Hashes]:
        """All of them, sorted, chunk by chunk. To be asked once."""
        if not self._runs:
            yield from sorted_at_most_twice(self._waiting[: self._length])
            return
        self._spill()
        self._waiting = np.empty(0, np.uint64)
        yield from merge(self._runs, self._most)
        shutil.rmtree(self._folder)

    def _spill(self) -> None:
        path = self._folder / f"{len(self._runs):05d}.npy"
        with HashWriter(path) as writer:
            for chunk in sorted_at_most_twice(self._waiting[: self._length]):
                writer.append(chunk)
        self._runs.append(path)
        self._length = 0


def merge(runs: Sequence[Path], most: int) -> Iterator[Hashes]:
    """Sorted files as one, each value at most twice. What is in memory is a range of values of about ``most`` hashes.

    Hashes spread evenly, so ranges of equal width hold nearly equally many.
    """
    ranges = max(-(-sum(len(map_hashes(path)) for path in runs) // most), 1)
    borders = np.array([number * 2**64 // ranges for number in range(1, ranges)], np.uint64)
    cuts = np.array([_cuts(map_hashes(path), borders) for path in runs], np.int64)
    for starts, stops in zip(cuts.T, cuts.T[1:], strict=False):
        ends = np.cumsum(stops - starts).tolist()
        union = np.empty(ends[-1], np.uint64)
        for path, start, stop, end in zip(runs, starts.tolist(), stops.tolist(), ends, strict=True):
            read_into(union[end - (stop - start) : end], path, start)
        yield from sorted_at_most_twice(union)
        del union  # before there is the next


def _cuts(hashes: Hashes, borders: Hashes) -> list[int]:
    return [0, *np.searchsorted(hashes, borders).tolist(), len(hashes)]


def sorted_at_most_twice(hashes: Hashes, size: int = 2**19) -> Iterator[Hashes]:
    """``hashes`` sorted (in place), with the third and later copies of each left out; in chunks of ``size`` at most."""
    hashes.sort()
    for start in range(0, len(hashes), size):
        before = max(start - 2, 0)
        chunk = hashes[before : start + size]
        keep = np.ones(len(chunk), bool)
        keep[2:] = chunk[2:] != chunk[:-2]
        yield chunk[start - before :][keep[start - before :]]
