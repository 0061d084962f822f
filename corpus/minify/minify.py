"""``xlmr corpus minify``: the corpus without its text; ``xlmr corpus reproduce`` rebuilds it out of the crawl.

Where CCNet's published form has 16 bits for the number of a line and nothing to check it by, this one has 32 and a
checksum of every line.
"""

from __future__ import annotations

import shutil
import sys
import zlib
from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from corpus.minify.minified import FORMAT, INDEX, MINIFIED, checks_of
from corpus.minify.segments import SegmentRun, count_segments, index_of, write_parts
from corpus.output.arrow_files import read_batches, text_bytes, with_columns
from corpus.output.corpus_folder import CorpusFile, corpus_files, corpus_identity, find_corpus
from corpus.output.masks import read_masks
from corpus.output.reading import read_reading
from corpus.output.settings import Regroup
from corpus.output.tool_folder import tool_folder
from pipeline.context import Context
from pipeline.counts import sum_counts
from pipeline.errors import XlmrError
from pipeline.formatting import size
from pipeline.manifest import read_manifest
from pipeline.shards import ShardReport
from pipeline.storage import read_json, write_json

RUNS = ".runs"


def minify(corpus: Path, out: Path, *, workers: int | None = None) -> None:
    """Write what is known of the corpus but its text, and checksums of its lines.

    Parameters
    ----------
    corpus
        The output folder of corpus.regroup, a run's folder, or its YAML file.
    out
        The folder to write into. The same command again resumes.
    workers
        Processes; usually one a core.
    """
    folder = find_corpus(corpus)
    asked = {"corpus": corpus_identity(folder), "form": f"minified {FORMAT}"}
    with tool_folder("corpus.minify", out, asked, workers) as context:
        if not (out / INDEX).exists():
            _minify(folder, out, context)
    print(describe(read_json(out / INDEX)), file=sys.stderr)
    print(out)


def _minify(corpus: Path, out: Path, context: Context) -> None:
    files = corpus_files(corpus)
    inside = Context(context.stage, out / RUNS, context.workers, context.log)
    counts = inside.map_shards(minify_file, {file.name: file for file in files})
    streams: dict[str, list[SegmentRun]] = defaultdict(list)
    for file in files:
        stream = streams[f"{file.language} {file.bucket}"]
        stream.append(SegmentRun.of(out / RUNS / f"{file.name}.run", read_json(out / RUNS / f"{file.name}.json")))
    segments, written = write_parts(streams, context)
    manifest = read_manifest(corpus)
    index = {
        "format": FORMAT,
        "regroup": manifest.config["regroup"] if manifest else Regroup().model_dump(),
        "masks": read_masks(corpus),
        "reading": read_reading(corpus),
        "counts": {
            **sum_counts(counts),
            "corpus_bytes": sum(file.path.stat().st_size for file in files),
            "minified_bytes": written["file_bytes"],
        },
        "segments": index_of(segments),
    }
    write_json(out / INDEX, index)
    shutil.rmtree(out / RUNS)


def describe(index: dict[str, Any]) -> str:
    """One line: how large the minified corpus is against the full one."""
    counts = index["counts"]
    documents = max(counts.get("documents", 0), 1)
    minified, full = counts["minified_bytes"], counts["corpus_bytes"]
    return (
        f"{counts.get('documents', 0):,} documents in {len(index['segments']):,} segments: {size(minified)}, "
        f"{minified / documents:,.0f} bytes a document; the corpus has {full / documents:,.0f} "
        f"({size(full)}, {size(counts.get('text_bytes', 0))} of text)"
    )


def minify_file(file: CorpusFile, workspace: Path) -> ShardReport:
    """One file of the corpus as a run, with the segments that stand in it."""
    counts = {"documents": 0, "lines": 0, "text_bytes": 0}
    path = workspace / f"{file.name}.run"
    with pa.ipc.new_file(str(path), MINIFIED) as writer:
        for batch in read_batches(file.path):
            rows = minify_batch(batch, file.path)
            writer.write_batch(rows)
            counts["documents"] += rows.num_rows
            counts["lines"] += len(rows.column("line_ids").flatten())
            counts["text_bytes"] += int(text_bytes(batch).sum())
    write_json(workspace / f"{file.name}.json", count_segments(read_batches(path, ("cc_segment",))))
    return ShardReport(counts)


def minify_batch(batch: pa.RecordBatch, path: Path) -> pa.RecordBatch:
    """The rows without their text. Errors: XlmrError naming the file where text and ``line_ids`` do not agree."""
    checks, text_checks = [], []
    lengths = batch.column("line_ids").value_lengths().to_pylist()
    for text, length, url in zip(
        batch.column("raw_content").to_pylist(), lengths, batch.column("url").to_pylist(), strict=True
    ):
        content = text.encode()
        lines = content.split(b"\n")
        if len(lines) != length:
            raise XlmrError(f"{path}: {url} has {len(lines)} lines and {length} line_ids", "run corpus.regroup again")
        checks.append(checks_of(lines))
        text_checks.append(zlib.crc32(content))
    there = [name for name in MINIFIED.names if name in batch.schema.names]
    columns = {name: batch.column(name) for name in there}
    columns["line_checks"] = pa.array(checks, pa.binary())
    columns["text_check"] = pa.array(text_checks, pa.uint32())
    return with_columns(pa.record_batch(columns), MINIFIED)
