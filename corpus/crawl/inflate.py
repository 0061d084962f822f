"""The plain bytes of a file that may be gzip, zstd or neither, and may be damaged or hostile.

CommonCrawl writes a gzip member a record. Plain bytes come a member at a time where it is small, otherwise in blocks,
so that no more than a block is ever held, whatever a file says of itself. Where a member is damaged, reading resumes
at the next one, and a gap says what was skipped.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from io import SEEK_END
from operator import itemgetter
from typing import IO, NamedTuple, Protocol

from isal.igzip_lib import DECOMP_GZIP, IgzipDecompressor, IsalError

from corpus.crawl.gzip_header import LONGEST, header_continues

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdDecompressor, ZstdError
else:
    from backports.zstd import ZstdDecompressor, ZstdError

BLOCK_BYTES = 2**20
"""Plain bytes that are held at once."""
GROWTH_FROM = 2**24
"""Plain bytes of a member from which on its growth is looked at."""
READ = 2**15
"""Bytes that are read from the file at once."""
_MAGIC = 4
_FIRST_BYTES = 128
_LONGEST_BLOCK = 2**17
"""Bytes that zstd may want before it gives any."""
_RETRIES = 16
"""How many times the size of a file may be read again in search of members, beyond ``_RETRIED_ANYWAY`` bytes."""
_RETRIED_ANYWAY = 2**26
_ERRORS: tuple[type[Exception], ...] = (IsalError, ZstdError, ValueError)  # type: ignore[assignment]


class Inflater(Protocol):
    """A decompressor of one member, as those of bz2, lzma and zstd in Python, and isal's."""

    @property
    def eof(self) -> bool:
        """The member has ended."""

    @property
    def unused_data(self) -> bytes:
        """What was given beyond its end."""

    @property
    def needs_input(self) -> bool:
        """It has no more to give of what it was given."""

    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes:
        """At most ``max_length`` plain bytes."""


@dataclass(frozen=True)
class Format:
    """A compression format. ``start`` matches what may be the start of a member; ``new`` makes a decompressor."""

    name: str
    start: re.Pattern[bytes]
    new: Callable[[], Inflater]


@dataclass(frozen=True)
class Limits:
    """Limits of decompression: plain bytes of a file, and the ratio of plain to compressed bytes of a member."""

    file_bytes: int
    growth: int


class Chunk(NamedTuple):
    """Plain bytes. ``position`` is where their member begins in the file; of a plain file, where they begin."""

    position: int
    data: bytes
    first: bool
    """The member begins with them."""
    last: bool
    """The member ends with them."""
    end: int
    """How far the file was read for them."""


class Gap(NamedTuple):
    """Bytes of the file that could not be read: from ``start`` to ``end``, where reading resumes or the file ends.

    ``position`` is where the damaged member begins, before ``start`` if a part of it was read; ``begins`` is its first
    plain bytes, as far as there are any; ``member``: it has at least the magic number of one.
    """

    position: int
    start: int
    end: int
    problem: str
    begins: bytes
    member: bool


class UnreadableError(Exception):
    """The member at ``position`` cannot be read beyond ``done``.

    ``rest``   what could be read after that, before it failed.
    ``final``  no later member can be read.
    """

    def __init__(
        self, position: int, done: int, problem: str, *, rest: Chunk | None = None, final: bool = False
    ) -> None:
        super().__init__(problem)
        self.position, self.done, self.problem, self.rest, self.final = position, done, problem, rest, final


# The upper three flags of gzip are reserved. A skippable frame of zstd, with its own magic numbers, has no text.
GZIP = Format("gzip", re.compile(rb"\x1f\x8b\x08(?=[\x00-\x1f])"), lambda: IgzipDecompressor(flag=DECOMP_GZIP))
ZSTD = Format("zstd", re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"), ZstdDecompressor)
_SOME_TEXT = re.compile(rb"WARC/|[^\x00-\x08\x0e-\x1f]{32}")  # a member may hold the start of a first line only
_START = re.compile(GZIP.start.pattern + b"|" + ZSTD.start.pattern)


def format_of(start: bytes) -> Format | None:
    """The format of a file that begins with these bytes; None for one that is not compressed."""
    return next((form for form in (GZIP, ZSTD) if form.start.match(start)), None)


class InflatedText:
    """The plain bytes of one file, whose records begin with ``begins``. Counts what it gives and keeps to the limits.

    ``problem``  why nothing in it can be read, or empty.
    ``format``   None: it is not compressed.
    """

    def __init__(self, stream: IO[bytes], limits: Limits, begins: re.Pattern[bytes]) -> None:
        self._stream = stream
        self._limits = limits
        self._given = self._retried = 0
        self.size = stream.seek(0, SEEK_END)
        stream.seek(0)
        start = stream.read(READ)
        self.format = format_of(start)
        self._first = 0
        self.problem = "" if start else "the file is empty"
        if self.format is not None:
            readable = self._first_bytes(self.format, 0) or self._next_member(1, begins)
            if not readable and self._holds(begins):
                self.format = None  # its first bytes only look like a member
        elif start and not begins.match(start):
            self._search(begins)

    def _search(self, begins: re.Pattern[bytes]) -> None:
        """Find the format of a file whose start is damaged."""
        found = self._next_member(0, begins)
        holds = found is None and self._holds(begins)
        if found is None and not holds:
            found = self._next_member(0, _SOME_TEXT)  # members that end within records
        if found is not None:
            # A record may begin within a readable member that lies before the first one that begins with a record.
            readable = self._next_member(0, _SOME_TEXT)
            self._first, self.format = min(found, readable or found, key=itemgetter(0))
        elif not holds:
            self.problem = "it is neither gzip, zstd nor a WARC file"

    def parts(self, start: int = 0) -> Iterator[Chunk | Gap]:
        """All from the member at ``start`` on, with its gaps."""
        if start < self._first:
            yield Gap(start, start, self._first, "the start of the file is damaged", b"", member=False)
        position, form = max(start, self._first), self.format
        while True:
            self._stream.seek(position)
            try:
                yield from self._plain() if form is None else self._members(form, position)
                return
            except UnreadableError as error:
                retry = form is not None and not error.final and self._may_retry(error.position)
                found = self._next_member(error.position + 1) if retry else None
                begins = self._first_bytes(form, error.position) if form else b""
                end, done = self.size if found is None else found[0], error.done
                rest = error.rest
                if rest is not None and rest.first and not rest.data.strip(b"\r\n"):
                    rest = None  # a member that gave newlines alone gave nothing: its bytes are lost
                if rest is not None and not (found and self._is_text(*found) and end < rest.end):
                    yield rest
                    done = rest.end
                member = form is not None and self._is_start(error.position, form)
                yield Gap(error.position, done, end, error.problem, begins or b"", member)
                if found is None:
                    return
                position, form = found

    def next_start(self, position: int, begins: re.Pattern[bytes]) -> int | None:
        """Where, from ``position`` on, the first member begins whose text begins so; None if there is none."""
        found = self._next_member(position, begins) if self.format else None
        return found[0] if found else None

    def _may_retry(self, position: int) -> bool:
        """Whether to continue after a member that failed. A hostile file could fail at each of its bytes."""
        self._retried += self._stream.tell() - position
        return self._retried <= _RETRIES * self.size + _RETRIED_ANYWAY

    def _next_member(self, position: int, begins: re.Pattern[bytes] | None = None) -> tuple[int, Format] | None:
        """Where, from ``position`` on, the first member begins whose start can be read, and reads like ``begins``."""
        while True:
            self._stream.seek(position)
            block = self._stream.read(READ)
            for found in _START.finditer(block):
                start, form = position + found.start(), format_of(block[found.start() : found.start() + _MAGIC])
                text = self._first_bytes(form, start) if form else None
                if form and text is not None and (begins is None or begins.match(text)):
                    return start, form
            if len(block) < READ:
                return None
            position += READ - _MAGIC + 1

    def _first_bytes(self, form: Format, position: int) -> bytes | None:
        """The first plain bytes of the member that begins there; None if none does."""
        self._stream.seek(position)
        data = self._stream.read(4096)
        if form is GZIP and header_continues(data):
            data += self._stream.read(LONGEST)
        inflate, fed, text = form.new(), 0, b""
        try:
            while data and not text and not inflate.eof and fed <= _LONGEST_BLOCK:
                text = inflate.decompress(data, _FIRST_BYTES)
                fed += len(data)
                data = self._stream.read(READ)
        except _ERRORS:
            return None
        return text

    def _is_start(self, position: int, form: Format) -> bool:
        self._stream.seek(position)
        return form.start.match(self._stream.read(_MAGIC)) is not None

    def _is_text(self, position: int, form: Format) -> bool:
        """Whether a member surely begins there, so that what was read of the one before it beyond that is no text."""
        return _SOME_TEXT.match(self._first_bytes(form, position) or b"") is not None

    def _holds(self, begins: re.Pattern[bytes]) -> bool:
        """Whether a record begins anywhere in the file as it is."""
        self._stream.seek(0)
        before = b""
        while block := self._stream.read(BLOCK_BYTES):
            if begins.search(before + block):
                return True
            before = block[-_FIRST_BYTES:]
        return False

    def _plain(self) -> Iterator[Chunk]:
        position = 0
        while block := self._stream.read(BLOCK_BYTES):
            self._count(block, position, position)
            yield Chunk(position, block, first=False, last=False, end=position + len(block))
            position += len(block)

    def _members(self, form: Format, position: int) -> Iterator[Chunk]:
        while waiting := self._stream.read(READ):
            read = position + len(waiting)
            while waiting:  # members in it, each of them mostly whole
                inflate = form.new()
                data = problem = None
                try:
                    data = inflate.decompress(waiting, BLOCK_BYTES)
                except _ERRORS as error:
                    problem = f"{form.name} data error ({error})"
                if data is not None and inflate.eof:
                    rest = inflate.unused_data
                    end = read - len(rest)
                    self._count(data, position, position)
                    yield Chunk(position, data, True, True, end)
                    waiting, position = rest, end
                elif form is GZIP and header_continues(waiting) and (more := self._stream.read(READ)):
                    waiting += more
                    read += len(more)
                elif data is None:
                    raise UnreadableError(position, position, str(problem)) from None
                else:
                    read = yield from self._rest_of_member(form, inflate, data, position, read)
                    waiting = inflate.unused_data
                    position = read - len(waiting)

    def _rest_of_member(
        self, form: Format, inflate: Inflater, data: bytes, position: int, read: int
    ) -> Generator[Chunk, None, int]:
        """A member that the bytes at hand do not hold, or that is large. Returns how far the file is read then."""
        first, parts, size, grown, done = True, [data], len(data), len(data), position
        problem = ""
        while not inflate.eof and not problem:
            if size >= BLOCK_BYTES:
                block = b"".join(parts)
                self._count(block, position, done)
                yield Chunk(position, block, first, last=False, end=read)
                first, parts, size, done = False, [], 0, read
            waiting = self._stream.read(READ) if inflate.needs_input else b""
            if inflate.needs_input and not waiting:
                # Not the end for certain: a damaged header can claim the members after it as its own.
                problem = "the file ends within a record"
                break
            try:
                parts.append(inflate.decompress(waiting, BLOCK_BYTES))
            except _ERRORS as error:
                problem = f"{form.name} data error ({error})"
                break
            read += len(waiting)
            size += len(parts[-1])
            grown += len(parts[-1])
            if grown > GROWTH_FROM and grown > self._limits.growth * (read - position):
                problem = f"it grows to more than {self._limits.growth:,} times its size"
        block = b"".join(parts)
        self._count(block, position, done)
        chunk = Chunk(position, block, first, last=not problem, end=read - len(inflate.unused_data))
        if problem:
            raise UnreadableError(position, done, problem, rest=chunk if block else None)
        yield chunk
        return read

    def _count(self, block: bytes, position: int, done: int) -> None:
        self._given += len(block)
        if self._given > self._limits.file_bytes:
            problem = f"the file grows to more than {self._limits.file_bytes:,} bytes"
            raise UnreadableError(position, done, problem, final=True)
