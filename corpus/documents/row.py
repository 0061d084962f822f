"""What readers of documents give: a row with its text, or rows that could not be read."""

from __future__ import annotations

import base64
from hashlib import sha1
from typing import Any, NamedTuple


class TextRow(NamedTuple):
    """One document. ``number`` is its line or row in the file, from 1; ``size`` is of the text in UTF-8, in bytes."""

    number: int
    text: str
    size: int
    url: str
    date: str
    title: str
    digest: str


class BadRow(NamedTuple):
    """``rows`` rows from ``number`` on that could not be read, and why.

    ``lost_bytes`` of the file, where it is more than rows and how many is known.
    """

    number: int
    problem: str
    rows: int = 1
    lost_bytes: int = 0


def make_row(number: int, content: bytes, text: str, others: dict[str, Any]) -> TextRow:
    """A row of its text, in UTF-8 and as a string, and of what its other columns hold, by kind."""
    digest = _as_text(others.get("digest")) or digest_of(content)
    url, date, title = (_as_text(others.get(kind)) for kind in ("url", "date", "title"))
    return TextRow(number, text, len(content), url.strip(), date, " ".join(title.split()), digest)


def digest_of(content: bytes) -> str:
    """SHA-1 as WARC writes it: ``sha1:`` and base 32."""
    return f"sha1:{base64.b32encode(sha1(content).digest()).decode()}"


def _as_text(value: Any) -> str:
    """A value of a column that is not the text; empty where there is none, or where it is no text at all."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if hasattr(value, "isoformat"):  # a date or a timestamp
        return str(value.isoformat())
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""
