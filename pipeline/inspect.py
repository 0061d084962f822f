"""``xlmr inspect PATH``: what is in an output folder or a file, in words: rows, schema, records, what was dropped."""

from __future__ import annotations

import gzip
import itertools
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.config import flatten
from pipeline.errors import XlmrError
from pipeline.formatting import readable
from pipeline.manifest import MANIFEST, Manifest, read_manifest


def describe(path: Path, records: int = 3) -> Iterator[str]:
    """Lines that describe ``path``. Errors: XlmrError for what is not there or cannot be read."""
    if not path.exists():
        raise XlmrError(f"{path}: no such file", "xlmr status lists the outputs")
    if path.is_dir() or path.name == MANIFEST:
        folder = path if path.is_dir() else path.parent
        manifest = read_manifest(folder)
        if manifest is None:
            raise XlmrError(f"{folder}: has no {MANIFEST}, so it is not a complete output", "xlmr status lists those")
        return _describe_output(manifest)
    readers = {".arrow": _arrow, ".parquet": _parquet, ".jsonl": _json_lines, ".npy": _numpy}
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    reader = readers.get(suffix, _text)
    try:
        return iter(list(reader(path, records)))
    except (OSError, ValueError, EOFError) as error:
        raise XlmrError(f"{path}: cannot be read ({error})", "run its stage again") from None


def _describe_output(manifest: Manifest) -> Iterator[str]:
    yield f"{manifest.stage} (version {manifest.version}), key {manifest.key[:8]}"
    yield f"made {manifest.started} in {manifest.seconds:,.1f} s, peak memory {manifest.peak_memory_bytes / 1e9:.2f} GB"
    yield f"code {manifest.git_commit or 'not from a git checkout'}"
    for heading, values in (("settings", manifest.config), ("counts", manifest.counts)):
        yield f"{heading}:"
        for name, value in flatten(values):
            shown = f"{value:,}" if isinstance(value, int) else f"{readable(value)}"
            yield f"  {name}  {shown}"
    yield "made from:"
    yield from (f"  {name}  {source['key'][:8]}" for name, source in manifest.inputs.items())
    yield from (f"  {address}  {checksum[:8]}" for address, checksum in sorted(manifest.outside.items()))
    yield f"files: {len(manifest.files)}"
    for name, record in itertools.islice(sorted(manifest.files.items()), 20):
        yield f"  {name}  {record.size:,} bytes"
    if len(manifest.files) > 20:
        yield f"  and {len(manifest.files) - 20} more"
    yield from (f"warning: {line}" for line in manifest.warnings)


def _arrow(path: Path, records: int) -> Iterator[str]:
    import pyarrow as pa

    with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
        batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
        first = next((batch for batch in batches if batch.num_rows), None)
        rows = sum(reader.get_batch(i).num_rows for i in range(reader.num_record_batches))
        yield from _table(path, rows, reader.schema, first.slice(0, records).to_pylist() if first else [])


def _parquet(path: Path, records: int) -> Iterator[str]:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        batch = next(file.iter_batches(batch_size=records), None)
        yield from _table(path, file.metadata.num_rows, file.schema_arrow, batch.to_pylist() if batch else [])


def _table(path: Path, rows: int, schema: Any, sample: list[dict[str, Any]]) -> Iterator[str]:
    yield f"{path}: {rows:,} rows"
    yield from (f"  {field.name}: {field.type}" for field in schema)
    yield from _records(sample)


def _json_lines(path: Path, records: int) -> Iterator[str]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        sample = [json.loads(line) for line in itertools.islice(lines, records)]
        yield f"{path}: {len(sample) + sum(1 for _ in lines):,} rows"
    yield from _records(sample)


def _numpy(path: Path, records: int) -> Iterator[str]:
    import numpy as np

    array = np.load(path, mmap_mode="r", allow_pickle=False)
    yield f"{path}: {array.dtype} {array.shape}"
    yield from (f"  {row}" for row in array[:records])


def _text(path: Path, records: int) -> Iterator[str]:
    with path.open("rb") as file:
        binary = b"\0" in file.read(1 << 16)
    yield f"{path}: {path.stat().st_size:,} bytes" + (", binary" if binary else "")
    with path.open(encoding="utf-8", errors="replace") as lines:
        yield from (f"  {_short(line.rstrip())}" for line in itertools.islice(lines, 0 if binary else 5 * records))


def _records(sample: list[dict[str, Any]]) -> Iterator[str]:
    for number, record in enumerate(sample):
        yield f"record {number}"
        yield from (f"  {name}: {_short(value)}" for name, value in record.items())


def _short(value: Any) -> str:
    return textwrap.shorten(str(readable(value)), 160, placeholder=" …")
