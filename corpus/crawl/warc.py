"""WARC records out of a file that may be damaged: the good ones are given, the bad ones are counted and named.

After damage, reading goes on at the next gzip member (CommonCrawl writes one a record) or, in a file that is not
compressed, at the next ``WARC/`` at the start of a line.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from fastwarc.warc import ArchiveIterator, WarcRecordType

from pipeline.storage import is_local

GZIP_MAGIC = b"\x1f\x8b\x08"
_LOOK_AHEAD = 1 << 20


@dataclass(frozen=True, slots=True)
class Record:
    """One WARC record. ``position`` is the offset in the file (compressed) of the member it stands in."""

    headers: dict[str, str]
    body: bytes
    position: int


@dataclass(frozen=True, slots=True)
class Damage:
    """A place in a file that could not be read, in words."""

    position: int
    problem: str


def open_address(address: str) -> IO[bytes]:
    """Open a local path or any fsspec address for reading bytes. Seekable."""
    if is_local(address):
        return open(address, "rb", buffering=1 << 20)  # noqa: PTH123 - the caller closes it
    import fsspec

    stream: IO[bytes] = fsspec.open(address, "rb").open()
    return stream


def read_records(address: str, record_type: WarcRecordType, max_bytes: int) -> Iterator[Record | Damage]:
    """The records of one type in ``address``, and a Damage for every place that could not be read.

    A record with more than ``max_bytes`` of content is a Damage too; it is never held in memory.
    """
    with open_address(address) as stream:
        start = stream.read(len(GZIP_MAGIC))
        if not start:
            yield Damage(0, "the file is empty")
            return
        if start != GZIP_MAGIC and not start.startswith(b"WAR") and not start.startswith(b"\x28\xb5\x2f"):
            yield Damage(0, "it is neither gzip nor a WARC file")
            return
        yield from _read_past_damage(stream, record_type, max_bytes)


def _read_past_damage(stream: IO[bytes], record_type: WarcRecordType, max_bytes: int) -> Iterator[Record | Damage]:
    position: int | None = 0
    unnamed: Damage | None = None  # damage after a good record: named here unless the next start names it better
    while position is not None:
        stream.seek(position)
        last: Record | Damage | None = None
        try:
            for item in _read_run(stream, record_type, max_bytes):
                if unnamed is not None:
                    yield unnamed
                unnamed, last = None, item
                yield item
            return
        except OSError as error:
            damage = Damage(last.position if last else position, str(error).rstrip("."))
            if last is None:
                yield damage
                unnamed = None
            elif isinstance(last, Record):
                unnamed = Damage(damage.position, f"{damage.problem} after the record here")
            position = _next_start(stream, damage.position)
    if unnamed is not None:
        yield unnamed


def _read_run(stream: IO[bytes], record_type: WarcRecordType, max_bytes: int) -> Iterator[Record | Damage]:
    """Records until the end or the first damage (OSError). A record is given only when the next one has begun well."""
    waiting: Record | None = None
    reader = ArchiveIterator(stream, record_types=record_type, parse_http=False)
    try:
        for record in reader:
            if waiting is not None:
                yield waiting
            waiting = None
            position = record.stream_pos
            headers = dict(record.headers.items())
            length = _declared_length(headers)
            if length is not None and length > max_bytes:
                yield Damage(position, f"a record of {length:,} bytes is over the limit of {max_bytes:,}")
                continue
            body = record.reader.read()
            if length is None or len(body) != length:
                declared = "none" if length is None else f"{length:,}"
                yield Damage(position, f"a record has {len(body):,} bytes, its header says {declared}")
                continue
            waiting = Record(headers, body, position)
    except OSError:
        if waiting is not None and _stands_alone(stream, waiting):
            yield waiting
        elif waiting is not None:
            yield Damage(waiting.position, "a record's Content-Length is wrong")
        raise
    if waiting is not None:
        yield waiting


def _declared_length(headers: dict[str, str]) -> int | None:
    text = next((value for name, value in headers.items() if name.lower() == "content-length"), "")
    return int(text) if text.isascii() and text.isdigit() else None


def _stands_alone(stream: IO[bytes], record: Record) -> bool:
    """Whether the record fills its gzip member exactly, so that the damage lies after it and not in its length."""
    stream.seek(record.position)
    inflate: Any = zlib.decompressobj(wbits=31)
    try:
        text = inflate.decompress(stream.read(_LOOK_AHEAD), len(record.body) + _LOOK_AHEAD)
    except zlib.error:
        return False
    head = text.find(b"\r\n\r\n") + 4
    return bool(inflate.eof) and text[head:].rstrip(b"\r\n") == record.body.rstrip(b"\r\n")


def _next_start(stream: IO[bytes], after: int) -> int | None:
    """Where the next record begins after byte ``after``: a gzip member that holds one, or plain ``WARC/``."""
    stream.seek(after)
    magic = GZIP_MAGIC if stream.read(len(GZIP_MAGIC)) == GZIP_MAGIC else b"\nWARC/"
    position = after + 1
    while True:
        stream.seek(position)
        chunk = stream.read(_LOOK_AHEAD)
        found = chunk.find(magic)
        if found < 0:
            if len(chunk) < _LOOK_AHEAD:
                return None
            position += len(chunk) - len(magic)
            continue
        position += found
        if magic != GZIP_MAGIC:
            return position + 1
        if _holds_a_record(stream, position):
            return position
        position += 1


def _holds_a_record(stream: IO[bytes], position: int) -> bool:
    stream.seek(position)
    try:
        return zlib.decompressobj(wbits=31).decompress(stream.read(4096), 5) == b"WARC/"
    except zlib.error:
        return False
