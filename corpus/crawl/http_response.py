"""An HTTP response as an archive holds it -> status, content type, charset and the decoded body.

Archives often undo a coding and keep the header that names it, name a coding that there is none of, or cut the body.
So each coding is tried; where it does not fit, the body is taken as it stands; what could be decoded is kept.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import brotli
from isal import isal_zlib

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdDecompressor, ZstdError
else:
    from backports.zstd import ZstdDecompressor, ZstdError

_HEADER_ENDS = re.compile(rb"\r?\n\r?\n")
_STATUS = re.compile(rb"HTTP/[\d.]+[ \t]+(\d{3})(?!\d)")
_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([^\s\"';,]+)", re.IGNORECASE)
_CHUNK = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")
_LONGEST_HEADER = 2**18
_MOST_CODINGS = 5
"""The last ones count. curl undoes no more either; a thousand would be a thousand copies of the body."""
_STEP = 2**14
"""Packed bytes that are decoded at once: what comes before a damaged place is kept to within so many."""


_ERRORS: tuple[type[Exception], ...] = (isal_zlib.error, ZstdError, brotli.error, ValueError)  # type: ignore[assignment]


class GrowsError(Exception):
    """The body decodes to more than the limit."""


@dataclass(frozen=True, slots=True)
class Response:
    """Status, type and charset of a response, and its decoded body.

    ``kind``     content type, lower case, without parameters; empty where the header names none.
    ``charset``  as the header names it; empty where it does not.
    ``cut``      the body ended, or was damaged, before its coding did: what came before is there.
    """

    status: int
    kind: str
    charset: str
    body: bytes
    cut: bool


@dataclass(frozen=True, slots=True)
class _Decoded:
    data: bytes
    whole: bool


class _Decoder(Protocol):
    """A decoder of one stream."""

    def feed(self, data: bytes, space: int) -> bytes:
        """At most about ``space`` decoded bytes of what was given so far."""

    @property
    def finished(self) -> bool:
        """The stream has ended."""


def read_response(record: bytes, max_bytes: int) -> Response | None:
    """The response that a WARC record holds; None where it does not begin like one.

    ``max_bytes``  what the body may decode to. Errors: GrowsError over that.
    """
    status = _STATUS.match(record)
    end = _HEADER_ENDS.search(record, 0, _LONGEST_HEADER)
    if status is None or end is None:
        return None
    headers = _headers(record[: end.start()])
    body, cut = record[end.end() :], False
    for coding in reversed(_codings(headers)):
        decoded = _decode(coding, body, max_bytes)
        if decoded is not None:
            body, cut = decoded.data, cut or not decoded.whole
    body, cut = _undo_unnamed(body, cut, max_bytes)
    kind = re.split("[;,]", headers.get("content-type", ""), maxsplit=1)[0]
    charset = _CHARSET.search(headers.get("content-type", ""))
    return Response(int(status[1]), kind.strip().lower(), charset[1] if charset else "", body, cut)


def _headers(head: bytes) -> dict[str, str]:
    """By their names in lower case; repeated headers are joined as a list. Bytes that are not ASCII stay latin-1."""
    text = re.sub(r"\r?\n[ \t]+", " ", head.decode("latin-1"))
    found: dict[str, str] = {}
    for line in text.split("\n")[1:]:
        name, colon, value = line.partition(":")
        key = name.strip().lower()
        if not colon:
            continue
        found[key] = f"{found[key]}, {value.strip()}" if key in found and key.endswith("-encoding") else value.strip()
    return found


def _codings(headers: dict[str, str]) -> list[str]:
    """In the order in which the server applied them: first those of the content, then those of the transfer."""
    names = f"{headers.get('content-encoding', '')},{headers.get('transfer-encoding', '')}"
    return [name for word in names.split(",") if (name := word.strip(" \t\"'").lower())][-_MOST_CODINGS:]


def _decode(coding: str, body: bytes, max_bytes: int) -> _Decoded | None:
    """The body without one coding; None where the coding is not one, or does not fit."""
    name = coding.removeprefix("x-")
    if name == "chunked":
        return _dechunk(body, max_bytes)
    tried = [_stream(decoder, body, max_bytes) for decoder in _DECODERS.get(name, ())]
    whole = next((decoded for decoded in tried if decoded.whole), None)
    if whole is not None:
        return whole
    most = max(tried, key=lambda decoded: len(decoded.data), default=None)
    # Text that begins like HTML is no packed data: what a decoder made of its first bytes is chance.
    return None if most is None or not most.data or body.lstrip()[:1] == b"<" else most


def _undo_unnamed(body: bytes, cut: bool, max_bytes: int) -> tuple[bytes, bool]:
    """A body that still begins as gzip or zstd does is compressed, though no header says so."""
    name = "gzip" if body.startswith(b"\x1f\x8b\x08") else "zstd" if body.startswith(b"\x28\xb5\x2f\xfd") else ""
    decoded = _decode(name, body, max_bytes) if name else None
    return (decoded.data, cut or not decoded.whole) if decoded is not None else (body, cut)


def _dechunk(body: bytes, max_bytes: int) -> _Decoded | None:
    """The chunks, joined; None where the body does not begin with one."""
    parts: list[bytes] = []
    place = space = 0
    while (size := _CHUNK.match(body, place)) is not None:
        length, start = int(size[1], 16), size.end()
        if not length:
            return _Decoded(b"".join(parts), whole=True)
        part = body[start : start + length]
        after = body[start + length : start + length + 2]
        if not parts and len(part) == length and after and not after.startswith((b"\r", b"\n")):
            return None  # a text that begins with a number
        parts.append(part)
        space += len(part)
        if space > max_bytes:
            raise GrowsError
        if len(part) < length:
            break
        place = start + length + (2 if after == b"\r\n" else 1 if after[:1] == b"\n" else 0)
    return _Decoded(b"".join(parts), whole=False) if parts else None


def _stream(make: Callable[[], _Decoder], body: bytes, max_bytes: int) -> _Decoded:
    """What one decoder makes of the body, up to the first error. Errors: GrowsError."""
    decoder, parts, size = make(), list[bytes](), 0
    try:
        for start in range(0, len(body), _STEP):
            part = decoder.feed(body[start : start + _STEP], max_bytes + 1 - size)
            parts.append(part)
            size += len(part)
            if size > max_bytes:
                raise GrowsError
            if decoder.finished:
                break
    except _ERRORS:
        return _Decoded(b"".join(parts), whole=False)
    return _Decoded(b"".join(parts), whole=decoder.finished)


class _Zlib:
    """gzip, zlib or raw deflate, by ``bits``; gzip of several members is read to the end of the last."""

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._stream = isal_zlib.decompressobj(wbits=bits)
        self.finished = False

    def feed(self, data: bytes, space: int) -> bytes:
        """See _Decoder."""
        parts, rest = [], data
        while rest and space > 0:
            if self.finished:  # another member, or what somebody wrote after the last one
                if self._bits < 31 or not rest.startswith(b"\x1f\x8b"):
                    break
                self._stream = isal_zlib.decompressobj(wbits=self._bits)
            parts.append(self._stream.decompress(rest, space))
            space -= len(parts[-1])
            self.finished = self._stream.eof
            rest = self._stream.unused_data if self.finished else self._stream.unconsumed_tail
        return b"".join(parts)


class _Zstd:
    """Zstandard, its first frame."""

    def __init__(self) -> None:
        self._stream = ZstdDecompressor()

    @property
    def finished(self) -> bool:
        """See _Decoder."""
        return self._stream.eof

    def feed(self, data: bytes, space: int) -> bytes:
        """See _Decoder."""
        return self._stream.decompress(data, space)


class _Brotli:
    """Brotli, which gives what it has in parts of ``space`` bytes at the most."""

    def __init__(self) -> None:
        self._stream = brotli.Decompressor()

    @property
    def finished(self) -> bool:
        """See _Decoder."""
        return bool(self._stream.is_finished())

    def feed(self, data: bytes, space: int) -> bytes:
        """See _Decoder."""
        return bytes(self._stream.process(data, output_buffer_limit=space))


_DECODERS: dict[str, tuple[Callable[[], _Decoder], ...]] = {
    "gzip": (lambda: _Zlib(31),),
    # RFC 9110 means zlib's format; servers that send raw deflate are as common.
    "deflate": (lambda: _Zlib(15), lambda: _Zlib(-15)),
    "br": (_Brotli,),
    "zstd": (_Zstd,),
}
