"""Files of texts that a model is asked about: a table or JSON lines in, read by blocks; the same rows and answers out.

Read by the readers of task files, so that a row at fault is one line with file and row here too.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

from finetune.data.content import COMPRESSIONS
from finetune.data.examples import Where
from finetune.data.rows import json_rows, tab_rows
from pipeline.errors import UsageError, XlmrError
from pipeline.storage import atomic_write

BLOCK = 1024
"""Rows that are read, answered and written at a time."""

STANDARD = "-"
"""Standard input or output."""

SEPARATORS = {".tsv": "\t", ".csv": ","}
JSON_LINES = ".jsonl"

Row = tuple[Where, Mapping[str, Any]]
Write = Callable[[Sequence[Row], Sequence[Mapping[str, Any]]], None]
"""(rows, what is said of each) -> written."""


def read_blocks(address: str, size: int = BLOCK) -> Iterator[list[Row]]:
    """The rows of a file (TSV or CSV with a header, JSON lines; plain or compressed), some at a time, in order.

    Standard input is JSON lines where it begins with a brace, else TSV. Errors: XlmrError with file and row.
    """
    lines = _lines(address)
    first = next(lines, "")
    form = _form_of(address) or (JSON_LINES if first.lstrip().startswith("{") else ".tsv")
    lines = chain([first], lines)
    if form == JSON_LINES:
        for start, text in _pieces(lines, 1, size):
            yield _rows(address, json_rows(address, text), start - 1)
        return
    quotes, separator = form == ".csv", SEPARATORS[form]
    _, header = next(_pieces(lines, 1, 1, quotes))
    above = header.count("\n")
    for start, text in _pieces(lines, above + 1, size, quotes):
        found = tab_rows(address, header + text, quotes=quotes, separator=separator)
        yield _rows(address, found, start - 1 - above)


@contextmanager
def writer(address: str) -> Iterator[Write]:
    """What writes rows and answers: JSON lines to a file or standard output, a table to .tsv or .csv.

    A file is there when all is written. Errors: UsageError for another form.
    """
    form = JSON_LINES if address == STANDARD else PurePosixPath(address).suffix
    if form not in (*SEPARATORS, JSON_LINES):
        raise UsageError(f"{address}: no form of file to write", "name it .jsonl, .tsv or .csv")
    if address == STANDARD:
        yield lambda rows, said: _write_json(sys.stdout, rows, said)
        sys.stdout.flush()
        return
    with atomic_write(Path(address), "w") as handle:
        if form == JSON_LINES:
            yield lambda rows, said: _write_json(handle, rows, said)
        else:
            yield _Table(handle, SEPARATORS[form]).write


class _Table:
    """Under a header, the columns of the first row and of its answer."""

    def __init__(self, handle: Any, separator: str) -> None:
        self._handle, self._separator = handle, separator
        self._columns: list[str] = []

    def write(self, rows: Sequence[Row], said: Sequence[Mapping[str, Any]]) -> None:
        """See ``Write``."""
        lines = [{**values, **answer} for (_, values), answer in zip(rows, said, strict=True)]
        if lines and not self._columns:
            self._columns = list(lines[0])
            self._put(self._columns)
        for line in lines:
            self._put([_cell(line.get(name)) for name in self._columns])

    def _put(self, cells: list[str]) -> None:
        if self._separator == ",":
            csv.writer(self._handle, lineterminator="\n").writerow(cells)
        else:  # as such tables are read here: a quotation mark is a letter, and there is no other way to write a tab
            self._handle.write("\t".join(re.sub(r"[\t\r\n]", " ", cell) for cell in cells) + "\n")


def _write_json(handle: Any, rows: Sequence[Row], said: Sequence[Mapping[str, Any]]) -> None:
    for (_, values), answer in zip(rows, said, strict=True):
        handle.write(json.dumps({**values, **answer}, ensure_ascii=False) + "\n")


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "" if value is None else str(value)


def _form_of(address: str) -> str | None:
    """The form that a name says; None for standard input. Errors: UsageError for a name that says none."""
    if address == STANDARD:
        return None
    name = address
    for compression in COMPRESSIONS:
        name = name.removesuffix(compression)
    form = PurePosixPath(name).suffix
    if form not in (*SEPARATORS, JSON_LINES):
        raise UsageError(f"{address}: no form of file that is read", "it is .tsv, .csv or .jsonl, plain or compressed")
    return form


def _lines(address: str) -> Iterator[str]:
    """Its lines, each with its end; only a line feed ends one."""
    import fsspec

    row = 0
    try:
        opened = sys.stdin.buffer if address == STANDARD else fsspec.open(address, "rb", compression="infer")
        with opened as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="\n") as handle:
            for row, line in enumerate(handle, 1):  # noqa: B007
                yield line if line.endswith("\n") else f"{line}\n"
    except UnicodeDecodeError as error:
        raise XlmrError(f"{address}: not {error.encoding} after row {row}", "save it as UTF-8") from None
    except (EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise XlmrError(f"{address}: not readable ({error})", "it must be whole, and compressed as named") from None


def _pieces(lines: Iterator[str], start: int, size: int, quotes: bool = False) -> Iterator[tuple[int, str]]:
    """(row of the first, so many lines or a few more), cut between records: not within quotation marks.

    An empty line goes to the rows after it, for at a file's end it means nothing and between rows it is a fault.
    """
    held: list[str] = []
    inside = False
    for row, line in enumerate(lines, start):
        held.append(line)
        inside ^= quotes and line.count('"') % 2 == 1
        if len(held) >= size and not inside and line.strip():
            yield start, "".join(held)
            held, start = [], row + 1
    if held:
        yield start, "".join(held)


def _rows(address: str, found: Iterator[tuple[int, Mapping[str, Any]]], before: int) -> list[Row]:
    """The rows of a block; ``before`` is added to their numbers, and to the one in a reader's complaint."""
    try:
        return [(Where(address, row + before), values) for row, values in found]
    except XlmrError as error:
        problem = re.sub(r"(?<=, row )\d+", lambda number: str(int(number[0]) + before), error.problem, count=1)
        raise XlmrError(problem, error.mend) from None
