"""Files of texts that a model is asked about: a table or JSON lines in, read by blocks; the same rows and answers out.

Every line is a row, and comes out again in its place. A row that cannot be read has a fault instead of an answer.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from finetune.data.content import COMPRESSIONS, opened
from finetune.data.examples import Location
from pipeline.errors import UsageError, XlmrError
from pipeline.rows import Cells, check_header, json_object, records, unfit
from pipeline.storage import publish
from pipeline.unicode import is_unicode

BLOCK = 1024
"""Rows that are read, answered and written at a time."""

STANDARD = "-"
"""Standard input or output."""

SEPARATORS = {".tsv": "\t", ".csv": ","}
JSON_LINES = ".jsonl"

PARTIAL = ".partial"
"""What the output is called until all rows are in it."""

ERROR = "error"
"""Column with the reason why a row has no answer."""


class InputRow(NamedTuple):
    """A row of the input: its place, its cells by column, and why it cannot be read; empty where it can."""

    location: Location
    values: Mapping[str, Any]
    fault: str = ""


Write = Callable[[Sequence[InputRow], Sequence[Mapping[str, Any]]], None]
"""(rows, the prediction for each) -> written."""


def read_blocks(address: str, needed: str = "text", size: int = BLOCK) -> Iterator[list[InputRow]]:
    """The rows of a file (TSV or CSV with a header, JSON lines; plain or compressed), some at a time, in order.

    Standard input is JSON lines where it begins with a brace, else TSV. Errors: XlmrError for a file or header that
    is not readable, for a table without the column ``needed``, and for quotation marks that do not fit together.
    """
    lines = _lines(address)
    first = next(lines, "")
    if not first:
        raise XlmrError(f"{address}: is empty", "a table has a header and a text a row")
    form = _form_of(address) or (JSON_LINES if first.lstrip().startswith("{") else ".tsv")
    rows = _rows(address, chain([first], lines), form, needed)
    block: list[InputRow] = []
    try:
        for row in rows:
            block.append(row)
            if len(block) == size:
                yield block
                block = []
    except XlmrError:
        if block:
            yield block  # what could be read before is answered
        raise
    if block:
        yield block


def _rows(address: str, lines: Iterable[str], form: str, needed: str) -> Iterator[InputRow]:
    if form == JSON_LINES:
        for number, line in enumerate(lines, 1):
            yield _json_row(line, Location(address, number))
        return
    separator = SEPARATORS[form]
    found = records(address, lines, separator, quotes=form == ".csv")
    _, names = next(found)
    check_header(names, Location(address, 1))
    if needed not in names:
        raise XlmrError(f"{address}: has no column {needed!r}", f"its header has {', '.join(filter(None, names))}")
    for number, cells in found:
        yield _table_row(names, cells, Location(address, number), separator)


@contextmanager
def writer(address: str) -> Iterator[Write]:
    """What writes rows and answers: JSON lines to a file or standard output, a table to .tsv or .csv.

    Until all is written, a file's name ends in .partial. Errors: UsageError for another form.
    """
    form = JSON_LINES if address == STANDARD else PurePosixPath(address).suffix
    if form not in (*SEPARATORS, JSON_LINES):
        raise UsageError(f"{address}: no form of file to write", "name it .jsonl, .tsv or .csv")
    if address == STANDARD:
        yield lambda rows, predictions: _write_json(sys.stdout, rows, predictions)
        sys.stdout.flush()
        return
    with _partial(Path(address)) as handle:
        if form == JSON_LINES:
            yield lambda rows, predictions: _write_json(handle, rows, predictions)
        else:
            yield _Table(handle, SEPARATORS[form]).write


@contextmanager
def _partial(final: Path) -> Iterator[Any]:
    """A file that has its name when the block ends well; else what was written stays under its name and PARTIAL."""
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = final.with_name(final.name + PARTIAL)
    try:
        with partial.open("w", encoding="utf-8", newline="") as handle:
            yield handle
    except BaseException as error:
        if not partial.stat().st_size:
            partial.unlink()
        elif isinstance(error, XlmrError):
            raise type(error)(error.problem, f"{error.fix}; the rows before it are in {partial}") from None
        raise
    publish(partial, final)


class _Table:
    """Under a header, the columns of the first row that can be read, those of its answer, and ERROR."""

    def __init__(self, handle: Any, separator: str) -> None:
        self._handle, self._separator = handle, separator
        self._columns: list[str] = []

    def write(self, rows: Sequence[InputRow], predictions: Sequence[Mapping[str, Any]]) -> None:
        """See ``Write``."""
        lines = [{**row.values, **answer} for row, answer in zip(rows, predictions, strict=True)]
        if lines and not self._columns:
            readable = (line for line, row in zip(lines, rows, strict=True) if row.values and not row.fault)
            self._columns = [name for name in next(readable, lines[0]) if name != ERROR] + [ERROR]
            self._put(self._columns)
        for line in lines:
            self._put([_cell(line.get(name)) for name in self._columns])
        self._handle.flush()

    def _put(self, cells: list[str]) -> None:
        if self._separator == ",":
            csv.writer(self._handle, lineterminator="\n").writerow(cells)
        else:  # as such tables are read here: a quotation mark is a letter, and there is no other way to write a tab
            self._handle.write("\t".join(re.sub(r"[\t\r\n]", " ", cell) for cell in cells) + "\n")


def _write_json(handle: Any, rows: Sequence[InputRow], predictions: Sequence[Mapping[str, Any]]) -> None:
    for row, answer in zip(rows, predictions, strict=True):
        found = {**row.values, **answer}
        line = json.dumps(found, ensure_ascii=False)
        handle.write((line if is_unicode(line) else json.dumps(found)) + "\n")
    handle.flush()


def _cell(value: Any) -> str:
    if isinstance(value, list):
        value = " ".join(map(str, value))
    return "" if value is None else _written(str(value))


def _written(text: str) -> str:
    """Text that UTF-8 can write: bytes that were none of it, and halves of surrogate pairs, are replaced."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


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
    """Its lines, each with its end; only a line feed ends one. Bytes that are not UTF-8 become lone surrogates."""
    source = _standard_input() if address == STANDARD else opened(address)
    with (
        source as raw,
        io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="\n") as handle,
    ):
        for line in handle:
            yield line if line.endswith("\n") else f"{line}\n"


@contextmanager
def _standard_input() -> Iterator[Any]:
    yield sys.stdin.buffer


def _table_row(names: Sequence[str], cells: Cells, location: Location, separator: str) -> InputRow:
    """A row by the header's columns. One of another number of cells keeps what it has: the rest is in the last."""
    fault = "the line is blank" if not cells else unfit(cells, names) if len(cells) != len(names) else ""
    if len(cells) > len(names):
        cells = [*cells[: len(names) - 1], separator.join(cells[len(names) - 1 :])]
    values = dict(zip(names, cells + [""] * (len(names) - len(cells)), strict=True))
    return InputRow(location, values, fault if is_unicode("".join(cells)) else "not UTF-8")


def _json_row(line: str, location: Location) -> InputRow:
    if not line.strip():
        return InputRow(location, {}, "the line is blank")
    if not is_unicode(line):
        return InputRow(location, {}, "not UTF-8")
    try:
        return InputRow(location, json_object(line, location))
    except XlmrError as error:
        return InputRow(location, {}, error.problem.removeprefix(f"{location}: "))
