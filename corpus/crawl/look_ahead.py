"""A look-ahead buffer of plain bytes, for records that are not a member each: holds the present record, no more.

A gzip or zstd member that begins with a WARC line begins a record, whatever the record before it claims.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from operator import attrgetter
from typing import NamedTuple

from corpus.crawl.inflate import Chunk, Gap

BEGINS = b"WARC/"
RECORD_LINE = re.compile(rb"WARC/(?:1\.\d|0\.1[78])[ \t]*\r?\n")
"""The first line of a record. Versions 0.17 and 0.18 are of Heritrix, before the standard, and alike but for names."""
RECORD_LINES = tuple(b"WARC/%s\r\n" % version for version in (b"1.0", b"1.1", b"0.18", b"0.17"))
HEADER_ENDS = b"\r\n\r\n"
LONGEST_HEADER = 2**16
_TEXT = re.compile(rb"[^\r\n]")
_HEADER_END = re.compile(rb"\n\r?\n|\n(?=" + RECORD_LINE.pattern + rb")")
RECORD_START = re.compile(RECORD_LINE.pattern + rb"(?=[A-Za-z][A-Za-z-]*[ \t]*:)")
"""A record after damage, perhaps in the middle of a line: its first line, and a header below it."""
_LONGEST_RECORD_START = 128
_MOST_NEWLINES = 1024
"""Newlines after a record that are looked at; if there are so many, it has ended."""
_END_BYTES = 32
"""Bytes that are enough to see the end of a header and the first line of the record after it."""


class _Mark(NamedTuple):
    """A chunk that is held: where in the text it begins, where its member does in the file, where its own bytes lie."""

    offset: int
    position: int
    begin: int
    end: int
    first: bool


_OFFSET = attrgetter("offset")


class LookAheadBuffer:
    """Chunks one after the other, up to the next gap. What follows the start of the present record is held."""

    def __init__(self, parts: Iterator[Chunk | Gap], *, plain: bool) -> None:
        self._parts = parts
        self._plain = plain
        self._data = bytearray()
        self._base = 0  # the offset of the data in the text; those of marks and starts are counted from the same place
        self._at = 0  # in the data, as is the start of the present record
        self._record = 0
        self._marks: list[_Mark] = []
        self._starts: list[int] = []  # members that begin with a record
        self._whole = False  # the data ends where a member ends
        self._gap: Gap | None = None

    def add(self, chunk: Chunk) -> None:
        """One more chunk."""
        offset = self._base + len(self._data)
        begin = chunk.position if chunk.first or self._plain else self._marks[-1].end
        self._marks.append(_Mark(offset, chunk.position, begin, chunk.end, chunk.first))
        if chunk.first and RECORD_LINE.match(chunk.data):
            self._starts.append(offset)
        self._data += chunk.data
        self._whole = chunk.last

    def take_gap(self) -> Gap | None:
        """The gap that the data ends at, if it does; nothing before it is held any longer."""
        gap, self._gap = self._gap, None
        if gap is not None:
            self._at = self._record = len(self._data)
        return gap

    def begins_record(self) -> bool:
        """Go over newlines to the start of a record; False at the end of a member, at a gap and at the end."""
        while not self._to_text():
            self._forget()
            if self._whole or not self._more():
                return False
        self._forget()
        return True

    def seek_record(self) -> bool:
        """Go to the next place that begins a record; False, and at the end of what is held, if none comes."""
        while True:
            start = self._next_start(self._at)
            found = RECORD_START.search(self._data, self._at, len(self._data) if start is None else start)
            if found or start is not None:
                self._at = found.start() if found else start or 0
                self._forget()
                return True
            self._at = max(self._at, len(self._data) - _LONGEST_RECORD_START)
            self._forget()
            if not self._more():
                self._at = self._record = len(self._data)
                return False

    def give_up(self) -> None:
        """Look for the next record from the second byte of the present one on."""
        self._at = self._record + 1

    def position(self) -> int:
        """The offset in the file of the member that the record begins in; of a plain file, its own offset."""
        mark = self._marks[self._mark_at(self._record)]
        return mark.position + self._base + self._record - mark.offset if self._plain else mark.position

    def file_offset(self) -> int:
        """Where in the file the record begins; within a member, what that is by its share of the text."""
        offset = self._base + self._record
        index = self._mark_at(self._record)
        mark = self._marks[index]
        last = index + 1 == len(self._marks)
        length = (self._base + len(self._data) if last else self._marks[index + 1].offset) - mark.offset
        return mark.begin + (offset - mark.offset) * (mark.end - mark.begin) // max(length, 1)

    def first_line(self) -> bytes:
        """What the record begins with, 80 bytes at most."""
        while b"\n" not in self._data[self._record : self._record + 80] and self._more():
            pass
        return bytes(self._data[self._record : self._record + 80]).split(b"\n")[0]

    def begins_with_line(self) -> bool:
        """Whether the record begins with a WARC line."""
        self._hold_line(self._record)
        return RECORD_LINE.match(self._data, self._record) is not None

    def header(self) -> bytes | None:
        """The lines up to the empty one; None if that does not come soon, or another record does."""
        seen = self._at
        while True:
            limit = self._next_start(self._record + 1)
            longest = self._at + LONGEST_HEADER
            end = _HEADER_END.search(self._data, seen, longest if limit is None else min(limit, longest))
            if end is not None:
                header = bytes(self._data[self._at : end.start()]).removesuffix(b"\r")
                self._at = end.end()
                return None if end[0] == b"\n" else header
            seen = max(self._at, len(self._data) - _END_BYTES)
            if limit is not None or len(self._data) >= longest or not self._more():
                return None

    def available(self, length: int) -> int:
        """How many bytes follow, at most ``length``, before the next record begins for certain or the text ends."""
        while True:
            limit = self._next_start(self._record + 1)
            held = (len(self._data) if limit is None else limit) - self._at
            if held >= length or limit is not None or not self._more():
                return min(held, length)

    def holds_record(self, length: int) -> bool:
        """Whether a record seems to begin in the next bytes."""
        place = self._data.find(BEGINS, self._at, self._at + length)
        return place >= 0 and RECORD_START.search(self._data, place, self._at + length) is not None

    def newlines_after(self, length: int) -> bool:
        """Whether two newlines follow after so many bytes, as they must after a record, and something after them."""
        end = self._at + length
        return self._data.startswith((HEADER_ENDS, b"\n\n"), end) and _TEXT.search(self._data, end) is not None

    def peek(self, length: int) -> bytes:
        """The next bytes, of those that are available."""
        return bytes(self._data[self._at : self._at + length])

    def skip(self, length: int) -> None:
        """Go over bytes that are available."""
        self._at += length

    def ends_after(self, length: int) -> bool:
        """Whether after so many bytes, and newlines, the member or the text ends, or a record begins."""
        end = self._at + length
        while True:
            text = _TEXT.search(self._data, end, end + _MOST_NEWLINES)
            stop = text.start() if text else min(len(self._data), end + _MOST_NEWLINES)
            if self._member_ends(end, stop) or stop == end + _MOST_NEWLINES:
                return True
            if text is not None:
                break
            if not self._more():
                return self._gap is None
        self._hold_line(stop)
        return RECORD_LINE.match(self._data, stop) is not None

    def _hold_line(self, place: int) -> None:
        """Hold what tells whether a record begins at a place. Its first line may lie across two members."""
        while len(self._data) - place < _END_BYTES and self._more_in_line(place) and self._more():
            pass

    def _more_in_line(self, place: int) -> bool:
        begun = bytes(self._data[place : place + len(RECORD_LINES[-1])])
        return not self._whole or any(line.startswith(begun) and line != begun for line in RECORD_LINES)

    def rest_of_member(self, longest: int) -> bytes | None:
        """All that follows in the member that the record begins; None if it is too long, or more than one record."""
        if not self._begins_member():
            return None
        while (end := self._end_of_member()) is None:
            if len(self._data) - self._at > longest or not self._more():
                return None
        rest = bytes(self._data[self._at : end])
        return None if len(rest) > longest or RECORD_START.search(rest) else rest

    def _begins_member(self) -> bool:
        mark = self._marks[self._mark_at(self._record)]
        return mark.first and mark.offset == self._base + self._record

    def _end_of_member(self) -> int | None:
        following = self._mark_at(self._record) + 1
        for mark in self._marks[following:]:
            if mark.first:
                return mark.offset - self._base
        return len(self._data) if self._whole else None

    def _member_ends(self, start: int, stop: int) -> bool:
        """Whether a member ends at a place of the data from ``start`` to ``stop``."""
        if self._whole and stop == len(self._data):
            return True
        index = bisect_left(self._marks, self._base + start, key=_OFFSET)
        while index < len(self._marks) and self._marks[index].offset <= self._base + stop:
            if self._marks[index].first:
                return True
            index += 1
        return False

    def _mark_at(self, place: int) -> int:
        """Which mark a place of the data belongs to."""
        return bisect_right(self._marks, self._base + place, key=_OFFSET) - 1

    def _next_start(self, place: int) -> int | None:
        """The first place of the data, from ``place`` on, where a member begins with a record."""
        index = bisect_left(self._starts, self._base + place)
        return self._starts[index] - self._base if index < len(self._starts) else None

    def _forget(self) -> None:
        """A record begins here: remove what is before it."""
        gone = self._record = self._at
        if gone:
            del self._data[:gone]  # moves nothing: a bytearray begins later then
            self._base += gone
            self._at = self._record = 0
            old = self._mark_at(0)
            if old > len(self._marks) // 2:  # not each time, which would take the time of all of them
                del self._marks[:old]
                del self._starts[: bisect_left(self._starts, self._base)]

    def _to_text(self) -> bool:
        text = _TEXT.search(self._data, self._at)
        self._at = text.start() if text else len(self._data)
        return text is not None

    def _more(self) -> bool:
        """Add a chunk; False at a gap and at the end."""
        part = None if self._gap is not None else next(self._parts, None)
        if isinstance(part, Chunk):
            self.add(part)
            return True
        self._gap = part or self._gap
        return False
