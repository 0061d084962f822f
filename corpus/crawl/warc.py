"""WARC records out of a file that may be damaged: the good ones are given, the bad ones are counted and named.

Nearly every record is a gzip member of its own, and is cut out of it at once. Everything else is read through the
look-ahead buffer. After damage, reading resumes at the next member that begins with a record, or at the next WARC line
that has a header below it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import IO, NamedTuple

from corpus.crawl.block_digest import digest_fits
from corpus.crawl.inflate import Chunk, Gap, InflatedText, Limits
from corpus.crawl.look_ahead import (
    BEGINS,
    HEADER_ENDS,
    LONGEST_HEADER,
    RECORD_LINE,
    RECORD_LINES,
    RECORD_START,
    LookAheadBuffer,
)

_FOLD = re.compile(r"\r?\n[ \t]+")
_LENGTH, _TYPE = "content-length", "warc-type"
_NO_TYPE = "a record has no WARC-Type"
_MANDATORY = {b"warc-type", b"warc-record-id", b"warc-date", b"content-length"}
_DIGESTS = 4
"""How many times the size of a file may be hashed to see which records are whole, beyond ``_DIGESTED_ANYWAY`` bytes."""
_DIGESTED_ANYWAY = 2**26
_LITTLE = 3
"""A Content-Length that counts the characters of UTF-8 text is at least this part of its bytes."""


class Record(NamedTuple):
    """One WARC record, its headers by their names in lower case. ``position`` is the offset of its member in the file.

    Of a file that is not compressed, it is its own offset.
    """

    headers: dict[str, str]
    body: bytes
    position: int


@dataclass(frozen=True, slots=True)
class Damage:
    """A place in a file that could not be read, and what was lost there.

    ``bytes``    bytes of the file, compressed where it is, from there to where reading resumes or to its end. Within a
                 member they are its share by the text in it.
    ``records``  records that are known to be lost. 0 where nothing shows that a record was there.

    Both are 0 for a record whose Content-Length is a little too small: it is given.
    """

    position: int
    problem: str
    bytes: int = 0
    records: int = 0


@dataclass(slots=True)
class _Loss:
    """A Damage whose end is not reached yet. ``start`` is where in the file its bytes begin."""

    position: int
    start: int
    problem: str
    records: int
    in_gap: bool = False

    def until(self, end: int) -> Damage:
        return Damage(self.position, self.problem, max(end - self.start, 0), self.records)


def read_records(
    stream: IO[bytes], types: Collection[str], max_bytes: int, limits: Limits
) -> Iterator[Record | Damage]:
    """The records of some types (``conversion``, ``response``), and a Damage for every place that could not be read.

    A record with more than ``max_bytes`` of content is a Damage too; it is never held in memory.
    """
    text = InflatedText(stream, limits, RECORD_START)
    if text.problem:
        yield Damage(0, text.problem, text.size)
        return
    reader = _RecordReader(text, max_bytes)
    for part in reader.parts:
        record = _of_whole_member(part, max_bytes) if type(part) is Chunk and part.last else None
        if record is not None and part.position == 0 and part.end == text.size and RECORD_START.search(record.body):
            record = (
                None  # a file of one member: that its first record ends with it does not show that it is the only one
            )
        if record is None:
            yield from _of_types(reader.look_closely(part), types)
            continue
        if reader.loss is not None:
            yield reader.end_loss(part.position)
        kind = record.headers.get(_TYPE)
        if kind in types:
            yield record
        elif kind is None:
            yield Damage(record.position, _NO_TYPE, part.end - part.position, 1)
    if reader.loss is not None:
        yield reader.end_loss(text.size)


def _of_types(items: Iterator[Record | Damage], types: Collection[str]) -> Iterator[Record | Damage]:
    for item in items:
        if isinstance(item, Damage) or item.headers.get(_TYPE) in types:
            yield item
        elif _TYPE not in item.headers:
            yield Damage(item.position, _NO_TYPE, len(item.body), 1)


def _of_whole_member(chunk: Chunk, max_bytes: int) -> Record | None:
    """The record that fills a member exactly; None if it has to be looked at more closely."""
    if not chunk.first:
        return None
    data = chunk.data
    end = data.find(HEADER_ENDS, 0, LONGEST_HEADER)
    if end < 0 or not data.startswith(RECORD_LINES):
        return None
    headers = _parse_headers(data[:end])
    length = _declared_length(headers)
    if length is None or length > max_bytes or len(data) != end + 8 + length or not data.endswith(HEADER_ENDS):
        return None
    return Record(headers, data[end + 4 : -4], chunk.position)


class _RecordReader:
    """The records of what is not a member with a record of its own, and what is lost between them."""

    def __init__(self, text: InflatedText, max_bytes: int) -> None:
        self.parts = text.parts()
        self.loss: _Loss | None = None
        self._buffer = LookAheadBuffer(self.parts, plain=text.format is None)
        self._max_bytes = max_bytes
        self._digested = -_DIGESTED_ANYWAY - _DIGESTS * text.size

    def end_loss(self, end: int) -> Damage:
        """What was lost, up to a record that begins at ``end`` in the file."""
        assert self.loss is not None
        damage, self.loss = self.loss.until(end), None
        return damage

    def look_closely(self, part: Chunk | Gap) -> Iterator[Record | Damage]:
        """Records from this part on, until one ends where a member ends, or a gap comes, or the end of the file."""
        if isinstance(part, Gap):
            self._add_gap(part)
            return
        buffer = self._buffer
        buffer.add(part)
        while buffer.begins_record() if self.loss is None else buffer.seek_record():
            if self.loss is not None:
                yield self.end_loss(buffer.file_offset())
            position, start = buffer.position(), buffer.file_offset()
            records = int(buffer.first_line().startswith(BEGINS))
            record, problem = self._next(position)
            if record is not None:
                if problem:
                    yield Damage(position, problem)
                yield record
            else:
                self.loss = _Loss(position, start, problem, records)
                buffer.give_up()
        gap = buffer.take_gap()
        if gap is not None:
            self._add_gap(gap)

    def _add_gap(self, gap: Gap) -> None:
        """What was lost already and has not ended, has lost this too; what is in the gap is the better reason."""
        records = int(RECORD_LINE.match(gap.begins) is not None)
        if self.loss is None:
            records = max(records, int(gap.member and not gap.begins))
            self.loss = _Loss(gap.position, gap.start, gap.problem, records, in_gap=True)
            return
        same = self.loss.position == gap.position
        records = max(records, self.loss.records) if same else records + self.loss.records
        problem = self.loss.problem if self.loss.in_gap else gap.problem
        self.loss = _Loss(self.loss.position, self.loss.start, problem, records, in_gap=True)

    def _next(self, position: int) -> tuple[Record | None, str]:
        """The record that begins here, and what is wrong with it."""
        buffer = self._buffer
        if not buffer.begins_with_line():
            return None, _not_a_record(buffer.first_line())
        header = buffer.header()
        if header is None:
            return None, f"no WARC header ends within {LONGEST_HEADER:,} bytes, or before the next record"
        if b"\0" in header:
            return None, "a record's header has zero bytes"
        if _is_two(header):
            return None, "another record begins in the header of a record"
        headers = _parse_headers(header)
        length = _declared_length(headers)
        if length is None:
            return None, _wrong_length(headers)
        if length > self._max_bytes:
            return None, f"a record of {length:,} bytes is over the limit of {self._max_bytes:,}"
        available = buffer.available(length)
        if available < length:
            return None, f"a record has {available:,} bytes, its Content-Length says {length:,}"
        return self._with_body(headers, length, position)

    def _with_body(self, headers: dict[str, str], length: int, position: int) -> tuple[Record | None, str]:
        """The record whose body begins here, by its Content-Length unless that is wrong."""
        buffer = self._buffer
        more = buffer.holds_record(length)
        if buffer.ends_after(length):
            good = not more or bool(self._digest_fits(headers, length))
            problem = "a record's Content-Length is wrong, other records are within it"
        else:
            problem = "a record's Content-Length is wrong, its text continues after it"
            newlines = buffer.newlines_after(length)
            fits = self._digest_fits(headers, length) if newlines else False
            rest = None if fits else buffer.rest_of_member(self._max_bytes)
            if rest is not None and _LITTLE * length >= len(rest):
                buffer.skip(len(rest))
                body = rest.removesuffix(HEADER_ENDS) if rest.endswith(HEADER_ENDS) else rest.removesuffix(b"\n\n")
                problem = f"a record's Content-Length is {length:,}, its member has {len(body):,} bytes, which are read"
                return Record(headers, body, position), problem
            good = bool(fits) or (fits is None and not more)
        if not good:
            return None, problem
        body = buffer.peek(length)
        buffer.skip(length)
        return Record(headers, body, position), ""

    def _digest_fits(self, headers: dict[str, str], length: int) -> bool | None:
        """None too where so much was hashed already that the file seems made for it."""
        self._digested += length
        return digest_fits(headers, self._buffer.peek(length)) if self._digested <= 0 else None


def _is_two(header: bytes) -> bool:
    """Whether these are the lines of two records, as where the end of one is gone. A URL may end like a WARC line."""
    line = RECORD_LINE.search(header, 1)
    if line is None:
        return False
    before, after = header[: line.start()].split(b"\n"), header[line.end() :].split(b"\n")
    names = [{line.partition(b":")[0].strip().lower() for line in lines} for lines in (before, after)]
    return b":" not in before[-1] or bool(names[0] & names[1] & _MANDATORY)


def _not_a_record(line: bytes) -> str:
    """What is wrong with the first line of a record."""
    text = repr(line[:40].decode("utf-8", "replace").rstrip("\r"))
    if line.startswith(BEGINS):
        return f"no WARC header of a version that is read (1.x, 0.17, 0.18), but {text}"
    return f"no WARC header where one should be, but {text}"


def _wrong_length(headers: dict[str, str]) -> str:
    """What is wrong with a header that does not say how long its record is."""
    text = headers.get(_LENGTH)
    if text is not None:
        return f"a record's Content-Length is {text[:40]!r}, not a number of bytes"
    from difflib import get_close_matches

    near = get_close_matches(_LENGTH, [name for name in headers if len(name) < 40][:50], 1, 0.8)
    return "a record has no Content-Length" + (f", but {near[0]!r}" if near else "")


def _parse_headers(header: bytes) -> dict[str, str]:
    """By their names in lower case."""
    text = header.decode("utf-8", "replace")
    if "\n " in text or "\n\t" in text:  # lines that continue those before
        text = _FOLD.sub(" ", text)
    pairs = [line.partition(":") for line in text.split("\n")]  # a value's carriage return goes with its spaces
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    return headers if _LENGTH in headers else {name.strip(): value for name, value in headers.items()}


def _declared_length(headers: dict[str, str]) -> int | None:
    text = headers.get(_LENGTH, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
