"""Plain text, a document a line, plain or compressed: the form of clean text for language models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from corpus.documents.json_lines import not_utf8, numbered_lines
from corpus.documents.row import BadRow, TextRow, make_row


def read_text_lines(stream: IO[bytes], max_line_bytes: int, max_file_bytes: int) -> Iterator[TextRow | BadRow]:
    """The documents of a file, and its bad lines. They have no address; the rest is as of JSON lines."""
    for number, line in numbered_lines(stream, max_line_bytes, max_file_bytes, not_utf8):
        if isinstance(line, BadRow):
            yield line
            continue
        try:
            yield make_row(number, line, line.decode("utf-8"), {})
        except UnicodeDecodeError:
            yield BadRow(number, "it is not UTF-8")
