"""Exact deduplication of a window of made-up hashes, within a memory setting: its peak memory, seconds, and disk.

    python -m benchmarks.duplicates --folder SCRATCH [--shards 1600] [--hashes 100000000] [--memory 1073741824]

Hashes are numbers mixed by a bijection, so that which of them stand in how many shards is known by arithmetic, and so
is what must be dropped. Writes 8 bytes a hash and then what is dropped; the folder is emptied at the end.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from corpus.duplicates.arrays import Hashes, HashWriter
from corpus.duplicates.exact import find_in_partition, read_drops
from corpus.duplicates.windows import HashPartition, cut, windows_of
from pipeline.storage import write_json

SHARED = 4
"""Of each shard's hashes one in so many is a duplicate: half of these stand in the next shard too, half in this alone,
in two documents."""


def mix(numbers: Hashes) -> Hashes:
    """A bijection of 64-bit numbers that spreads them as a hash does. Source: splitmix64, Steele et al. 2014."""
    mixed = numbers * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    result: Hashes = mixed ^ (mixed >> np.uint64(31))
    return result


def make_window(folder: Path, shards: int, each: int) -> None:
    """The sorted files of ``shards``, of ``each`` hashes or a few less.

    A shard's own numbers begin at ``shard * each``. The first eighth of them stand in the shard before as well, the
    next eighth twice in this one.
    """
    part = each // (2 * SHARED)
    folder.mkdir(parents=True)
    for shard in range(shards):
        own = np.arange(shard * each, (shard + 1) * each - 2 * part, dtype=np.uint64)
        after = (shard + 1) % shards * each
        twice = own[part : 2 * part]
        numbers = np.concatenate([own, twice, np.arange(after, after + part, dtype=np.uint64)])
        hashes = mix(numbers)
        hashes.sort()
        with HashWriter(folder / f"shard-{shard:05d}.npy") as writer:
            writer.append(hashes)


def deduplicate(folder: Path, memory: int, keep: str) -> None:
    """All partitions, one after the other in this process, as one worker does. Prints one line of JSON."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    start = time.perf_counter()
    (window,) = windows_of(folder / "sorted", None)
    partitions: list[HashPartition] = list(cut(window, memory))
    counts = [
        find_in_partition("keep_first" if keep == "keep_first" else "drop_all", p, folder).counts for p in partitions
    ]
    write_json(folder / "windows.json", [{"shards": window.shards, "parts": [p.stem for p in partitions]}])
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    totals = {name: sum(count[name] for count in counts) for name in counts[0]}
    print(json.dumps({"before": before, "peak": peak, "seconds": seconds, "partitions": len(partitions), **totals}))


def check(folder: Path, shards: int, each: int, keep: str) -> None:
    """Compare what is to be dropped of some shards, and of all in number, with what arithmetic says."""
    part = each // (2 * SHARED)
    for shard in {0, 1, shards // 2, shards - 1}:
        drops = read_drops(folder, f"shard-{shard:05d}")
        own = mix(np.arange(shard * each, shard * each + 2 * part, dtype=np.uint64))
        after = mix(np.arange(part, dtype=np.uint64) + np.uint64((shard + 1) % shards * each))
        alone = mix(np.arange(shard * each + 2 * part, (shard + 1) * each - 2 * part, dtype=np.uint64))
        twice = np.repeat(own[part:], 2)
        lines = np.concatenate([own[:part], twice, after, alone])
        found = drops.mask(lines, np.ones(len(lines), bool))
        kept_first = keep == "keep_first"
        in_own = [not kept_first or shard > 0] * part  # the shard before holds them too; of shard 0's, the last does
        in_after = [not kept_first or shard == shards - 1] * part
        expected = [*in_own, *([not kept_first, True] * part), *in_after, *([False] * len(alone))]
        assert found.tolist() == expected, f"shard {shard}: the wrong lines are dropped"


def main() -> None:
    """Make, deduplicate in a process of its own, check, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--shards", type=int, default=1600)
    parser.add_argument("--hashes", type=int, default=100_000_000)
    parser.add_argument("--memory", type=int, default=2**30)
    parser.add_argument("--keep", choices=["drop_all", "keep_first"], default="drop_all")
    parser.add_argument("--inner", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inner:
        deduplicate(options.folder, options.memory, options.keep)
        return
    folder = options.folder / "duplicates-benchmark"
    each = options.hashes // options.shards
    try:
        make_window(folder / "sorted", options.shards, each)
        command = [
            sys.executable,
            "-m",
            "benchmarks.duplicates",
            "--inner",
            "--folder",
            str(folder),
            "--memory",
            str(options.memory),
        ]
        answer = subprocess.run([*command, "--keep", options.keep], check=True, capture_output=True, text=True).stdout
        result = json.loads(answer)
        check(folder, options.shards, each, options.keep)
        on_disk = {path: path.stat().st_size for path in folder.rglob("*.npy")}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    hashes = result["distinct_in_shards"]
    stored = sum(size for path, size in on_disk.items() if path.parent.name == "sorted")
    print(f"{hashes:,} hashes in {options.shards:,} shards, {options.keep}, {result['partitions']} partitions")
    print(f"memory setting    {options.memory / 1e6:8,.0f} MB")
    print(f"peak of a worker  {result['peak'] / 1e6:8,.0f} MB, {result['before'] / 1e6:,.0f} MB of it before it began")
    print(f"time              {result['seconds']:8.1f} s, {hashes / result['seconds'] / 1e6:,.1f} M hashes/s")
    print(f"sorted hashes     {stored / hashes:8.2f} bytes a hash on disk")
    dropped = (sum(on_disk.values()) - stored) / hashes
    print(f"what to drop      {dropped:8.2f} bytes a hash on disk, {result['dropped_in_shards']:,} hashes")
    print(f"the result is as expected; peak {'within' if result['peak'] <= options.memory else 'OVER'} the setting")


if __name__ == "__main__":
    main()
