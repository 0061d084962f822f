"""Rows of tables and of JSON lines: their cells by column; a row at fault is one line with file and row."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from finetune.data.content import lines_of
from finetune.data.examples import Location
from pipeline.errors import XlmrError
from pipeline.rows import Cells, check_header, json_object, records, unfit
from pipeline.unicode import is_unicode


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


def json_rows(address: str, text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(row, its object) of a file with a JSON object a line. Errors: XlmrError with file and row."""
    for row, line in lines_of(text):
        if line.strip():
            yield row, json_object(line, Location(address, row))


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


def known_label(label: str, labels: Sequence[str], location: Location) -> str:
    """``label``, which must be one of ``labels``. Errors: XlmrError naming file and row."""
    if label not in labels:
        raise XlmrError(f"{location}: label {label!r} is not known", f"labels are {', '.join(labels)}")
    return label


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
