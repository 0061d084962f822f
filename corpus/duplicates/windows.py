"""Windows, what is held against each other, and their partitions, what is in memory at once.

A partition is the hashes of a window that share their top bits: a slice of each shard's sorted file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from corpus.duplicates.arrays import Hashes, map_hashes
from pipeline.errors import XlmrError

BYTES_PER_HASH = 9
"""The hash, and the mark that its first copy was seen."""

PROCESS_BYTES = 128 * 2**20
"""What a worker takes whatever it reads: Python and its modules (70 MB), chunks of files, their indices."""

MOST_BITS = 24


@dataclass(frozen=True)
class Window:
    """Some shards, in order, whose sorted hashes lie in ``folder``."""

    number: int
    folder: Path
    shards: tuple[str, ...]

    def path(self, shard: str) -> Path:
        """The sorted hashes of a shard."""
        return self.folder / f"{shard}.npy"


@dataclass(frozen=True)
class HashPartition:
    """The hashes of one window whose top ``bits`` bits are ``number``."""

    window: Window
    bits: int
    number: int

    @property
    def stem(self) -> str:
        """Its files' name. It says how many there are, so that those of another cut are never taken for it."""
        return f"window-{self.window.number:05d}-part-{self.number:05d}-of-{2**self.bits:05d}"

    def borders(self, hashes: Hashes) -> tuple[int, int]:
        """Where its slice of a shard's sorted ``hashes`` begins and ends."""
        width = 64 - self.bits
        low, high = self.number << width, (self.number + 1) << width
        start = int(np.searchsorted(hashes, np.uint64(low))) if low else 0
        return start, len(hashes) if high == 2**64 else int(np.searchsorted(hashes, np.uint64(high)))

    def slices(self) -> npt.NDArray[np.int64]:
        """[shards, 2]: its borders in each shard's file; the files are mapped one at a time, for that alone."""
        borders = [self.borders(map_hashes(self.window.path(shard))) for shard in self.window.shards]
        return np.array(borders, np.int64).reshape(-1, 2)


def windows_of(folder: Path, size: int | Literal["dump"] | None) -> list[Window]:
    """Deal the shards of ``folder`` out to windows, by name: all, each dump's, or ``size`` of one dump at a time."""
    shards = sorted(path.stem for path in folder.glob("*.npy"))
    if size is None:
        return [Window(0, folder, tuple(shards))] if shards else []
    groups: list[tuple[str, ...]] = []
    for _, names in groupby(shards, dump_of):
        dump = tuple(names)
        step = len(dump) if size == "dump" else size
        groups += [dump[start : start + step] for start in range(0, len(dump), step)]
    return [Window(number, folder, group) for number, group in enumerate(groups)]


def dump_of(shard: str) -> str:
    """The dump that a shard is of: ``CC-MAIN-2019-09`` of ``CC-MAIN-2019-09-00017``."""
    return shard.rpartition("-")[0]


def cut(window: Window, memory_bytes: int) -> Iterator[HashPartition]:
    """Partitions of a window, a power of two of them, so that a worker stays within ``memory_bytes``."""
    hashes = sum(len(map_hashes(window.path(shard))) for shard in window.shards)
    bits = bits_for(hashes, memory_bytes)
    if bits > MOST_BITS:
        raise XlmrError(f"{hashes:,} hashes would need {2**bits:,} partitions", "raise corpus.duplicates.memory_bytes")
    for number in range(2**bits):
        yield HashPartition(window, bits, number)


def bits_for(hashes: int, memory_bytes: int) -> int:
    """How many top bits part ``hashes`` into what fits."""
    space = max(memory_bytes - PROCESS_BYTES, memory_bytes // 2)
    bits = 0
    # Hashes spread evenly but for chance: five standard deviations of the binomial, in the worst of the partitions.
    while BYTES_PER_HASH * (hashes / 2**bits + 5 * (hashes / 2**bits) ** 0.5) > space:
        bits += 1
    return bits
