"""JSON lines, an object a line, plain or compressed: read line by line, whatever one of them holds."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from typing import IO, Any

from corpus.documents.columns import Names, lacking_error, look_up, needed
from corpus.documents.row import BadRow, TextRow, make_row
from corpus.documents.unpack import DAMAGED, open_plain

_BOM = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_READ = 2**20
_LOOKED_AT = 1000
"""Objects by which every column that is needed must have been seen."""


def read_json_lines(
    file: str, stream: IO[bytes], names: Names, max_line_bytes: int, max_file_bytes: int
) -> Iterator[TextRow | BadRow]:
    """The documents of a file, and its bad lines. Empty lines are skipped. The first bytes say how it is compressed.

    A line of more than ``max_line_bytes`` is a bad one and never in memory as a whole; reading ends at
    ``max_file_bytes``, both decompressed.
    Errors: XlmrError naming the file where no object has a column that is needed.
    """
    unseen = needed(names)
    looked_at = 0
    first: dict[str, Any] = {}
    for number, line in numbered_lines(stream, max_line_bytes, max_file_bytes, _no_json_lines):
        if isinstance(line, BadRow):
            yield line
            continue
        record = _parse(number, line)
        if isinstance(record, BadRow):
            yield record
            continue
        looked_at += 1
        if unseen:
            first = first or record
            unseen -= {kind for kind in unseen if any(_has(record, name) for name in names[kind])}
            if unseen and looked_at == _LOOKED_AT:
                break
        yield _row_of(number, record, names)
    if unseen and looked_at:
        raise lacking_error(file, min(unseen), names, first)


def numbered_lines(
    stream: IO[bytes], max_line_bytes: int, max_file_bytes: int, what_else: Callable[[bytes], str]
) -> Iterator[tuple[int, bytes | BadRow]]:
    """Lines with their numbers, from 1; the first without its byte order mark. Empty ones are skipped.

    ``what_else`` says of the first line what the file is, if it is none that can be read; else nothing.
    """
    number, size, place = 0, 0, 0
    try:
        with open_plain(stream) as plain:
            while line := plain.readline(max_line_bytes + 1):
                place = stream.tell()
                number += 1
                size += len(line)
                if number == 1:
                    line = line.removeprefix(_BOM)
                    if wrong := what_else(line):
                        yield number, BadRow(number, wrong, lost_bytes=_size_of(stream))
                        return
                if size > max_file_bytes:
                    yield number, BadRow(number, f"the file grows to more than {max_file_bytes:,} bytes")
                    return
                if len(line) > max_line_bytes and not line.endswith(b"\n"):
                    while (more := plain.readline(_READ)) and not more.endswith(b"\n"):
                        size += len(more)
                    yield number, BadRow(number, f"a line of more than {max_line_bytes:,} bytes")
                elif line := line.strip():
                    yield number, line
    except DAMAGED as error:
        reason = " ".join(str(error).split())
        rest = max(_size_of(stream) - place, 0)
        yield number + 1, BadRow(number + 1, f"the file cannot be read from here on ({reason})", lost_bytes=rest)


def _size_of(stream: IO[bytes]) -> int:
    """Bytes of a file of which nothing more is read."""
    return stream.seek(0, io.SEEK_END)


def not_utf8(line: bytes) -> str:
    """What a file is that begins as UTF-16 does; else nothing."""
    return "the file is UTF-16; it must be UTF-8" if line.startswith(_UTF_16) else ""


def _no_json_lines(line: bytes) -> str:
    """What a file is that is no JSON lines, by its first line; empty where it may be."""
    if wrong := not_utf8(line):
        return wrong
    return "the file is a JSON array; JSON lines have an object a line" if line.lstrip().startswith(b"[") else ""


def _parse(number: int, line: bytes) -> dict[str, Any] | BadRow:
    try:
        record = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        return BadRow(number, "it is not UTF-8")
    except (ValueError, RecursionError) as error:
        return BadRow(number, f"it is not JSON ({error})"[:200])
    if not isinstance(record, dict):
        return BadRow(number, f"it is a JSON {type(record).__name__}, not an object")
    return record


def _row_of(number: int, record: dict[str, Any], names: Names) -> TextRow | BadRow:
    values = {kind: _first(record, usual) for kind, usual in names.items()}
    text = values.pop("text")
    if not isinstance(text, str):
        return BadRow(number, "it has no text" if text is None else f"its text is a {type(text).__name__}")
    try:
        content = text.encode("utf-8")
    except UnicodeEncodeError:
        return BadRow(number, "its text has half a surrogate pair")
    return make_row(number, content, text, values)


def _first(record: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((value for name in names if (value := look_up(record, name)) is not None), None)


def _has(record: dict[str, Any], name: str) -> bool:
    return name in record or look_up(record, name) is not None
