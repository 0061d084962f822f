"""The plain bytes of a file that may be gzip, zstd or neither, and may be damaged or hostile.

CommonCrawl writes a gzip member a record. Plain bytes come a member at a time where it is small, otherwise in pieces,
so that no more than a piece is ever held, whatever a file says of itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from io import SEEK_END
from typing import IO, NamedTuple, Protocol

from isal.igzip_lib import DECOMP_GZIP, IgzipDecompressor, IsalError

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdDecompressor, ZstdError
else:
    from backports.zstd import ZstdDecompressor, ZstdError

PIECE = 2**20
"""Plain bytes that are held at once."""
GROWTH_FROM = 2**24
"""Plain bytes of a member from which on its growth is looked at."""
_READ = 2**15
_MAGIC = 4
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
    """How a compressed member begins, and what reads it."""

    name: str
    magic: bytes
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


class UnreadableError(Exception):
    """No more can be read from ``position`` (the start of a member) on. ``final``: nor from any later one."""

    def __init__(self, position: int, problem: str, *, final: bool = False) -> None:
        super().__init__(problem)
        self.position, self.problem, self.final = position, problem, final


GZIP = Format("gzip", b"\x1f\x8b\x08", lambda: IgzipDecompressor(flag=DECOMP_GZIP))
ZSTD = Format("zstd", b"\x28\xb5\x2f\xfd", ZstdDecompressor)
_SKIPPABLE = tuple(bytes([n]) + b"\x2a\x4d\x18" for n in range(0x50, 0x60))  # a zstd frame without text


def format_of(start: bytes) -> Format | None:
    """The format of a file that begins with these bytes; None for one that is not compressed."""
    if start.startswith(GZIP.magic):
        return GZIP
    return ZSTD if start.startswith((ZSTD.magic, *_SKIPPABLE)) else None


class Text:
    """The plain bytes of one file. Counts what it gives, over all its starts, and keeps to the limits."""

    def __init__(self, stream: IO[bytes], limits: Limits) -> None:
        self._stream = stream
        self._limits = limits
        self._given = 0
        self.size = stream.seek(0, SEEK_END)
        stream.seek(0)
        self.start = stream.read(_MAGIC)
        self.format = format_of(self.start)

    def chunks(self, position: int) -> Iterator[Chunk]:
        """From the member at ``position`` on. Errors: UnreadableError."""
        self._stream.seek(position)
        return self._plain(position) if self.format is None else self._members(self.format, position)

    def next_start(self, after: int, begins: bytes) -> int | None:
        """Where the first member after byte ``after`` begins whose text begins with ``begins``."""
        if self.format is None:
            return None
        position = after + 1
        while True:
            self._stream.seek(position)
            piece = self._stream.read(PIECE)
            found = piece.find(self.format.magic)
            if found >= 0:
                position += found
                if self._begins(position, self.format, begins):
                    return position
                position += 1
            elif len(piece) < PIECE:
                return None
            else:
                position += len(piece) - len(self.format.magic)

    def _begins(self, position: int, form: Format, begins: bytes) -> bool:
        self._stream.seek(position)
        try:
            return form.new().decompress(self._stream.read(4096), len(begins)) == begins
        except _ERRORS:
            return False

    def _plain(self, position: int) -> Iterator[Chunk]:
        while piece := self._stream.read(PIECE):
            self._count(piece, position)
            yield Chunk(position, piece, first=False, last=False)
            position += len(piece)

    def _members(self, form: Format, position: int) -> Iterator[Chunk]:
        while waiting := self._stream.read(_READ):
            read = position + len(waiting)
            while waiting:  # members in it, each of them mostly whole
                inflate = form.new()
                try:
                    data = inflate.decompress(waiting, PIECE)
                except _ERRORS as error:
                    raise UnreadableError(position, f"{form.name} data error ({error})") from None
                if inflate.eof:
                    self._count(data, position)
                    yield Chunk(position, data, first=True, last=True)
                else:
                    read = yield from self._rest_of_member(form, inflate, data, position, read)
                waiting = inflate.unused_data
                position = read - len(waiting)

    def _rest_of_member(
        self, form: Format, inflate: Inflater, data: bytes, position: int, read: int
    ) -> Generator[Chunk, None, int]:
        """A member that the bytes at hand do not hold, or that is large. Returns how far the file is read then."""
        first, parts, size, grown = True, [data], len(data), len(data)
        while not inflate.eof:
            if size >= PIECE:
                piece = b"".join(parts)
                self._count(piece, position)
                yield Chunk(position, piece, first, last=False)
                first, parts, size = False, [], 0
            waiting = self._stream.read(_READ) if inflate.needs_input else b""
            read += len(waiting)
            if inflate.needs_input and not waiting:
                yield Chunk(position, b"".join(parts), first, last=False)
                # Not the end for certain: a damaged header can claim the members after it as its own.
                raise UnreadableError(position, "the file ends within a record")
            try:
                parts.append(inflate.decompress(waiting, PIECE))
            except _ERRORS as error:
                raise UnreadableError(position, f"{form.name} data error ({error})") from None
            size += len(parts[-1])
            grown += len(parts[-1])
            if grown > GROWTH_FROM and grown > self._limits.growth * (read - position):
                raise UnreadableError(position, f"it grows to more than {self._limits.growth:,} times its size")
        piece = b"".join(parts)
        self._count(piece, position)
        yield Chunk(position, piece, first, last=True)
        return read

    def _count(self, piece: bytes, position: int) -> None:
        self._given += len(piece)
        if self._given > self._limits.file_bytes:
            problem = f"the file grows to more than {self._limits.file_bytes:,} bytes"
            raise UnreadableError(position, problem, final=True)
