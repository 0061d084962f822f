"""Rows of tables and of JSON lines: their cells by column; a row at fault is one line with file and row."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from finetune.data.content import lines_of
from finetune.data.examples import Location
from pipeline.errors import XlmrError

Cells = list[str]


def tab_rows(
    address: str,
    text: str,
    *,
    header: bool = True,
    quotes: bool = False,
    separator: str = "\t",
    short: list[int] | None = None,
) -> Iterator[tuple[int, Mapping[str, str]]]:
    """(row, its cells by column name) of a table; without a header columns are named 1, 2, …

    A quotation mark is a letter like others unless ``quotes``. A row with another number of cells is an error, but
    where ``short`` is given, rows with too few are left out and their numbers added to it. Errors: XlmrError.
    """
    names: list[str] = []
    found = records(address, io.StringIO(text, newline="\n"), separator, quotes=quotes)
    for row, cells in _filled(found, keep_blank=not quotes):
        if not names:
            names = cells if header else [str(number) for number in range(1, len(cells) + 1)]
            if header:
                check_header(names, Location(address, row))
                continue
        if len(cells) != len(names):
            if short is not None and len(cells) < len(names):
                short.append(row)
                continue
            raise XlmrError(f"{address}, row {row}: {unfit(cells, names)}", "fix the row")
        yield row, dict(zip(names, cells, strict=True))


def records(address: str, lines: Iterable[str], separator: str, *, quotes: bool) -> Iterator[tuple[int, Cells]]:
    """(row of its first line, its cells) of every record; a blank line is a record of no cell.

    ``quotes``: cells may stand in quotation marks, and then hold separators and line ends. Errors: XlmrError.
    """
    if not quotes:
        for row, line in enumerate(lines, 1):
            whole = line.removesuffix("\n").removesuffix("\r")
            yield row, whole.split(separator) if whole else []
        return
    csv.field_size_limit(sys.maxsize)  # Python's own limit is 131,072 characters a cell
    reader = csv.reader(lines, delimiter=separator, strict=True)
    start = 1
    try:
        for cells in reader:
            yield start, cells
            start = reader.line_num + 1
    except csv.Error as error:
        raise XlmrError(f"{address}, row {start}: {error}", "say quotes: false if quotation marks are text") from None


def check_header(names: Sequence[str], location: Location) -> None:
    """Errors: XlmrError for a name that two columns have, for then nobody knows which is meant."""
    for name in names:
        if name and names.count(name) > 1:
            raise XlmrError(
                f"{location}: {names.count(name)} columns are named {name!r}", "give each column its own name"
            )


def unfit(cells: Sequence[str], names: Sequence[str]) -> str:
    """What is wrong with a row of another number of cells than the header's."""
    return f"{len(cells) or 1} cells under {len(names)} columns"


def json_rows(address: str, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(row, its object) of a file with a JSON object a line. Errors: XlmrError with file and row."""
    for row, line in lines_of(text):
        if line.strip():
            yield row, json_object(line, Location(address, row))


def json_object(line: str, location: Location) -> dict[str, Any]:
    """The object of a line. Errors: XlmrError where it is none, or has a key twice."""
    try:
        values = json.loads(line, object_pairs_hook=_each_key_once)
    except (ValueError, RecursionError) as error:
        raise XlmrError(f"{location}: not JSON ({error})", "fix the row") from None
    if not isinstance(values, dict):
        raise XlmrError(f"{location}: not a JSON object", 'rows look like {"text": …, "label": …}')
    return values


def cell(values: Mapping[str, Any], column: str, location: Location, *, empty: bool = False) -> str:
    """The text of a column. Errors: XlmrError where the row has no such column, or nothing in it unless ``empty``."""
    value = values.get(column)
    if empty and value == "":
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        found = ", ".join(name for name in values if name) or "nothing"
        raise XlmrError(f"{location}: column {column!r} has no text", f"the row has {found}")
    if not is_unicode(value):
        raise XlmrError(f"{location}: column {column!r} holds half of a surrogate pair", "write the character in UTF-8")
    return value


def is_unicode(text: str) -> bool:
    """Whether UTF-8 can write it: JSON's escapes can spell half of a surrogate pair, which is no character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def known_label(label: str, labels: Sequence[str], location: Location) -> str:
    """``label``, which must be one of ``labels``. Errors: XlmrError naming file and row."""
    if label not in labels:
        raise XlmrError(f"{location}: label {label!r} is not known", f"labels are {', '.join(labels)}")
    return label


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {next(name for name in names if names.count(name) > 1)!r} twice")
    return found


def _filled(found: Iterator[tuple[int, Cells]], *, keep_blank: bool) -> Iterator[tuple[int, Cells]]:
    """Without the blank lines at the end of a file; those between rows are rows of no cell, or nothing too."""
    blank: list[int] = []
    for row, cells in found:
        if not cells or cells == [""]:
            blank.append(row)
            continue
        if keep_blank:
            yield from ((number, []) for number in blank)
        blank.clear()
        yield row, cells
