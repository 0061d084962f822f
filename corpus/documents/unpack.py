"""Decompresses a file as a stream, up to the first damaged place, which the standard readers do not."""

from __future__ import annotations

import bz2
import io
import lzma
import sys
from collections.abc import Callable
from typing import IO, Any

from isal.igzip_lib import DECOMP_GZIP, IgzipDecompressor, IsalError

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdDecompressor, ZstdError
else:
    from backports.zstd import ZstdDecompressor, ZstdError

DAMAGED: tuple[type[Exception], ...] = (  # type: ignore[assignment]
    EOFError, ValueError, OSError, lzma.LZMAError, IsalError, ZstdError,
)  # fmt: skip
"""What reading raises where the file is damaged, or cut (EOFError)."""

_MEMBERS: dict[bytes, Callable[[], Any]] = {
    b"\x1f\x8b": lambda: IgzipDecompressor(flag=DECOMP_GZIP),
    b"\x28\xb5\x2f\xfd": ZstdDecompressor,
    b"\xfd7zXZ\x00": lzma.LZMADecompressor,
    b"BZh": bz2.BZ2Decompressor,
}
"""What decompresses a member, by the first bytes of the file."""
_READ = 2**15
_BLOCK = 2**16
"""Plain bytes at once: what is lost before a damaged place is less."""
_LONGEST_MAGIC = 6


def open_plain(stream: IO[bytes]) -> io.BufferedReader:
    """The plain bytes of a file: of gzip, zstd, xz or bzip2 (of one or many members), or as they are."""
    head = stream.read(_LONGEST_MAGIC)
    stream.seek(0)
    member = next((member for magic, member in _MEMBERS.items() if head.startswith(magic)), None)
    return io.BufferedReader(_Unpacked(stream, member) if member else stream, 2**20)  # type: ignore[arg-type]


class _Unpacked(io.RawIOBase):
    def __init__(self, stream: IO[bytes], member: Callable[[], Any]) -> None:
        self._stream = stream
        self._new = member
        self._member = member()
        self._waiting = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Errors: EOFError where the file ends within a member; those of the decompressor."""
        while True:
            if self._member.eof and not self._begin_member():
                return 0
            if self._member.needs_input and not self._waiting:
                self._waiting = self._stream.read(_READ)
                if not self._waiting:
                    raise EOFError("the file ends within a compressed member")
            waiting, self._waiting = self._waiting, b""
            block: bytes = self._member.decompress(waiting, min(len(buffer), _BLOCK))
            if block:
                buffer[: len(block)] = block
                return len(block)

    def _begin_member(self) -> bool:
        """Begin the next member; False at the end of the file. Zeros between members are padding."""
        self._waiting = self._member.unused_data.lstrip(b"\0")
        while not self._waiting:
            block = self._stream.read(_READ)
            if not block:
                return False
            self._waiting = block.lstrip(b"\0")
        self._member = self._new()
        return True
