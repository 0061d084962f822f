"""Stage ``corpus.duplicates``: which hashes to drop, for any number of shards in fixed memory.

Windows are cut into partitions by the top bits of the hashes, so many that one fits into the memory setting. A
partition is a slice of each shard's sorted file: sort their union, and what stands in it twice or more is a duplicate.
Written for each window and partition: the hashes to drop of its shards one after the other, and where each begins.
No text crosses, and the largest thing in memory is one partition.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from corpus.duplicates.hash import Hashes
from pipeline.context import Context
from pipeline.counts import Counts, sum_counts
from pipeline.errors import XlmrError
from pipeline.shards import ShardReport
from pipeline.stage import Inputs
from pipeline.storage import read_json, write_json

if TYPE_CHECKING:
    from corpus.stages import DuplicatesStage

BYTES_PER_HASH = 40
"""Measured peak of ``find_duplicates``: the slices, their sorted union, masks and the result."""

WINDOWS = "windows.json"


@dataclass(frozen=True)
class Partition:
    """One slice of the hashes of one window: those whose top ``bits`` bits are ``number``."""

    files: tuple[Path, ...]
    bits: int
    number: int
    stem: str


def run(config: DuplicatesStage, inputs: Inputs, output: Path, context: Context) -> Counts:
    """Find the duplicates of each window, partition by partition."""
    files = sorted((inputs["corpus.hash"] / "sorted").glob("*.npy"))
    size = config.duplicates.window or len(files)
    windows = [tuple(files[start : start + size]) for start in range(0, len(files), size)]
    partitions = {
        partition.stem: partition
        for number, window in enumerate(windows)
        for partition in cut(window, number, config.duplicates.memory_bytes)
    }
    counts = sum_counts(context.map_shards(_find_in_partition, partitions))
    index = [
        {
            "shards": [file.stem for file in window],
            "parts": [s for s, p in partitions.items() if p.files == window],
        }
        for window in windows
    ]
    write_json(output / WINDOWS, index)
    return {**counts, "windows": len(windows), "partitions": len(partitions)}


def cut(window: tuple[Path, ...], number: int, memory_bytes: int) -> Iterator[Partition]:
    """Partitions of a window, a power of two of them, each within ``memory_bytes``."""
    hashes = sum(len(np.load(file, mmap_mode="r", allow_pickle=False)) for file in window)
    bits = max(0, int(np.ceil(np.log2(max(hashes, 1) * BYTES_PER_HASH / memory_bytes))))
    if bits > 24:
        raise XlmrError(f"{hashes:,} hashes would need {2**bits:,} partitions", "raise corpus.duplicates.memory_bytes")
    for part in range(2**bits):
        yield Partition(window, bits, part, f"window-{number:05d}-part-{part:05d}")


def _find_in_partition(partition: Partition, workspace: Path) -> ShardReport:
    slices = [_slice(np.load(file, mmap_mode="r", allow_pickle=False), partition) for file in partition.files]
    drops = find_duplicates(slices)
    lengths = [len(drop) for drop in drops]
    np.save(workspace / f"{partition.stem}.npy", np.concatenate(drops), allow_pickle=False)
    np.save(workspace / f"{partition.stem}.starts.npy", np.cumsum([0, *lengths]), allow_pickle=False)
    return ShardReport({"distinct_in_shards": sum(map(len, slices)), "dropped_in_shards": sum(lengths)})


def _slice(hashes: Hashes, partition: Partition) -> Hashes:
    if partition.bits == 0:
        return hashes
    width = 64 - partition.bits
    low = np.searchsorted(hashes, np.uint64(partition.number << width))
    if partition.number + 1 == 2**partition.bits:
        return hashes[low:]
    return hashes[low : np.searchsorted(hashes, np.uint64((partition.number + 1) << width))]


def find_duplicates(slices: Sequence[Hashes]) -> list[Hashes]:
    """For each shard the hashes of ``slices`` (sorted, at most two copies) that stand twice or more in all of them."""
    union = np.concatenate(slices)
    union.sort()
    again = union[1:][union[1:] == union[:-1]]
    duplicates = again[np.concatenate([[True], again[1:] != again[:-1]])] if len(again) else again
    del union, again
    return [_common(np.asarray(hashes), duplicates) for hashes in slices]


def _common(hashes: Hashes, duplicates: Hashes) -> Hashes:
    """The distinct values of ``hashes`` that are in ``duplicates``; both sorted."""
    found = hashes[is_in(hashes, duplicates)]
    return found[np.concatenate([[True], found[1:] != found[:-1]])] if len(found) else found


def is_in(values: Hashes, table: Hashes) -> npt.NDArray[np.bool_]:
    """Which of ``values`` stand in the sorted ``table``."""
    if not len(table):
        return np.zeros(len(values), bool)
    places = np.searchsorted(table, values)
    found: npt.NDArray[np.bool_] = table[np.minimum(places, len(table) - 1)] == values
    return found


def read_drops(folder: Path, shard: str) -> Hashes:
    """The sorted hashes to drop from one shard, out of the output of corpus.duplicates."""
    for window in read_json(folder / WINDOWS):
        if shard in window["shards"]:
            place = window["shards"].index(shard)
            return np.concatenate([_drops_of(folder / f"{part}.npy", place) for part in window["parts"]])
    raise XlmrError(f"{folder}: {shard} is in no window", "run corpus.duplicates again")


def _drops_of(path: Path, place: int) -> Hashes:
    starts = np.load(path.with_suffix(".starts.npy"), allow_pickle=False)
    drops: Hashes = np.load(path, mmap_mode="r", allow_pickle=False)[starts[place] : starts[place + 1]]
    return drops
