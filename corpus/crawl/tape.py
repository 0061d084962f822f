"""A tape of plain bytes for records that are not a member each: what is looked at is held, the rest is let go."""

from __future__ import annotations

import re
from collections.abc import Iterator

from corpus.crawl.inflate import Chunk

BEGINS = b"WARC/1."
HEADER_ENDS = b"\r\n\r\n"
LONGEST_HEADER = 2**16
_TEXT = re.compile(rb"[^\r\n]")
_NEXT = b"\n" + BEGINS


class Tape:
    """Chunks one after the other. What follows the start of the present record is held, to be gone back to."""

    def __init__(self, chunks: Iterator[Chunk], *, plain: bool) -> None:
        self._chunks = chunks
        self._plain = plain
        self._data = bytearray()
        self._at = 0
        self._record = 0
        self._marks: list[tuple[int, int, bool]] = []  # of each chunk held: where in the data, where in the file, first
        self._whole = False  # the data ends where a member ends

    def begins_record(self) -> bool:
        """Go over newlines to the start of a record; False at the end of a member and of the tape."""
        self._record = self._at
        while not self._to_text():
            self._record = self._at
            if self._whole or not self._more():
                return False
        self._record = self._at
        return True

    def position(self) -> int:
        """The offset in the file of the member that the record begins in; of a plain file, its own offset."""
        offset, position = next((o, p) for o, p, _ in reversed(self._marks) if o <= self._record)
        return position + self._record - offset if self._plain else position

    def header(self) -> bytes | None:
        """The lines up to the empty one; None if that does not come soon."""
        while True:
            end = self._data.find(HEADER_ENDS, self._at, self._at + LONGEST_HEADER)
            if end >= 0:
                header = bytes(self._data[self._at : end])
                self._at = end + len(HEADER_ENDS)
                return header
            if len(self._data) - self._at >= LONGEST_HEADER or not self._more():
                return None

    def take(self, length: int) -> bytes:
        """The next bytes, fewer at the end."""
        while len(self._data) - self._at < length and self._more():
            pass
        body = bytes(self._data[self._at : self._at + length])
        self._at += len(body)
        return body

    def ends_record(self) -> bool:
        """Whether two newlines follow, as they must; or after any, a member or the tape ends or a record begins."""
        while len(self._data) - self._at < len(HEADER_ENDS) and not self._whole and self._more():
            pass
        if self._data.startswith(HEADER_ENDS, self._at):
            self._at += len(HEADER_ENDS)
            return True
        while not self._to_text():
            if self._whole or not self._more():
                return True
        while len(self._data) - self._at < len(BEGINS) and not self._whole and self._more():
            pass
        return self._data.startswith(BEGINS, self._at)

    def seek_record(self) -> None:
        """Give the present record up and go to where one may begin: at the start of a line or of a member."""
        self._at = self._record + 1
        while True:
            line = self._data.find(_NEXT, self._at)
            found = [line + 1] if line >= 0 else []
            found += [o for o, _, first in self._marks if first and o >= self._at and self._data.startswith(BEGINS, o)]
            if found:
                self._at = self._record = min(found)
                return
            self._at = self._record = max(self._at, len(self._data) - len(_NEXT) + 1)
            if not self._more():
                self._at = self._record = len(self._data)
                return

    def _to_text(self) -> bool:
        text = _TEXT.search(self._data, self._at)
        self._at = text.start() if text else len(self._data)
        return text is not None

    def _more(self) -> bool:
        """Add a chunk, and let go of what is before the present record."""
        chunk = next(self._chunks, None)
        if chunk is None:
            return False
        gone = min(self._record, len(self._data))
        del self._data[:gone]
        self._at -= gone
        self._record -= gone
        held = [(offset - gone, position, first) for offset, position, first in self._marks]
        before = [mark for mark in held if mark[0] <= 0][-1:]
        self._marks = [*before, *(mark for mark in held if mark[0] > 0), (len(self._data), chunk.position, chunk.first)]
        self._data += chunk.data
        self._whole = chunk.last
        return True
