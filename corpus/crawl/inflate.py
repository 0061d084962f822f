"""The plain bytes of a file that may be gzip, zstd or neither, and may be damaged or hostile.

CommonCrawl writes a gzip member a record. Plain bytes come a member at a time where it is small, otherwise in pieces,
so that no more than a piece is ever held, whatever a file says of itself. Where a member is damaged, reading resumes
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

from corpus.crawl.gzip_header import LONGEST, header_goes_on

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdDecompressor, ZstdError
else:
    from backports.zstd import ZstdDecompressor, ZstdError

PIECE = 2**20
"""Plain bytes that are held at once."""
GROWTH_FROM = 2**24
"""Plain bytes of a member from which on its growth is looked at."""
READ = 2**15
"""Bytes that are read from the file at once."""
_MAGIC = 4
_FIRST_BYTES = 64
_RETRIES = 16
"""How many times the size of a file may be read again in search of members, beyond ``_RETRIED_ANYWAY`` bytes."""
_RETRIED_ANYWAY = 2**26
_ERRORS: tuple[type[Exception], ...] = (IsalError, ZstdError, ValueError)  # type: ignore[assignment]


class Inflater(Protocol):
    """What decompressors of one member have in common: those of bz2, lzma and zstd in Python, and isal's."""

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
    """How a compressed member begins, and what reads it. ``start`` matches what may be the start of one."""

    name: str
    start: re.Pattern[bytes]
    new: Callable[[], Inflater]


@dataclass(frozen=True)
class Limits:
    """What a file may grow to: plain bytes in all, and how many times its size one member may."""

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
    plain bytes, as far as there are any.
    """

    position: int
    start: int
    end: int
    problem: str
    begins: bytes


class UnreadableError(Exception):
    """The member at ``position`` cannot be read beyond ``done``. ``final``: nor can any later one."""

    def __init__(self, position: int, done: int, problem: str, *, final: bool = False) -> None:
        super().__init__(problem)
        self.position, self.done, self.problem, self.final = position, done, problem, final


# The upper three flags of gzip are reserved. A skippable frame of zstd, with its own magic numbers, has no text.
GZIP = Format("gzip", re.compile(rb"\x1f\x8b\x08[\x00-\x1f]"), lambda: IgzipDecompressor(flag=DECOMP_GZIP))
ZSTD = Format("zstd", re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"), ZstdDecompressor)


def format_of(start: bytes) -> Format | None:
    """The format of a file that begins with these bytes; None for one that is not compressed."""
    return next((form for form in (GZIP, ZSTD) if form.start.match(start)), None)


class Text:
    """The plain bytes of one file, whose records begin with ``begins``. Counts what it gives and keeps to the limits.

    ``problem``  why nothing in it can be read, or empty.
    ``format``   None: it is not compressed.
    """

    def __init__(self, stream: IO[bytes], limits: Limits, begins: bytes) -> None:
        self._stream = stream
        self._limits = limits
        self._given = self._retried = 0
        self.size = stream.seek(0, SEEK_END)
        stream.seek(0)
        start = stream.read(max(_MAGIC, len(begins)))
        self.format = format_of(start)
        self._first = 0
        self.problem = "" if start else "the file is empty"
        if start and self.format is None and not start.startswith(begins):
            self._search(begins)

    def _search(self, begins: bytes) -> None:
        """Find out what the file is although its start is damaged."""
        found = [(start, form) for form in (GZIP, ZSTD) if (start := self._next_start(form, 0, begins)) is not None]
        if found:
            self._first, self.format = min(found, key=itemgetter(0))
        elif not self._holds(begins):
            self.problem = "it is neither gzip, zstd nor a WARC file"

    def parts(self, start: int = 0) -> Iterator[Chunk | Gap]:
        """All from the member at ``start`` on, with its gaps."""
        position: int | None = max(start, self._first)
        if start < self._first:
            yield Gap(start, start, self._first, "the start of the file is damaged", b"")
        while position is not None:
            self._stream.seek(position)
            try:
                yield from self._plain() if self.format is None else self._members(self.format, position)
                return
            except UnreadableError as error:
                position = None
                if self.format is not None and not error.final and self._may_retry(error.position):
                    position = self._next_start(self.format, error.position + 1)
                end = self.size if position is None else position
                begins = self._first_bytes(self.format, error.position) if self.format else b""
                yield Gap(error.position, error.done, end, error.problem, begins or b"")

    def next_start(self, position: int, begins: bytes) -> int | None:
        """Where, from ``position`` on, the first member begins whose text begins so; None if there is none."""
        return self._next_start(self.format, position, begins) if self.format else None

    def _may_retry(self, position: int) -> bool:
        """Whether to read on after a member that failed. Made for it, a file could fail at each of its bytes."""
        self._retried += self._stream.tell() - position
        return self._retried <= _RETRIES * self.size + _RETRIED_ANYWAY

    def _next_start(self, form: Format, position: int, begins: bytes = b"") -> int | None:
        """Where, from ``position`` on, the first member begins whose start can be read, and reads like ``begins``."""
        while True:
            self._stream.seek(position)
            block = self._stream.read(READ)
            for found in form.start.finditer(block):
                text = self._first_bytes(form, position + found.start())
                if text is not None and text.startswith(begins):
                    return position + found.start()
            if len(block) < _MAGIC:
                return None
            position += len(block) - _MAGIC + 1

    def _first_bytes(self, form: Format, position: int) -> bytes | None:
        """The first plain bytes of the member that begins there; None if none does."""
        self._stream.seek(position)
        data = self._stream.read(4096)
        if form is GZIP and header_goes_on(data):
            data += self._stream.read(LONGEST)
        try:
            return form.new().decompress(data, _FIRST_BYTES)
        except _ERRORS:
            return None

    def _holds(self, begins: bytes) -> bool:
        """Whether these bytes are anywhere in the file as it is."""
        self._stream.seek(0)
        before = b""
        while block := self._stream.read(PIECE):
            if begins in before + block:
                return True
            before = block[1 - len(begins) :]
        return False

    def _plain(self) -> Iterator[Chunk]:
        position = 0
        while piece := self._stream.read(PIECE):
            self._count(piece, position, position)
            yield Chunk(position, piece, first=False, last=False, end=position + len(piece))
            position += len(piece)

    def _members(self, form: Format, position: int) -> Iterator[Chunk]:
        while waiting := self._stream.read(READ):
            read = position + len(waiting)
            while waiting:  # members in it, each of them mostly whole
                inflate = form.new()
                data = problem = None
                try:
                    data = inflate.decompress(waiting, PIECE)
                except _ERRORS as error:
                    problem = f"{form.name} data error ({error})"
                if data is not None and inflate.eof:
                    rest = inflate.unused_data
                    end = read - len(rest)
                    self._count(data, position, position)
                    yield Chunk(position, data, True, True, end)
                    waiting, position = rest, end
                elif form is GZIP and header_goes_on(waiting) and (more := self._stream.read(READ)):
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
            if size >= PIECE:
                piece = b"".join(parts)
                self._count(piece, position, done)
                yield Chunk(position, piece, first, last=False, end=read)
                first, parts, size, done = False, [], 0, read
            waiting = self._stream.read(READ) if inflate.needs_input else b""
            if inflate.needs_input and not waiting:
                # Not the end for certain: a damaged header can claim the members after it as its own.
                problem = "the file ends within a record"
                break
            try:
                parts.append(inflate.decompress(waiting, PIECE))
            except _ERRORS as error:
                problem = f"{form.name} data error ({error})"
                break
            read += len(waiting)
            size += len(parts[-1])
            grown += len(parts[-1])
            if grown > GROWTH_FROM and grown > self._limits.growth * (read - position):
                problem = f"it grows to more than {self._limits.growth:,} times its size"
        piece = b"".join(parts)
        self._count(piece, position, done)
        yield Chunk(position, piece, first, last=not problem, end=read - len(inflate.unused_data))
        done = read if piece else done
        if problem:
            raise UnreadableError(position, done, problem)
        return read

    def _count(self, piece: bytes, position: int, done: int) -> None:
        self._given += len(piece)
        if self._given > self._limits.file_bytes:
            problem = f"the file grows to more than {self._limits.file_bytes:,} bytes"
            raise UnreadableError(position, done, problem, final=True)
