"""From rows by language and bucket to rows by segment of the crawl, sorted outside memory: the middle of minifying.

In: runs, Arrow files of MINIFIED rows in which the rows of a segment stand together. Out: Parquet parts, a row group
a segment, in an order of the segments that agrees with every run: within a language and bucket, rows keep their order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from corpus.minify.minified import MINIFIED, WRITER_OPTIONS, Segment
from corpus.output.arrow_files import read_batches
from pipeline.context import Context
from pipeline.counts import Counts
from pipeline.errors import XlmrError
from pipeline.shards import ShardReport

PART_ROWS = 200_000
"""Documents of a part, if no segment has more: what is in memory at once, some 100 MB."""


@dataclass(frozen=True)
class SegmentRun:
    """An Arrow file of MINIFIED rows; the segments that stand in it, in order, each with its number of rows."""

    path: Path
    segments: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, path: Path, segments: Sequence[Sequence[Any]]) -> SegmentRun:
        """From what ``count_segments`` gave, by way of JSON."""
        return cls(path, tuple((name, rows) for name, rows in segments))


@dataclass(frozen=True)
class ParquetPart:
    """Some segments that follow each other: their rows in each run are a slice (run, first row, rows)."""

    name: str
    segments: tuple[str, ...]
    slices: tuple[tuple[Path, int, int], ...]


def count_segments(batches: Iterator[pa.RecordBatch]) -> list[tuple[str, int]]:
    """The segments of rows in order, each with how many rows of it follow each other."""
    found: list[tuple[str, int]] = []
    for batch in batches:
        encoded = pc.run_end_encode(batch.column("cc_segment"))
        lengths = np.diff(encoded.run_ends.to_numpy(), prepend=0).tolist()
        for segment, rows in zip(encoded.values.to_pylist(), lengths, strict=True):
            if found and found[-1][0] == segment:
                found[-1] = (segment, found[-1][1] + rows)
            else:
                found.append((segment, rows))
    return found


def write_parts(streams: Mapping[str, Sequence[SegmentRun]], context: Context) -> tuple[list[Segment], Counts]:
    """Write the parts of all runs; ``streams`` are runs that follow each other. Gives the segments in order."""
    order = order_of([[name for run in runs for name, _ in run.segments] for runs in streams.values()])
    parts = cut_into_parts([run for runs in streams.values() for run in runs], order)
    counts = context.map_shards(write_part, {part.name: part for part in parts})
    segments = [
        Segment(name, f"{part.name}.parquet", number, counts[part.name]["segments"][name])
        for part in parts
        for number, name in enumerate(part.segments)
    ]
    return segments, {"file_bytes": sum(count["file_bytes"] for count in counts.values())}


def order_of(streams: Sequence[Sequence[str]]) -> list[str]:
    """An order of the segments in which those of each stream stand in its order: by name, where that will do.

    Errors: XlmrError where there is none, because a segment stands in two places of a stream.
    """
    pairs = {(one, following) for stream in streams for one, following in pairwise(stream) if one != following}
    names = sorted({name for stream in streams for name in stream})
    if all(one < following for one, following in pairs):
        return names
    before: dict[str, list[str]] = {name: [] for name in names}
    for one, following in sorted(pairs):
        before[following].append(one)
    try:
        return list(TopologicalSorter(before).static_order())
    except CycleError as error:
        raise XlmrError(
            f"documents of {error.args[1][0]} are in several places of one language and bucket",
            "minify a corpus as corpus.regroup writes it",
        ) from None


def cut_into_parts(runs: Sequence[SegmentRun], order: Sequence[str]) -> list[ParquetPart]:
    """Parts of PART_ROWS rows or less, if no segment has more."""
    rows = dict.fromkeys(order, 0)
    for run in runs:
        for name, count in run.segments:
            rows[name] += count
    groups: list[list[str]] = []
    space = 0
    for name in order:
        if not groups or rows[name] > space:
            groups.append([])
            space = PART_ROWS
        groups[-1].append(name)
        space -= rows[name]
    slices = _slices(runs, {name: number for number, group in enumerate(groups) for name in group})
    return [
        ParquetPart(f"part-{number:05d}", tuple(group), tuple(slices.get(number, ())))
        for number, group in enumerate(groups)
    ]


def _slices(runs: Sequence[SegmentRun], part_of: Mapping[str, int]) -> dict[int, list[tuple[Path, int, int]]]:
    found: dict[int, list[tuple[Path, int, int]]] = {}
    for run in runs:
        first = 0
        for name, rows in run.segments:
            of_part = found.setdefault(part_of[name], [])
            if of_part and of_part[-1][0] == run.path:
                path, start, count = of_part.pop()
                of_part.append((path, start, count + rows))
            else:
                of_part.append((run.path, first, rows))
            first += rows
    return found


def write_part(part: ParquetPart, workspace: Path) -> ShardReport:
    """Write one part, a row group a segment."""
    table = pa.Table.from_batches([rows for rows_of_run in part.slices for rows in _read_slice(*rows_of_run)], MINIFIED)
    places = pc.index_in(table.column("cc_segment"), value_set=pa.array(part.segments, pa.string())).to_numpy()
    table = table.take(pa.array(np.argsort(places, kind="stable")))
    counts = np.bincount(places, minlength=len(part.segments)).tolist()
    path = workspace / f"{part.name}.parquet"
    with parquet.ParquetWriter(path, MINIFIED, **WRITER_OPTIONS) as writer:
        start = 0
        for rows in counts:
            writer.write_table(table.slice(start, rows), row_group_size=max(rows, 1))
            start += rows
    segments = dict(zip(part.segments, counts, strict=True))
    return ShardReport({"segments": segments, "file_bytes": path.stat().st_size})


def _read_slice(path: Path, first: int, rows: int) -> Iterator[pa.RecordBatch]:
    for batch in read_batches(path):
        if rows and first < batch.num_rows:
            here = batch.slice(first, rows)
            rows -= here.num_rows
            yield here
        first = max(0, first - batch.num_rows)


def index_of(segments: Sequence[Segment]) -> list[dict[str, object]]:
    """As it stands in the index."""
    return [asdict(segment) for segment in segments]
