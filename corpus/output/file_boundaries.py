"""Where the files of the corpus begin and end, found from the sizes of the rows alone, before any text is copied.

In: for each record batch of the mined files, in order, the bytes and the bucket of its rows. Out: for each file of the
corpus where its rows begin and how many they are, and which files are written together as one shard of work.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import numpy.typing as npt

from corpus.output.records import BUCKETS

Sizes = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int8]

LEFT_OUT = -1
"""The code of a row that is in no bucket; the others are numbers of BUCKETS."""

GROUP_FILES = 4
"""Files that begin within so many times ``file_bytes`` of their language's text are written together: head, middle and
tail lie in the same mined batches, and what is written together is read once."""


@dataclass(frozen=True, order=True)
class FileStart:
    """Where the rows of a file begin: mined file, record batch, and how many of the bucket's rows there to pass by."""

    file: int
    batch: int
    skip: int


@dataclass(frozen=True)
class FileCut:
    """One file of the corpus: ``rows`` rows of its bucket from ``start`` on, the last of them in mined file ``end``."""

    bucket: str
    number: int
    start: FileStart
    end: int
    rows: int
    group: int


@dataclass
class _Open:
    """The file of one bucket that is being filled."""

    number: int
    start: FileStart
    group: int
    space: int
    rows: int = 0
    end: int = 0

    def closed(self, bucket: str) -> FileCut:
        return FileCut(bucket, self.number, self.start, self.end, self.rows, self.group)


@dataclass
class Cutter:
    """Takes the batches of one language in order and gives the cuts of its files."""

    file_bytes: int
    cuts: list[FileCut] = field(default_factory=list)
    _open: dict[int, _Open] = field(default_factory=dict)
    _numbers: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    _bytes: int = 0

    def add(self, file: int, batch: int, sizes: Sizes, codes: Codes) -> None:
        """One record batch: the bytes of its rows and their buckets' codes."""
        group = self._bytes // (GROUP_FILES * self.file_bytes)
        for code in np.unique(codes[codes != LEFT_OUT]).tolist():
            own = sizes[codes == code]
            self._add(code, file, batch, own, group)
            self._bytes += int(own.sum())

    def _add(self, code: int, file: int, batch: int, sizes: Sizes, group: int) -> None:
        ends = np.cumsum(sizes)
        start = 0
        while start < len(sizes):
            current = self._open.get(code)
            if current is None:
                current = _Open(self._numbers[code], FileStart(file, batch, start), group, self.file_bytes)
                self._open[code] = current
                self._numbers[code] += 1
            stop = next_stop(ends, start, current.space, empty=current.rows == 0)
            if stop > start:
                current.rows += stop - start
                current.space -= _sum(ends, start, stop)
                current.end = file
            if stop < len(sizes):
                self._close(code)
            start = stop

    def _close(self, code: int) -> None:
        self.cuts.append(self._open.pop(code).closed(BUCKETS[code]))

    def finish(self) -> Iterator[tuple[int, list[FileCut]]]:
        """The cuts of all files, by group; within it by bucket and number."""
        for code in sorted(self._open):
            self._close(code)
        self.cuts.sort(key=lambda cut: (cut.group, BUCKETS.index(cut.bucket), cut.number))
        for group, cuts in groupby(self.cuts, key=lambda cut: cut.group):
            yield group, list(cuts)


def next_stop(ends: Sizes, start: int, space: int, *, empty: bool) -> int:
    """How far rows from ``start`` on fit into ``space`` bytes; one at least where nothing is in it yet (``empty``).

    ``ends`` are the cumulated sizes of the rows. The one rule for files and for record batches.
    """
    before = int(ends[start - 1]) if start else 0
    stop = int(np.searchsorted(ends, before + space, side="right"))
    return max(stop, start + 1 if empty else start)


def _sum(ends: Sizes, start: int, stop: int) -> int:
    return int(ends[stop - 1]) - (int(ends[start - 1]) if start else 0)
