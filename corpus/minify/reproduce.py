"""``xlmr corpus reproduce``: the corpus again, from its minified form and the crawl, every line checked.

Segments are rebuilt by processes, each read once; then their rows are regrouped, by the settings that the corpus was
cut by, so that its files come out as they were, byte by byte. What is gone or changed is counted and named.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import pyarrow as pa
from cyclopts import Parameter

from corpus.crawl.settings import Download, Read
from corpus.minify.ccnet_minified import convert, is_ccnet
from corpus.minify.minified import INDEX, Minified
from corpus.minify.rebuild import Crawl, SegmentShard, files_by_name, rebuild
from corpus.output.file_boundaries import Codes
from corpus.output.masks import write_masks
from corpus.output.reading import read_like, write_reading
from corpus.output.regroup import MeasuredFile, code_of, forget_measured, regroup, write_measure
from corpus.output.settings import Regroup
from corpus.output.tool_folder import ASKED, LOG, tool_folder
from pipeline.context import Context
from pipeline.counts import Counts, sum_counts
from pipeline.errors import UsageError, XlmrError
from pipeline.shards import MARKS, ShardReport
from pipeline.storage import atomic_write, canonical_json, has_wildcards, read_json, sha256_of_file, write_json

REBUILT = ".rebuilt"
CONVERTED = ".minified"
OUTCOME = "reproduced.json"
MISSING = "missing.jsonl"


def reproduce(
    minified: Path,
    crawl: str,
    out: Path,
    *,
    main_content: Annotated[bool, Parameter(negative="")] = False,
    cache: Path = Path(".cache/crawl"),
    workers: int | None = None,
) -> None:
    """Rebuild a corpus out of the crawl, and check every line.

    Parameters
    ----------
    minified
        What xlmr corpus minify wrote, or a folder of CCNet's minified JSON files (these have nothing to check by).
    crawl
        Where the crawl is: a folder, an address as https://data.commoncrawl.org/ or s3://commoncrawl/, or a pattern
        of files in quotes, as 'folder/*.gz'.
    out
        The folder to write into. The same command again resumes, and tries again what could not be had.
    main_content
        The corpus was made from HTML with corpus.read.main_content; only asked of CCNet's files, ours say it.
    cache
        Where fetched files are kept.
    workers
        Processes; usually one a core.
    """
    if has_wildcards(crawl):
        files_by_name(crawl)  # there must be some
    read = Read(min_characters=0, main_content=main_content, download=Download(folder=cache))
    ccnet = is_ccnet(minified)
    asked = {"minified": _identity(minified, ccnet), "main content": main_content, "crawl": crawl}
    with tool_folder("corpus.reproduce", out, asked, workers) as context:
        _try_missing_again(out)
        if not (out / OUTCOME).exists():
            if ccnet:
                convert(minified, out / CONVERTED, context)
            source = Minified.open(out / CONVERTED if ccnet else minified)
            _reproduce(source, Crawl(crawl, read_like(read, source.reading)), out, context)
        counts = read_json(out / OUTCOME)
    print(describe(counts), file=sys.stderr)
    print(out)
    missing = _missing(counts)
    if missing:
        raise XlmrError(
            f"{missing:,} of {missing + counts['rebuilt']:,} documents are missing from this crawl, or changed",
            f"they are listed in {out / MISSING}; the same command tries them again",
        )


def _identity(minified: Path, ccnet: bool) -> str:
    if not minified.is_dir():
        raise UsageError(f"{minified}: no such folder", "name what xlmr corpus minify wrote")
    if not ccnet:
        Minified.open(minified)
        return sha256_of_file(minified / INDEX)
    sizes = {path.name: path.stat().st_size for path in sorted(minified.glob("*.json.gz"))}
    return hashlib.sha256(canonical_json(sizes).encode()).hexdigest()


def _reproduce(source: Minified, crawl: Crawl, out: Path, context: Context) -> None:
    shards = {
        f"segment-{number:06d}": SegmentShard(f"segment-{number:06d}", source, segment)
        for number, segment in enumerate(source.segments)
    }
    inside = Context(context.stage, out / REBUILT, context.workers, context.log)
    outcome = sum_counts(inside.map_shards(partial(rebuild, crawl), shards))
    rebuilt = [out / REBUILT / f"{name}.arrow" for name in shards]
    counts = regroup(measure_rebuilt, rebuilt, Regroup.model_validate(source.regroup), out, context)
    forget_measured(out)
    write_masks(out, source.masks)
    write_reading(out, source.reading)
    with atomic_write(out / MISSING) as target:
        for path in rebuilt:
            with path.with_suffix(".missing.jsonl").open("rb") as lines:
                shutil.copyfileobj(lines, target)
    outcome = {"rebuilt": 0, "gone": 0, "changed": 0, "unchecked": 0, **outcome}
    write_json(out / OUTCOME, {**outcome, "bytes": counts["bytes"], "segments": len(shards)})
    if not _missing(outcome):
        shutil.rmtree(out / REBUILT)
        shutil.rmtree(out / CONVERTED, ignore_errors=True)


def measure_rebuilt(source: MeasuredFile, workspace: Path) -> ShardReport:
    """Measure one rebuilt segment: its rows say their buckets."""

    def codes_of(language: str, batch: pa.RecordBatch, first_row: int) -> Codes:
        del language, first_row
        return code_of(batch.column("bucket"))

    write_measure(source, workspace, codes_of, ("bucket",))
    return ShardReport({})


def _missing(counts: Counts) -> int:
    missing: int = counts["gone"] + counts["changed"]
    return missing


def _try_missing_again(out: Path) -> None:
    """After an incomplete outcome: keep the segments that are whole, and remove what was made of all of them."""
    if not (out / OUTCOME).exists() or not _missing(read_json(out / OUTCOME)):
        return
    for path in (out / REBUILT).glob("*.missing.jsonl"):
        if path.stat().st_size:
            (out / REBUILT / MARKS / f"{path.name.removesuffix('.missing.jsonl')}.json").unlink(missing_ok=True)
    for path in out.iterdir():
        if path.name not in {REBUILT, CONVERTED, ASKED, LOG, OUTCOME}:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (out / OUTCOME).unlink()


def describe(counts: Counts) -> str:
    """One line: what came out."""
    line = f"{counts['rebuilt']:,} documents rebuilt from {counts['segments']:,} segments"
    for what in ("gone", "changed"):
        line += f", {counts[what]:,} {what}"
    return line + (f"; {counts['unchecked']:,} had no checksums" if counts["unchecked"] else "; every line checked")
