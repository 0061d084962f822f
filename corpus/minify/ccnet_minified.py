"""CCNet's own minified form, as it was published: JSON lines with ``line_ids`` as base64 of 16-bit numbers.

CCNet writes the numbers modulo 65,536 and reads them back as signed, so that lines from 32,768 on are lost. They are
read as unsigned here; and as the numbers of a document rise, one that does not tells of a wrap-around.
"""

from __future__ import annotations

import base64
import gzip
import json
import shutil
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corpus.minify.minified import FORMAT, INDEX, MINIFIED
from corpus.minify.segments import SegmentRun, count_segments, index_of, write_parts
from corpus.output.settings import Regroup
from pipeline.context import Context
from pipeline.errors import UsageError, XlmrError
from pipeline.shards import ShardReport
from pipeline.storage import read_json, write_json

WRAP = 2**16
ROWS_AT_ONCE = 20_000
FIELDS = ("url", "digest", "cc_segment", "language", "language_score", "perplexity", "bucket")
NEEDED = ("url", "digest", "cc_segment", "language", "bucket", "line_ids")


def is_ccnet(folder: Path) -> bool:
    """Whether a folder holds CCNet's files."""
    return any(folder.glob("*.json.gz")) and not (folder / INDEX).exists()


def convert(folder: Path, output: Path, context: Context) -> None:
    """Write CCNet's minified files in our form. Line checksums are null: CCNet has none."""
    if (output / INDEX).exists():
        return
    files = {path.name.removesuffix(".json.gz"): path for path in sorted(folder.glob("*.json.gz"))}
    runs = output / ".runs"
    Context(context.stage, runs, context.workers, context.log).map_shards(convert_file, files)
    streams = {}
    for name in files:
        for number, segments in enumerate(read_json(runs / f"{name}.json")):
            # A stream each: what order documents had between these files, and in them, CCNet does not promise.
            run = SegmentRun.of(runs / f"{name}-{number:05d}.run", segments)
            streams[run.path.stem] = [run]
    inside = Context(context.stage, output, context.workers, context.log)
    found, _ = write_parts(streams, inside)
    write_json(output / INDEX, {"format": FORMAT, "regroup": Regroup().model_dump(), "segments": index_of(found)})
    shutil.rmtree(runs)


def convert_file(path: Path, workspace: Path) -> ShardReport:
    """One file as runs, each sorted by segment."""
    name = path.name.removesuffix(".json.gz")
    rows = read_ccnet(path)
    segments: list[list[tuple[str, int]]] = []
    while some := list(islice(rows, ROWS_AT_ONCE)):
        some.sort(key=lambda row: row["cc_segment"])
        batch = pa.RecordBatch.from_pylist(some, schema=MINIFIED)
        with pa.ipc.new_file(str(workspace / f"{name}-{len(segments):05d}.run"), MINIFIED) as writer:
            writer.write_batch(batch)
        segments.append(count_segments(iter([batch])))
    write_json(workspace / f"{name}.json", segments)
    return ShardReport({})


def read_ccnet(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of one of CCNet's files. Errors: XlmrError naming file and line."""
    fail = partial(_fail, path)
    number = 0
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                row = json.loads(line)
                if "hashes" in row and "line_ids" not in row:
                    raise UsageError(
                        f"{path}: has hashes of lines, CCNet's form before line_ids", "fetch the form with line_ids"
                    )
                missing = [name for name in NEEDED if not isinstance(row.get(name), str)]
                if missing:
                    raise fail(number, f"has no {missing[0]}")
                yield {**{name: row.get(name) for name in FIELDS}, "line_ids": decode_line_ids(row["line_ids"])}
    except (OSError, EOFError) as error:
        raise fail(number + 1, f"cannot be read: {error}") from None
    except ValueError as error:
        raise fail(number, f"cannot be read: {error}") from None


def _fail(path: Path, line: int, problem: str) -> XlmrError:
    return XlmrError(f"{path}: line {line} {problem}", "fetch the whole file in CCNet's minified form again")


def decode_line_ids(text: str) -> list[int]:
    """Line numbers from base64 of ``<u2``, unwrapped. Errors: ValueError.

    A wrap-around shows where a number does not rise. One that jumps over 65,536 lines or more at once leaves no trace;
    it ends in a line that is not there, or in a wrong one that nothing in CCNet's form can tell.
    """
    content = base64.b64decode(text, validate=True)
    if len(content) % 2:
        raise ValueError("line_ids ends within a number")
    numbers = np.frombuffer(content, "<u2").astype(np.int64)
    wraps = np.cumsum(np.diff(numbers, prepend=-1) <= 0)
    found: list[int] = (numbers + WRAP * wraps).tolist()
    return found
