"""Arrow files of records: reading them batch by batch in bounded memory, and writing them with record batches cut
exactly, so that the bytes of a file follow from its rows alone and not from how they came in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus.output.file_boundaries import Sizes, next_stop
from pipeline.errors import XlmrError


def read_batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The record batches of an Arrow file, in order, these columns only. Errors: XlmrError naming the file."""
    try:
        with pa.memory_map(str(path)) as source:
            options = _only(columns, pa.ipc.open_file(source).schema)
            with pa.ipc.open_file(source, options=options) as reader:
                for number in range(reader.num_record_batches):
                    yield reader.get_batch(number)
    except (pa.ArrowInvalid, ValueError) as error:
        raise XlmrError(f"{path}: not a complete Arrow file ({error})", "run its stage again") from None


def read_numbered(path: Path, numbers: Sequence[int]) -> Iterator[pa.RecordBatch]:
    """Some record batches of an Arrow file, by their numbers."""
    # Workers are processes already: Arrow's own threads would only take their turn.
    options = pa.ipc.IpcReadOptions(use_threads=False)
    with pa.memory_map(str(path)) as source, pa.ipc.open_file(source, options=options) as reader:
        for number in numbers:
            yield reader.get_batch(number)


def with_columns(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """``batch`` with the columns of ``schema``; those that it does not have, as corpora from before lack some, null."""
    there = set(batch.schema.names)
    columns = [batch.column(f.name) if f.name in there else pa.nulls(batch.num_rows, f.type) for f in schema]
    return pa.record_batch(columns, schema=schema)


def _only(columns: Sequence[str] | None, schema: pa.Schema) -> pa.ipc.IpcReadOptions:
    included = None if columns is None else [schema.names.index(name) for name in columns]
    return pa.ipc.IpcReadOptions(included_fields=included, use_threads=False)


def text_bytes(rows: pa.RecordBatch) -> Sizes:
    """Bytes of UTF-8 of each row's ``raw_content``."""
    sizes: Sizes = pc.binary_length(rows.column("raw_content")).to_numpy().astype(np.int64)
    return sizes


class BatchWriter:
    """An Arrow file whose record batches are closed by the last row that fits into ``batch_bytes`` of text."""

    def __init__(self, path: Path, schema: pa.Schema, compression: str, batch_bytes: int) -> None:
        options = pa.ipc.IpcWriteOptions(compression=compression, use_threads=False)
        self._writer = pa.ipc.new_file(str(path), schema, options=options)
        self._batch_bytes = self._space = batch_bytes
        self._waiting: list[pa.RecordBatch] = []

    def __enter__(self) -> BatchWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        self._writer.close()

    def write(self, rows: pa.RecordBatch, sizes: Sizes) -> None:
        """Append rows with these bytes of text."""
        ends = np.cumsum(sizes)
        start = 0
        while start < rows.num_rows:
            stop = next_stop(ends, start, self._space, empty=not self._waiting)
            if stop > start:
                self._waiting.append(rows.slice(start, stop - start))
                self._space -= int(sizes[start:stop].sum())
            if stop < rows.num_rows:
                self._flush()
            start = stop

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_batch(pa.concat_batches(self._waiting))
            self._waiting.clear()
        self._space = self._batch_bytes
