"""Stage ``corpus.duplicates``: which hashes to drop, for any number of shards in fixed memory.

Windows are cut into partitions by the top bits of the hashes, so many that one fits into the memory setting. Sort the
union of a partition's slices, and what stands in it twice or more is a duplicate; then walk through the shards in
order and write which of these each holds. No text crosses, and the largest thing in memory is one partition.

``<partition>.npy``         uint64, shard after shard, sorted: every line with such a hash goes.
``<partition>.once.npy``    the same for keep_first: the shard's first line with such a hash stays, the others go.
``<partition>.starts.npy``  int64 [1 or 2, shards + 1]: where each shard's part of these two begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from corpus.duplicates.arrays import Hashes, HashWriter, read_chunks, read_into
from corpus.duplicates.table import HashTable, Mask
from corpus.duplicates.windows import HashPartition, cut, windows_of
from pipeline.context import Context
from pipeline.counts import Counts, sum_counts
from pipeline.errors import XlmrError
from pipeline.shards import ShardReport
from pipeline.stage import Inputs
from pipeline.storage import read_json, write_json

if TYPE_CHECKING:
    from corpus.settings import DuplicatesStage

WINDOWS = "windows.json"
CHUNK = 2**19
"""Hashes that are read at once where the order of reading does not matter: 4 MiB, and as much again for indices."""

MANY_READS = 10_000_000
"""Parts of files, partitions × shards, from where on opening them takes longer than reading them."""

Keep = Literal["drop_all", "keep_first"]


def run(config: DuplicatesStage, inputs: Inputs, output: Path, context: Context) -> Counts:
    """Find the duplicates of each window, partition by partition."""
    settings = config.duplicates
    windows = windows_of(inputs["corpus.hash"] / "sorted", settings.window)
    cuts = [list(cut(window, settings.memory_bytes)) for window in windows]
    partitions = {partition.stem: partition for parts in cuts for partition in parts}
    for window, parts in zip(windows, cuts, strict=True):
        if len(parts) * len(window.shards) > MANY_READS:
            context.warn(
                f"window {window.number}: {len(parts):,} partitions of {len(window.shards):,} shards are many small "
                "reads; raise corpus.duplicates.memory_bytes, or lower fetch.shards"
            )
    counts = sum_counts(context.map_shards(partial(find_in_partition, settings.keep), partitions, read_back=False))
    index = [
        {"shards": list(window.shards), "parts": [part.stem for part in parts]}
        for window, parts in zip(windows, cuts, strict=True)
    ]
    write_json(output / WINDOWS, index)
    return {**counts, "windows": len(windows), "partitions": len(partitions)}


def find_in_partition(keep: Keep, partition: HashPartition, workspace: Path) -> ShardReport:
    """Write the files of one partition."""
    slices = partition.slices()
    lengths = slices[:, 1] - slices[:, 0]
    window = partition.window
    union = np.empty(lengths.sum(), np.uint64)
    ends = np.cumsum(lengths)
    for shard, start, end, length in zip(window.shards, slices[:, 0], ends, lengths, strict=True):
        read_into(union[end - length : end], window.path(shard), int(start))
    duplicates = HashTable(keep_duplicates(union))
    shards = (
        read_chunks(window.path(shard), int(start), int(stop), CHUNK)
        for shard, (start, stop) in zip(window.shards, slices, strict=True)
    )
    path = workspace / f"{partition.stem}.npy"
    starts = _drop_all(duplicates, shards, path) if keep == "drop_all" else _keep_first(duplicates, shards, path)
    np.save(path.with_suffix(".starts.npy"), np.array(starts, np.int64), allow_pickle=False)
    counts = {"distinct_in_shards": int(lengths.sum()), "duplicates": len(duplicates.hashes)}
    return ShardReport({**counts, "dropped_in_shards": sum(row[-1] for row in starts)})


def keep_duplicates(union: Hashes, size: int = CHUNK) -> Hashes:
    """The values that stand in ``union`` twice or more, sorted, at its front: it is sorted and overwritten in place."""
    union.sort()
    kept = 0
    for start in range(1, len(union), size):
        chunk = union[start - 1 : start + size].copy()
        found = distinct(chunk[1:][chunk[1:] == chunk[:-1]])
        if kept and len(found) and found[0] == union[kept - 1]:
            found = found[1:]
        # A value that is kept stands in two places that were read: what is written never reaches what is still to read.
        union[kept : kept + len(found)] = found
        kept += len(found)
    return union[:kept]


def distinct(hashes: Hashes) -> Hashes:
    """Each value of the sorted ``hashes`` once."""
    first = np.ones(len(hashes), bool)
    first[1:] = hashes[1:] != hashes[:-1]
    return hashes[first]


def _drop_all(duplicates: HashTable, shards: Iterable[Iterator[Hashes]], path: Path) -> list[list[int]]:
    """Write the duplicates that each shard holds; return where each shard's begin."""
    starts = [0]
    with HashWriter(path) as drops:
        for chunks in shards:
            for chunk in chunks:
                values = distinct(chunk)
                drops.append(values[duplicates.holds(values)])
            starts.append(drops.length)
    return [starts]


def _keep_first(duplicates: HashTable, shards: Iterable[Iterator[Hashes]], path: Path) -> list[list[int]]:
    """The same, apart: what the shard is the first to hold, and holds in two documents or more; all else."""
    seen = np.zeros(len(duplicates.hashes), bool)
    starts, once_starts = [0], [0]
    with HashWriter(path) as drops, HashWriter(path.with_suffix(".once.npy")) as once:
        for chunks in shards:
            for chunk in chunks:
                values = distinct(chunk)
                places, held = duplicates.find(values)
                values, places = values[held], places[held]
                known = seen[places]
                drops.append(values[known])
                again = np.searchsorted(chunk, values, "right") - np.searchsorted(chunk, values) > 1
                once.append(values[~known & again])
                seen[places] = True
            starts.append(drops.length)
            once_starts.append(once.length)
    return [starts, once_starts]


class Drops:
    """What to drop of one shard, asked batch by batch in the order of reading."""

    def __init__(self, everywhere: Hashes, once: Hashes) -> None:
        self._everywhere = HashTable(everywhere)
        self._once = HashTable(once)
        self._seen = np.zeros(len(once), bool)

    def mask(self, hashes: Hashes, first: Mask) -> Mask:
        """True for the lines to drop as duplicates.

        ``hashes`` are those of the lines of a batch of documents, ``first`` says which are the first of their document
        with that hash. Where one copy stays, repeats of it in its own document count as duplicates too.
        """
        drop = self._everywhere.holds(hashes)
        if len(self._seen):
            places, held = self._once.find(hashes)
            drop |= held
            lines = np.flatnonzero(held & first)
            places, earliest = np.unique(places[lines], return_index=True)
            drop[lines[earliest[~self._seen[places]]]] = False
            self._seen[places] = True
        return drop


def read_drops(folder: Path, shard: str) -> Drops:
    """What to drop of one shard, out of the output of corpus.duplicates."""
    for window in read_json(folder / WINDOWS):
        if shard in window["shards"]:
            place = window["shards"].index(shard)
            borders = np.array([borders_in(folder / f"{part}.starts.npy", place) for part in window["parts"]])
            everywhere = _read_drops(folder, [f"{part}.npy" for part in window["parts"]], borders[:, 0])
            if borders.shape[1] == 1:
                return Drops(everywhere, np.empty(0, np.uint64))
            names = [f"{part}.once.npy" for part in window["parts"]]
            return Drops(everywhere, _read_drops(folder, names, borders[:, 1]))
    raise XlmrError(f"{folder}: {shard} is in no window", "run corpus.duplicates again")


def borders_in(starts: Path, place: int) -> npt.NDArray[np.int64]:
    """[1 or 2, 2]: where the part of the shard at ``place`` begins and ends. No more is read than the pages of these:
    all numbers of a wide window's partitions together would take gigabytes.
    """
    mapped = np.load(starts, mmap_mode="r", allow_pickle=False)
    return np.array(mapped[:, place : place + 2])


def _read_drops(folder: Path, names: Sequence[str], borders: npt.NDArray[np.int64]) -> Hashes:
    """One shard's part of some files, joined: in the order of the partitions they are sorted."""
    ends = np.cumsum([0, *(borders[:, 1] - borders[:, 0])]).tolist()
    drops = np.empty(ends[-1], np.uint64)
    for name, start, (low, high) in zip(names, borders[:, 0].tolist(), pairwise(ends), strict=True):
        read_into(drops[low:high], folder / name, start)
    return drops
