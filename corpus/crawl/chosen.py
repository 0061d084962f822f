"""The records that the URL index selects of each shard: ``chosen/<shard>.parquet`` beside shards.json.

``file``            its address.
``offset, length``  of the record's gzip member in a WARC file, in bytes; null for WET.
``url``             of the page in a WET file, by which it is found; null for WARC.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

CHOSEN = "chosen"
SCHEMA = pa.schema(
    [("file", pa.large_string()), ("offset", pa.int64()), ("length", pa.int64()), ("url", pa.large_string())]
)


@dataclass(frozen=True)
class Chosen:
    """What is read of the files of one shard: byte ranges of WARC files, or pages of WET files by their URLs."""

    ranges: dict[str, tuple[tuple[int, int], ...]]
    urls: dict[str, frozenset[str]]


def write_chosen(table: pa.Table, shards: Mapping[str, Sequence[str]], names: Mapping[str, str], folder: Path) -> None:
    """Write what is chosen of each shard. ``names`` has what ``table``, in order of its files, calls each address."""
    from pyarrow import parquet

    counted = pc.value_counts(table.column("file"))  # in order of appearance
    ends = np.cumsum(counted.field("counts").to_numpy())
    places = {name: (int(end) - count, count) for name, count, end in zip(
        counted.field("values").to_pylist(), counted.field("counts").to_pylist(), ends, strict=True
    )}  # fmt: skip
    (folder / CHOSEN).mkdir(parents=True, exist_ok=True)
    for shard, addresses in shards.items():
        parts = []
        for address in addresses:
            part = table.slice(*places[names[address]])
            parts.append(part.set_column(0, "file", pa.array([address] * part.num_rows, pa.large_string())))
        parquet.write_table(pa.concat_tables(parts), folder / CHOSEN / f"{shard}.parquet", compression="zstd")


def chosen_file(folder: Path, shard: str) -> Path | None:
    """Where corpus.fetch wrote what is chosen of a shard; None where all of its files is read."""
    path = folder / CHOSEN / f"{shard}.parquet"
    return path if path.exists() else None


def read_chosen(path: Path | None) -> Chosen | None:
    """What is chosen of a shard."""
    if path is None:
        return None
    from pyarrow import parquet

    ranges: dict[str, list[tuple[int, int]]] = {}
    urls: dict[str, set[str]] = {}
    for row in parquet.read_table(path).to_pylist():
        if row["url"] is None:
            ranges.setdefault(row["file"], []).append((row["offset"], row["length"]))
        else:
            urls.setdefault(row["file"], set()).add(row["url"])
    return Chosen(
        {file: tuple(joined(places)) for file, places in ranges.items()},
        {file: frozenset(some) for file, some in urls.items()},
    )


def joined(ranges: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Ranges (offset, length) in order, those that touch as one: fewer requests."""
    start = stop = -1
    for offset, length in ranges:
        if offset > stop or start < 0:
            if start >= 0:
                yield start, stop - start
            start, stop = offset, offset + length
        stop = max(stop, offset + length)
    if start >= 0:
        yield start, stop - start
