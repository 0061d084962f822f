"""Columns of tables that the tools of this task read: CSV and TSV with a header, JSON lines, Parquet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from pipeline.errors import UsageError, XlmrError
from pipeline.rows import check_header, json_object, records, unfit

PARQUET = ".parquet"
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_JSON_LINES = (".jsonl", ".ndjson")
_COMPRESSIONS = (".gz", ".xz", ".bz2", ".zst")
_ROWS_AT_ONCE = 1_000

Row = tuple[int, list[str]]
"""Row that it begins at (of text: line), and the cells of the columns asked for."""


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
    found = records(str(file), (f"{line}\n" for line in lines), _SEPARATORS[form], quotes=form == ".csv")
    _, header = next(found, (1, []))
    header = [name.removeprefix("\ufeff") for name in header]
    check_header(header, f"{file}, row 1")
    _check_columns(file, header, columns)
    places = [header.index(column) for column in columns]
    for row, cells in found:
        if cells and len(cells) != len(header):
            raise XlmrError(f"{file}, row {row}: {unfit(cells, header)}", "fix the row")
        if cells:
            yield row, [cells[place] for place in places]


def _json_rows(file: Path, lines: Iterable[str], columns: Sequence[str]) -> Iterator[Row]:
    for row, line in enumerate(lines, 1):
        if line.strip():
            place = f"{file}, row {row}"
            record = json_object(line.removeprefix("\ufeff"), place)
            _check_columns(place, list(record), columns)
            yield row, [_cell(place, record[column], column) for column in columns]


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
                    yield number, [_cell(f"{file}, row {number}", record[column], column) for column in columns]
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
