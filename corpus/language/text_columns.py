"""Columns of tables that the tools of this task read: CSV and TSV with a header, JSON lines, Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from pipeline.errors import UsageError, XlmrError

PARQUET = ".parquet"
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = (".jsonl", ".ndjson")
_COMPRESSIONS = (".gz", ".xz", ".bz2", ".zst")
_LONGEST_CELL = 10_000_000
_ROWS_AT_ONCE = 1_000

Row = tuple[int, list[str]]
"""Line (of Parquet: row) that it begins at, and the cells of the columns asked for."""


def form_of(file: Path) -> str:
    """The suffix that names the form of a table. Errors: UsageError for another."""
    suffixes = PurePosixPath(file.name).suffixes
    if len(suffixes) > 1 and suffixes[-1] in _COMPRESSIONS:
        suffixes.pop()
    form = suffixes[-1] if suffixes else ""
    if form not in (*_SEPARATORS, *_JSON_LINES, PARQUET):
        raise UsageError(f"{file}: is not a table by its name", "give a .csv, .tsv, .jsonl or .parquet file")
    return form


def read_rows(file: Path, form: str, lines: Iterable[str], columns: Sequence[str]) -> Iterator[Row]:
    """The cells of some columns, row by row. ``lines`` are those of the file; for Parquet they are not read.

    A cell without a value is the empty text. Errors: XlmrError naming file and line for what cannot be read and for a
    column that is not there.
    """
    if form == PARQUET:
        return _parquet_rows(file, columns)
    return _json_rows(file, lines, columns) if form in _JSON_LINES else _separated_rows(file, form, lines, columns)


def _separated_rows(file: Path, form: str, lines: Iterable[str], columns: Sequence[str]) -> Iterator[Row]:
    """In TSV a quotation mark is a letter, as in the tables of fine-tuning."""
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader(
        (f"{line}\n" for line in lines),
        delimiter=_SEPARATORS[form],
        quoting=csv.QUOTE_MINIMAL if form == ".csv" else csv.QUOTE_NONE,
        strict=True,
    )
    try:
        header = next(reader, [])
        if header:
            header[0] = header[0].removeprefix("\ufeff")
        _check_columns(file, header, columns)
        places = [header.index(column) for column in columns]
        first = reader.line_num + 1
        for cells in reader:
            if cells and len(cells) != len(header):
                raise XlmrError(
                    f"{file}: line {first} has {len(cells)} cells, the header {len(header)}", "correct that line"
                )
            if cells:
                yield first, [cells[place] for place in places]
            first = reader.line_num + 1
    except csv.Error as error:
        raise XlmrError(f"{file}: line {reader.line_num} cannot be read ({error})", "correct that line") from None


def _json_rows(file: Path, lines: Iterable[str], columns: Sequence[str]) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line.removeprefix("\ufeff"))
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            raise XlmrError(f"{file}: line {number} is not a JSON object", "give one object a line")
        _check_columns(f"{file}: line {number}", list(record), columns)
        yield number, [_cell(f"{file}: line {number}", record[column], column) for column in columns]


def _parquet_rows(file: Path, columns: Sequence[str]) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet

    try:
        with pa.parquet.ParquetFile(file) as table:
            _check_columns(file, table.schema_arrow.names, columns)
            number = 0
            for batch in table.iter_batches(_ROWS_AT_ONCE, columns=list(columns)):
                for record in batch.to_pylist():
                    number += 1
                    yield number, [_cell(f"{file}: row {number}", record[column], column) for column in columns]
    except FileNotFoundError:
        raise UsageError(f"{file}: no such file", "give a table") from None
    except (OSError, pa.ArrowInvalid) as error:
        raise XlmrError(f"{file}: cannot be read ({' '.join(str(error).split())})", "give a complete file") from None


def _cell(place: str, value: object, column: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise XlmrError(f"{place}: {column!r} is not text", "give a column of texts")
    return value


def _check_columns(place: object, names: Sequence[str], columns: Sequence[str]) -> None:
    for column in columns:
        if column not in names:
            raise XlmrError(f"{place}: has no column {column!r}", f"its columns are {', '.join(names) or 'none'}")
