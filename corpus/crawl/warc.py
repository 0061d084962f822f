"""WARC records out of a file that may be damaged: the good ones are given, the bad ones are counted and named.

Nearly every record is a gzip member of its own, and is cut out of it at once. Whatever does not fit that goes over the
tape. After damage, reading goes on at the next member that begins with a record, or at the next ``WARC/1.`` that
begins a line.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import IO, NamedTuple

from corpus.crawl.inflate import Chunk, Limits, Text, UnreadableError
from corpus.crawl.tape import BEGINS, HEADER_ENDS, LONGEST_HEADER, Tape

_FOLD = re.compile(r"\r\n[ \t]+")


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

    ``bytes``    bytes of the file, compressed where it is, from there to where reading resumes or to its end.
    ``records``  records that are known to be lost. 0 where nothing shows that a record was there.
    """

    position: int
    problem: str
    bytes: int = 0
    records: int = 0


def read_records(
    stream: IO[bytes], types: Collection[str], max_bytes: int, limits: Limits
) -> Iterator[Record | Damage]:
    """The records of some types (``conversion``, ``response``), and a Damage for every place that could not be read.

    A record with more than ``max_bytes`` of content is a Damage too; it is never held in memory.
    """
    text = Text(stream, limits)
    if not text.start:
        yield Damage(0, "the file is empty")
        return
    if text.format is None and not text.start.startswith(BEGINS[:4]):
        yield Damage(0, "it is neither gzip, zstd nor a WARC file", text.size)
        return
    position: int | None = 0
    while position is not None:
        try:
            yield from _read_run(text.chunks(position), types, max_bytes, plain=text.format is None)
            return
        except UnreadableError as damage:
            position = None if damage.final else text.next_start(damage.position, BEGINS)
            end = text.size if position is None else position
            yield Damage(damage.position, damage.problem, end - damage.position)


def _read_run(
    chunks: Iterator[Chunk], types: Collection[str], max_bytes: int, *, plain: bool
) -> Iterator[Record | Damage]:
    for chunk in chunks:
        record = _of_whole_member(chunk, max_bytes) if chunk.first and chunk.last else None
        if record is not None:
            if record.headers.get("warc-type") in types:
                yield record
            continue
        for item in _read_tape(Tape(chain([chunk], chunks), plain=plain), max_bytes):
            if isinstance(item, Damage) or item.headers.get("warc-type") in types:
                yield item


def _of_whole_member(chunk: Chunk, max_bytes: int) -> Record | None:
    """The record that fills a member exactly; None if it has to be looked at more closely."""
    data = chunk.data
    end = data.find(HEADER_ENDS, 0, LONGEST_HEADER)
    if end < 0 or not data.startswith(BEGINS):
        return None
    headers = _parse_headers(data[:end])
    length = _declared_length(headers)
    if length is None or length > max_bytes or len(data) != end + 8 + length or not data.endswith(HEADER_ENDS):
        return None
    return Record(headers, data[end + 4 : -4], chunk.position)


def _read_tape(tape: Tape, max_bytes: int) -> Iterator[Record | Damage]:
    """Records until the tape is at the end of a member, or at its own."""
    while tape.begins_record():
        position = tape.position()
        item = _next_on(tape, position, max_bytes)
        yield item
        if isinstance(item, Damage):
            tape.seek_record()


def _next_on(tape: Tape, position: int, max_bytes: int) -> Record | Damage:
    header = tape.header()
    if header is None or not header.startswith(BEGINS):
        return Damage(position, "no WARC header where one should be")
    headers = _parse_headers(header)
    length = _declared_length(headers)
    if length is None:
        return Damage(position, "a record's length is not known, its header says none")
    if length > max_bytes:
        return Damage(position, f"a record of {length:,} bytes is over the limit of {max_bytes:,}")
    body = tape.take(length)
    if len(body) < length:
        return Damage(position, f"a record has {len(body):,} bytes, its Content-Length says {length:,}")
    if not tape.ends_record():
        return Damage(position, "a record's Content-Length is wrong")
    return Record(headers, body, position)


def _parse_headers(header: bytes) -> dict[str, str]:
    """By their names in lower case."""
    text = header.decode("utf-8", "replace")
    if "\r\n " in text or "\r\n\t" in text:  # lines that go on from those before
        text = _FOLD.sub(" ", text)
    pairs = [line.partition(":") for line in text.split("\r\n")]
    return {name.lower(): value.strip() for name, _, value in pairs}


def _declared_length(headers: dict[str, str]) -> int | None:
    text = headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
