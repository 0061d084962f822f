"""Crawl files as many writers make them, and damage to them that says which records it left whole.

A file is chunks: bytes of the file as it was written, or bytes that damage put there. A record is whole if all the
bytes that it lies in are still one behind the other.
"""

from __future__ import annotations

import base64
import hashlib
import struct
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PACKINGS = ("gzip, a member a record", "zstd, a frame a record", "gzip, one member", "zstd, one frame",
            "gzip, members of any size", "plain")  # fmt: skip
APART = PACKINGS[:2]
"""Those where a record lies in bytes of its own that have a checksum."""
GROWN = 17 * 2**20
"""Bytes of a record that packs so well that it is over the limit on growth."""
_BUFFER = 2**15
_WORDS = [f"{a}{b}" for a in ("ka", "lo", "mi", "te", "su", "ра", "日") for b in ("n", "ri", "das", "о", "本")]


@dataclass
class Written:
    """A record as it was written. ``start`` and ``end`` are the bytes of the file that it lies in.

    ``wrong``       its Content-Length is.
    ``corrected``   it is a little too small, so that the member says what the body is.
    """

    url: str
    body: bytes
    content: bytes
    wrong: bool = False
    corrected: bool = False
    grown: bool = False
    start: int = 0
    end: int = 0


@dataclass
class CrawlFile:
    """A file with what was written to it and what was done to it."""

    packing: str
    written: list[Written]
    original: bytes
    chunks: list[tuple[int, int] | bytes] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)

    @property
    def content(self) -> bytes:
        """The file as it is now."""
        return b"".join(p if isinstance(p, bytes) else self.original[p[0] : p[1]] for p in self.chunks)

    def copies(self, record: Written) -> int:
        """How often a record is whole in it."""
        return sum(p[0] <= record.start and record.end <= p[1] for p in self._runs())

    def _runs(self) -> list[tuple[int, int]]:
        """The chunks of the original, those that follow each other as one."""
        runs: list[tuple[int, int]] = []
        before: tuple[int, int] | bytes = b""
        for chunk in self.chunks:
            if isinstance(chunk, tuple):
                follows = isinstance(before, tuple) and before[1] == chunk[0]
                runs[-1:] = [(runs[-1][0], chunk[1])] if follows else [*runs[-1:], chunk]
            before = chunk
        return runs


def crawl_file(rng: Random) -> CrawlFile:
    """A file of some records, damaged or not."""
    packing = rng.choice(PACKINGS)
    written = _written(rng, packing)
    parts, spans = _packed(rng, packing, written)
    for record, (start, end) in zip(written, spans, strict=True):
        record.start, record.end = start, end
    original = b"".join(parts)
    file = CrawlFile(packing, written, original, [(0, len(original))])
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        name = rng.choice(list(DAMAGES))
        file.damage.append(name)
        DAMAGES[name](rng, file)
    return file


def _written(rng: Random, packing: str) -> list[Written]:
    version = rng.choice(("WARC/1.0", "WARC/1.0", "WARC/1.1", "WARC/0.18", "WARC/0.17"))
    newline = rng.choice(("\r\n", "\r\n", "\n"))
    count = rng.randint(1, 30)
    bodies = [_body(rng) for _ in range(count)]
    if rng.random() < 0.002:
        bodies[rng.randrange(count)] = b"a" * GROWN
    digests = rng.random() < 0.5
    wrong = {rng.randrange(count)} if rng.random() < 0.3 else set()
    written: list[Written] = []
    for number, body in enumerate(bodies):
        length = len(body)
        content = _record(number, body, length, version, newline, digests=digests)
        if number in wrong:
            following = sum(
                len(body) + len(content) - length for body in bodies[number + 1 : number + rng.randint(2, 4)]
            )
            length = _wrong_length(rng, length, following)
            content = _record(number, body, length, version, newline, digests=digests)
        record = Written(f"https://example.org/{number}", body, content, length != len(body), grown=len(body) == GROWN)
        record.corrected = record.wrong and packing in APART and length < len(body) <= 3 * length - 10
        written.append(record)
    return written


def _body(rng: Random) -> bytes:
    lines = [" ".join(rng.choices(_WORDS, k=rng.randint(0, 12))) for _ in range(rng.randint(1, 40))]
    body = ("\n".join(lines) + "\n").encode()
    if rng.random() < 0.15:  # a member about as long as what is read at once
        size = rng.choice((_BUFFER, _BUFFER, 2 * _BUFFER, 40 * _BUFFER))
        body += base64.encodebytes(rng.randbytes(max(int(size + rng.gauss(0, 300)), 0)))
    return body


def _wrong_length(rng: Random, length: int, following: int) -> int:
    """Too small or too large, by little or by much; or up to about the end of a record after it."""
    choices = [length - rng.randint(1, 20), length // rng.randint(2, 9), 0, length + rng.randint(5, 60),
               length + rng.randint(60, 20_000), 10_000_000, 10**15, length + following]  # fmt: skip
    return max(rng.choice(choices), 0)


def _record(number: int, body: bytes, length: int, version: str, newline: str, *, digests: bool) -> bytes:
    digest = base64.b32encode(hashlib.sha1(body, usedforsecurity=False).digest()).decode()
    lines = [
        version,
        "WARC-Type: conversion",
        f"WARC-Target-URI: https://example.org/{number}",
        "WARC-Date: 2019-01-15T23:59:59Z",
        f"WARC-Record-ID: <urn:uuid:{number}>",
        *([f"WARC-Block-Digest: sha1:{digest}"] if digests else []),
        "Content-Type: text/plain",
        f"Content-Length: {length}",
    ]
    return (newline.join(lines) + 2 * newline).encode() + body + 2 * newline.encode()


def _packed(rng: Random, packing: str, written: Sequence[Written]) -> tuple[list[bytes], list[tuple[int, int]]]:
    """The parts of the file, and for each record from where to where its parts lie."""
    contents = [record.content for record in written]
    if packing == "plain":
        return contents, _spans(contents)
    pack = _gzip_member(rng, apart=packing in APART) if packing.startswith("gzip") else _zstd_frame
    if packing in APART:
        parts = [pack(content) for content in contents]
        return parts, _spans(parts)
    whole = b"".join(contents)
    cuts = [0, len(whole)]
    if packing == PACKINGS[4]:
        cuts = sorted({*cuts, *(rng.randrange(len(whole)) for _ in range(rng.randint(1, 20)))})
    parts = [pack(whole[a:b]) for a, b in pairwise(cuts)]
    members, spans = _spans(parts), []
    for start, end in _spans(contents):
        within = [members[n] for n in range(len(parts)) if cuts[n] < end and start < cuts[n + 1]]
        spans.append((within[0][0], within[-1][1]))
    return parts, spans


def _spans(parts: Sequence[bytes]) -> list[tuple[int, int]]:
    ends = [0]
    for part in parts:
        ends.append(ends[-1] + len(part))
    return list(pairwise(ends))


def _gzip_member(rng: Random, *, apart: bool) -> Callable[[bytes], bytes]:
    """A writer of members: with or without extra field (4), name (8), comment (16) and checksum of the header (2)."""
    flags = rng.choice((0, 0, 0, 2, 4, 8, 12, 16, 30))
    level = rng.choice((0, 1, 6) if apart else (1, 6))  # stored text without a start reads as a plain file

    def member(data: bytes) -> bytes:
        header = b"\x1f\x8b\x08" + bytes([flags]) + bytes(4) + b"\x00\x03"
        extra = b"sl" + struct.pack("<HII", 8, len(data), 0) + bytes(rng.choice((0, 0, 300)))
        header += struct.pack("<H", len(extra)) + extra if flags & 4 else b""
        header += b"name.warc\0" if flags & 8 else b""
        header += b"a comment\0" if flags & 16 else b""
        header += struct.pack("<H", zlib.crc32(header) & 0xFFFF) if flags & 2 else b""
        deflate = zlib.compressobj(level, wbits=-15)
        return header + deflate.compress(data) + deflate.flush() + struct.pack("<II", zlib.crc32(data), len(data))

    return member


def _zstd_frame(data: bytes) -> bytes:
    return zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1})


def _place(rng: Random, file: CrawlFile) -> int:
    """A place in the file: any, or the start or end of a record."""
    size = _size(file)
    if rng.random() < 0.3:
        record = rng.choice(file.written)
        return min(rng.choice((record.start, record.end)), size)
    return rng.randint(0, size)


def _size(file: CrawlFile) -> int:
    return sum(len(p) if isinstance(p, bytes) else p[1] - p[0] for p in file.chunks)


def _replace(file: CrawlFile, start: int, end: int, new: Sequence[tuple[int, int] | bytes]) -> None:
    before, _ = _split(file.chunks, start)
    _, after = _split(file.chunks, end)
    file.chunks = [chunk for chunk in [*before, *new, *after] if chunk]


def _split(
    chunks: Sequence[tuple[int, int] | bytes], place: int
) -> tuple[list[tuple[int, int] | bytes], list[tuple[int, int] | bytes]]:
    before: list[tuple[int, int] | bytes] = []
    for index, chunk in enumerate(chunks):
        size = len(chunk) if isinstance(chunk, bytes) else chunk[1] - chunk[0]
        if place < size:
            if isinstance(chunk, bytes):
                return [*before, chunk[:place]], [chunk[place:], *chunks[index + 1 :]]
            middle = chunk[0] + place
            left = [(chunk[0], middle)] if place else []
            return [*before, *left], [(middle, chunk[1]), *chunks[index + 1 :]]
        before.append(chunk)
        place -= size
    return before, []


def _cut(rng: Random, file: CrawlFile) -> None:
    _replace(file, _place(rng, file), _size(file), [])


def _flip(rng: Random, file: CrawlFile) -> None:
    for _ in range(rng.choice((1, 1, 5, 40))):
        place = rng.randrange(max(_size(file), 1))
        byte = file.content[place : place + 1]
        if byte:
            _replace(file, place, place + 1, [bytes([byte[0] ^ rng.randint(1, 255)])])


def _delete(rng: Random, file: CrawlFile) -> None:
    start = _place(rng, file)
    _replace(file, start, min(start + _length(rng), _size(file)), [])


def _repeat(rng: Random, file: CrawlFile) -> None:
    start = _place(rng, file)
    end = min(start + _length(rng), _size(file))
    _, rest = _split(file.chunks, start)
    copied, _ = _split(rest, end - start)
    place = rng.choice((end, _place(rng, file)))
    _replace(file, place, place, copied)


def _zero(rng: Random, file: CrawlFile) -> None:
    start = _place(rng, file)
    end = min(start + _length(rng), _size(file))
    _replace(file, start, end, [bytes(end - start)])


def _garbage(rng: Random, file: CrawlFile) -> None:
    place = _place(rng, file)
    size = min(_length(rng), 5000)
    kinds = (rng.randbytes(size), b"\n".join([b"garbage"] * (size // 8 + 1)), b"\x1f\x8b\x08" * (size // 3 + 1),
             b"\x1f\x8b\x08\x04" + bytes(6) + b"\xff\xff", b"WARC/1.0\r\n", b"\r\n\r\n")  # fmt: skip
    _replace(file, place, place, [rng.choice(kinds)])


def _length(rng: Random) -> int:
    return rng.choice((1, 1, rng.randint(1, 40), rng.randint(1, 1000), 4096, rng.randint(1, 40_000)))


DAMAGES: dict[str, Callable[[Random, CrawlFile], None]] = {
    "cut": _cut, "bytes changed": _flip, "range deleted": _delete, "range repeated": _repeat, "block of zeros": _zero,
    "garbage put in": _garbage,
}  # fmt: skip
