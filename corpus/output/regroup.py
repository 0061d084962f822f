"""Stage ``corpus.regroup``: the corpus, as Arrow files by language and bucket: ``<language>/<bucket>-<number>.arrow``.

A shard is a language. Its record batches are read from every mined file in order, cut into buckets by perplexity, and
appended; a file is closed when it holds ``file_bytes`` of text. Also written: counts.json.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus.output.records import BUCKETS, CORPUS
from corpus.perplexity.cutoffs import CUTOFFS
from pipeline.context import Context
from pipeline.counts import Counts, sum_counts
from pipeline.shards import ShardReport
from pipeline.stage import Inputs
from pipeline.storage import read_json, write_json

if TYPE_CHECKING:
    from corpus.output.settings import Regroup
    from corpus.stages import RegroupStage

COUNTS = "counts.json"
ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class LanguageShard:
    """One language: the mined batches that hold it, as (file, number of the batch), and its cut-offs."""

    language: str
    batches: tuple[tuple[Path, int], ...]
    cutoffs: tuple[float, float] | None


def run(config: RegroupStage, inputs: Inputs, output: Path, context: Context) -> Counts:
    """Write each language's files."""
    cutoffs = read_json(inputs["corpus.cutoffs"] / CUTOFFS)
    batches: dict[str, list[tuple[Path, int]]] = defaultdict(list)
    for path in sorted(inputs["corpus.mine"].glob("*.arrow")):
        for number, language in enumerate(read_json(path.with_suffix(".languages.json"))):
            batches[language].append((path, number))
    shards = {
        language: LanguageShard(language, tuple(places), tuple(cutoffs[language]) if language in cutoffs else None)
        for language, places in sorted(batches.items())
    }
    by_language = context.map_shards(partial(regroup_language, config.regroup), shards)
    table = {
        what: {language: counts[what] for language, counts in by_language.items()}
        for what in ("documents", "characters", "bytes")
    }
    write_json(output / COUNTS, table)
    totals = {what: sum(sum_counts(list(rows.values())).values()) for what, rows in table.items()}
    return {**totals, "languages": len(shards), "by_bucket": sum_counts(list(table["documents"].values()))}


def regroup_language(settings: Regroup, shard: LanguageShard, workspace: Path) -> ShardReport:
    """Write the files of one language."""
    folder = workspace / shard.language
    folder.mkdir()
    counts: Counts = {"documents": {}, "characters": {}, "bytes": {}}
    writers = {bucket: _BucketWriter(folder, bucket, settings) for bucket in BUCKETS}
    for batch in _read(shard):
        labels = bucket_of(batch.column("perplexity"), shard.cutoffs)
        sizes = pc.binary_length(batch.column("raw_content"))
        whole = batch.append_column(CORPUS.field("bucket"), labels)
        for bucket in pc.unique(labels).to_pylist():
            mask = pc.equal(labels, bucket)
            rows, row_bytes = whole.filter(mask), sizes.filter(mask)
            writers[bucket].write(rows, row_bytes.to_numpy())
            _add(counts, bucket, rows, row_bytes)
    for writer in writers.values():
        writer.close()
    return ShardReport(counts)


def _add(counts: Counts, bucket: str, rows: pa.RecordBatch, row_bytes: pa.Array) -> None:
    sums = {
        "documents": rows.num_rows,
        "characters": pc.sum(rows.column("length")).as_py(),
        "bytes": pc.sum(row_bytes).as_py(),
    }
    for what, number in sums.items():
        counts[what][bucket] = counts[what].get(bucket, 0) + number


def _read(shard: LanguageShard) -> Iterator[pa.RecordBatch]:
    for path, number in shard.batches:
        with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
            batch = reader.get_batch(number)
            for start in range(0, batch.num_rows, ROWS_AT_ONCE):
                yield batch.slice(start, ROWS_AT_ONCE)


def bucket_of(perplexity: pa.Array, cutoffs: tuple[float, float] | None) -> pa.Array:
    """Cut: head < first cut-off ≤ middle < second ≤ tail; all without perplexity. Source: cc_net perplexity.py."""
    if cutoffs is None:
        return pa.array(["all"] * len(perplexity), pa.string())
    head, middle = cutoffs
    # The decimal that was rounded, not its float32 neighbour: one that equals the cut-off is not under it.
    value = pc.round(perplexity.cast(pa.float64()), 1)
    labels = pc.if_else(pc.less(value, head), "head", pc.if_else(pc.less(value, middle), "middle", "tail"))
    return pc.fill_null(labels, "all")


class _BucketWriter:
    """The files of one bucket, one after the other."""

    def __init__(self, folder: Path, bucket: str, settings: Regroup) -> None:
        self._stem = folder / bucket
        self._settings = settings
        self._number = 0
        self._room = 0
        self._writer: pa.ipc.RecordBatchFileWriter | None = None

    def write(self, rows: pa.RecordBatch, row_bytes: np.ndarray) -> None:
        """Append rows; a row that does not fit into the file begins the next one (each file holds one at least)."""
        while rows.num_rows:
            if self._writer is None:
                self._open()
            fits = int(np.searchsorted(np.cumsum(row_bytes), self._room, side="right"))
            if fits == 0 and self._room == self._settings.file_bytes:
                fits = 1
            if fits:
                assert self._writer is not None
                self._writer.write_batch(rows.slice(0, fits))
                self._room -= int(row_bytes[:fits].sum())
                rows, row_bytes = rows.slice(fits), row_bytes[fits:]
            if rows.num_rows:
                self.close()

    def _open(self) -> None:
        options = pa.ipc.IpcWriteOptions(compression=self._settings.compression)
        path = self._stem.with_name(f"{self._stem.name}-{self._number:05d}.arrow")
        self._writer = pa.ipc.new_file(str(path), CORPUS, options=options)
        self._room = self._settings.file_bytes
        self._number += 1

    def close(self) -> None:
        """Finish the file that is open, if any."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
