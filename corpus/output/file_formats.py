"""One Arrow file of the corpus as one Parquet file, or as one file of cc_net's JSON lines. Streams batch by batch."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from corpus.output.arrow_files import read_batches, text_bytes, with_columns
from corpus.output.corpus_folder import CorpusFile
from corpus.output.records import CORPUS
from pipeline.counts import Counts
from pipeline.shards import ShardReport

ROW_GROUP_BYTES = 32 * 2**20
"""Text of a row group: what a reader unpacks at once, and readers work on row groups side by side."""

REPETITIVE = ["source_domain", "cc_segment", "language", "bucket"]
"""Columns that a dictionary makes smaller; the others hardly ever repeat a value."""

DECIMALS = {"language_score": 2, "perplexity": 1}
"""Columns that were rounded and are float32 since: the decimal that is written is the one that was rounded to."""

OURS = ("line_scores", "line_perplexities")
"""Fields that cc_net does not have; they come after its own."""

FIELDS = [*(name for name in CORPUS.names if name not in OURS), *(name for name in OURS if name in CORPUS.names)]


def write_parquet(level: int, file: CorpusFile, workspace: Path) -> ShardReport:
    """``<language>/<bucket>-<number>.parquet``, zstd."""
    path = workspace / file.language / f"{file.path.stem}.parquet"
    path.parent.mkdir()
    counts: Counts = {"documents": 0, "text_bytes": 0, "files": 1}
    writer = parquet.ParquetWriter(
        path, CORPUS, compression="zstd", compression_level=level, use_dictionary=REPETITIVE, write_page_index=True
    )
    with writer:
        for group in _row_groups(file.path, counts):
            writer.write_table(pa.Table.from_batches(group, CORPUS), row_group_size=2**30)
    return ShardReport({**counts, "file_bytes": path.stat().st_size})


def _row_groups(path: Path, counts: Counts) -> Iterator[list[pa.RecordBatch]]:
    group: list[pa.RecordBatch] = []
    held = 0
    for batch in read_batches(path):
        here = int(text_bytes(batch).sum())
        if group and held + here > ROW_GROUP_BYTES:
            yield group
            group, held = [], 0
        group.append(with_columns(batch, CORPUS))
        held += here
        counts["documents"] += batch.num_rows
        counts["text_bytes"] += here
    if group:
        yield group


def write_jsonl(level: int, file: CorpusFile, workspace: Path) -> ShardReport:
    """``<language>_<bucket>_<number>.json.gz``, a document a line, cc_net's fields in its order.

    What is null is left out: cc_net's documents without a language model have no perplexity, those of its profile no
    scores of lines.
    """
    path = workspace / f"{file.language}_{file.bucket}_{file.number:04d}.json.gz"
    counts: Counts = {"documents": 0, "text_bytes": 0, "files": 1}
    # Neither name nor time in the header: the same bytes whenever and wherever it is written.
    with path.open("wb") as raw, gzip.GzipFile("", "wb", level, raw, mtime=0) as lines:
        for batch in read_batches(file.path):
            counts["documents"] += batch.num_rows
            counts["text_bytes"] += int(text_bytes(batch).sum())
            for row in batch.to_pylist():
                lines.write(as_json(row).encode() + b"\n")
    return ShardReport({**counts, "file_bytes": path.stat().st_size})


def as_json(row: dict[str, Any]) -> str:
    """One document as cc_net writes it."""
    for name, decimals in DECIMALS.items():
        if row[name] is not None:
            row[name] = round(row[name], decimals)
    return json.dumps({name: row[name] for name in FIELDS if row.get(name) is not None}, ensure_ascii=False)
