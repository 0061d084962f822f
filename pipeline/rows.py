"""Rows of tables and of JSON lines, as all packages read them; what is wrong with one is one line with file and row."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pipeline.errors import XlmrError

Cells = list[str]


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


def check_header(names: Sequence[str], place: object) -> None:
    """Errors: XlmrError for a name that two columns have, for then nobody knows which is meant."""
    for name in names:
        if name and names.count(name) > 1:
            raise XlmrError(f"{place}: {names.count(name)} columns are named {name!r}", "give each column its own name")


def unfit(cells: Sequence[str], names: Sequence[str]) -> str:
    """What is wrong with a row of another number of cells than the header's."""
    return f"{len(cells) or 1} cells under {len(names)} columns"


def json_object(line: str, place: object) -> dict[str, Any]:
    """The object of a line. Errors: XlmrError where it is none, or has a key twice."""
    try:
        values = json.loads(line, object_pairs_hook=_each_key_once)
    except (ValueError, RecursionError) as error:
        raise XlmrError(f"{place}: not JSON ({error})", "fix the row") from None
    if not isinstance(values, dict):
        raise XlmrError(f"{place}: not a JSON object", "give one object a line")
    return values


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {next(name for name in names if names.count(name) > 1)!r} twice")
    return found
