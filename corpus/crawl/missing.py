"""Files of the crawl that were gone when a shard was hashed: ``missing/<shard>.json``, only of shards that lack some.

Line hashes and text go side by side, so whoever reads the shard again has to leave out the same files. Deleting such a
list has its shard hashed again, and the files asked for again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.storage import read_json, write_json

FOLDER = "missing"


def write_missing(folder: Path, shard: str, files: Sequence[str]) -> None:
    """Note the files that a shard lacks, if it lacks any."""
    if files:
        write_json(folder / FOLDER / f"{shard}.json", list(files))


def without_missing(folder: Path, shard: str, files: Sequence[str]) -> list[str]:
    """The files of a shard that were there."""
    try:
        missing = set(read_json(folder / FOLDER / f"{shard}.json"))
    except FileNotFoundError:
        return list(files)
    return [file for file in files if file not in missing]
