"""Parquet and Arrow files: the columns that are needed, a few rows at a time."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from corpus.documents.columns import Names, find, lacking_error, needed
from corpus.documents.row import BadRow, TextRow, make_row

ROWS_AT_ONCE = 256
_BUFFER = 2**20
_PARQUET, _ARROW = b"PAR1", b"ARROW1"
_DAMAGED = (OSError, EOFError, MemoryError, UnicodeDecodeError, pa.ArrowException)
"""MemoryError: a damaged length asks for more than any machine has."""

_BYTES_OF = {
    pa.string(): pa.binary(),
    pa.binary(): pa.binary(),
    pa.large_string(): pa.large_binary(),
    pa.large_binary(): pa.large_binary(),
    pa.string_view(): pa.binary_view(),
    pa.binary_view(): pa.binary_view(),
}
"""The type that holds the same bytes, of the types that hold text."""

Batches = Iterator[pa.RecordBatch | BadRow]


def read_table(file: str, stream: IO[bytes], names: Names, max_text_bytes: int) -> Iterator[TextRow | BadRow]:
    """The documents of a Parquet file, or of an Arrow file or stream, and its bad rows.

    Rows that lie in a damaged part are counted as bad; reading resumes at the next row group.
    Errors: XlmrError naming the file where it lacks a column that is needed.
    """
    head = stream.read(len(_ARROW))
    stream.seek(0)
    source = pa.PythonFile(stream, "r")
    number = 1
    try:
        opened = _open_parquet if head.startswith(_PARQUET) else _open_arrow
        schema, batches = opened(source, names)
        found = find(names, lambda name: _has(schema, name))
    except _DAMAGED as error:
        yield BadRow(number, f"the file cannot be read ({_reason(error)})", lost_bytes=stream.seek(0, io.SEEK_END))
        return
    if lacking := sorted(needed(names) - found.keys()):
        raise lacking_error(file, lacking[0], names, schema.names)
    for batch in batches:
        if isinstance(batch, BadRow):
            yield batch._replace(number=number)
            number += batch.rows
            continue
        yield from _rows_of(number, batch, found, max_text_bytes)
        number += batch.num_rows


def _open_parquet(source: pa.PythonFile, names: Names) -> tuple[pa.Schema, Batches]:
    table = parquet.ParquetFile(source, buffer_size=_BUFFER, pre_buffer=False)
    schema = table.schema_arrow
    columns = list(find(names, lambda name: _has(schema, name)).values())

    def batches() -> Batches:
        for group in range(table.num_row_groups):
            about = table.metadata.row_group(group)
            left = about.num_rows
            try:
                for batch in table.iter_batches(ROWS_AT_ONCE, [group], columns, use_threads=False):
                    left -= batch.num_rows
                    yield batch
            except _DAMAGED as error:
                problem = f"{left:,} rows of row group {group} cannot be read ({_reason(error)})"
                packed = sum(about.column(place).total_compressed_size for place in range(about.num_columns))
                yield BadRow(0, problem, left, packed * left // max(about.num_rows, 1))

    return schema, batches()


def _open_arrow(source: pa.PythonFile, names: Names) -> tuple[pa.Schema, Batches]:
    del names
    source.seek(0)
    is_file = source.read(len(_ARROW)) == _ARROW
    source.seek(0)
    reader: Any = pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)

    def batches() -> Batches:
        number = 0
        while not is_file or number < reader.num_record_batches:
            try:
                batch = reader.get_batch(number) if is_file else reader.read_next_batch()
            except StopIteration:
                return
            except _DAMAGED as error:
                yield BadRow(0, f"record batch {number} cannot be read ({_reason(error)})")
                if not is_file:
                    return
            else:
                for start in range(0, batch.num_rows, ROWS_AT_ONCE):
                    yield batch.slice(start, ROWS_AT_ONCE)
            number += 1

    return reader.schema, batches()


def _has(schema: pa.Schema, name: str) -> bool:
    """Whether there is such a column, or of ``a.b`` such a field of a column of structs."""
    if name in schema.names:
        return True
    outer, *inner = name.split(".")
    kind = schema.field(outer).type if schema.names.count(outer) == 1 else None
    for field in inner:
        if kind is None or not pa.types.is_struct(kind) or kind.get_field_index(field) < 0:
            return False
        kind = kind.field(field).type
    return kind is not None


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    if name in batch.schema.names:
        return batch.column(name)
    outer, *inner = name.split(".")
    return pc.struct_field(batch.column(outer), inner)


def _rows_of(
    first: int, batch: pa.RecordBatch, found: dict[str, str], max_text_bytes: int
) -> Iterator[TextRow | BadRow]:
    try:
        texts = _as_bytes(_column(batch, found["text"]))
        others = {kind: _values(_column(batch, name)) for kind, name in found.items() if kind != "text"}
    except _DAMAGED as error:
        yield BadRow(first, f"{batch.num_rows:,} rows cannot be read ({_reason(error)})", batch.num_rows)
        return
    if texts is None:
        yield BadRow(first, f"the column {found['text']!r} holds no text", batch.num_rows)
        return
    for number, content in enumerate(texts, first):
        if content is None:
            yield BadRow(number, "it has no text")
        elif len(content) > max_text_bytes:
            yield BadRow(number, f"a text of more than {max_text_bytes:,} bytes")
        else:
            try:
                text = content.decode("utf-8")
            except UnicodeDecodeError:
                yield BadRow(number, "its text is not UTF-8")
            else:
                yield make_row(number, content, text, {kind: values[number - first] for kind, values in others.items()})


def _as_bytes(column: pa.Array) -> list[bytes | None] | None:
    """The values as bytes: what is not UTF-8 in one row leaves the others as they are. None if it is no text.

    Errors: ArrowInvalid where a damaged file says that values lie elsewhere than in it, which Arrow does not look at.
    """
    column.validate()
    if pa.types.is_dictionary(column.type):
        column.indices.validate(full=True)
        column = column.dictionary_decode()
    kind = _BYTES_OF.get(column.type)
    if kind is None:
        return None
    column = column.cast(kind)
    column.validate(full=True)
    values: list[bytes | None] = column.to_pylist()
    return values


def _values(column: pa.Array) -> list[Any]:
    if (content := _as_bytes(column)) is not None:
        return [None if value is None else value.decode("utf-8", "replace") for value in content]
    column.validate(full=True)
    try:
        values: list[Any] = column.to_pylist()
    except (ValueError, OverflowError):  # dates beyond Python's
        return [None] * len(column)
    return values


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
