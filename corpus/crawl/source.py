"""Where a file comes from: HTTP(S), or any address that fsspec knows (S3). Opened at a byte, read in blocks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import lru_cache, partial
from typing import IO, TYPE_CHECKING, Any

from pipeline.storage import filesystem_of
from pipeline.store.unreachable import PASSING_STATUSES

if TYPE_CHECKING:
    import httpx

BLOCK = 2**20
_GONE = {404, 410}
SAY_403_TOO_OFTEN = {"data.commoncrawl.org"}
"""Servers that say 403 to those who ask too often. Elsewhere it means that one may not read there, now or later."""
_FOR_GOOD = ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound")
"""Errors of S3's library that no later attempt fixes."""


class RefusedError(Exception):
    """This attempt failed.

    ``wait``     seconds that the server asks for.
    ``passing``  another attempt makes sense.
    ``gone``     the file is not there.
    ``anew``     what is here already does not fit what the source has: the next attempt begins at the beginning.
    """

    def __init__(
        self,
        problem: str,
        *,
        wait: float | None = None,
        passing: bool = True,
        gone: bool = False,
        anew: bool = False,
    ) -> None:
        super().__init__(problem)
        self.problem, self.wait, self.gone, self.anew = problem, wait, gone, anew
        self.passing = passing and not gone


@dataclass(frozen=True)
class Opened:
    """An answer: ``blocks`` begin at byte ``start`` of ``size`` (None: not said).

    ``version`` is the same as long as the file is; None if the source does not tell.
    """

    start: int
    size: int | None
    version: str | None
    blocks: Iterator[bytes]
    part: Callable[[int, int], Iterator[bytes]] = field(default=lambda start, length: iter(()), repr=False)
    """Of a file system, other blocks: so many bytes from a place on."""


@contextmanager
def open_source(address: str, start: int, version: str | None, timeout: float) -> Iterator[Opened]:
    """Open ``address`` at byte ``start`` if it is still of ``version``, otherwise at its beginning.

    Errors: RefusedError; XlmrError if the address cannot be opened on this machine at all.
    """
    if address.startswith(("http://", "https://")):
        with _open_http(address, start, version, timeout) as opened:
            yield opened
    else:
        with _open_fsspec(address, start, version) as opened:
            yield opened


@contextmanager
def open_range(address: str, start: int, length: int, timeout: float) -> Iterator[Iterator[bytes]]:
    """Blocks of ``length`` bytes of a file from ``start`` on, fewer if it ends before.

    Errors: RefusedError; XlmrError if the address cannot be opened on this machine at all.
    """
    if address.startswith(("http://", "https://")):
        with _answer(address, {"Range": f"bytes={start}-{start + length - 1}"}, timeout) as answer:
            if answer.status_code != 206 or _range_of(answer)[0] != start:
                raise RefusedError("the server does not support range requests", passing=False)
            yield answer.iter_raw()
    else:
        with _open_fsspec(address, 0, None) as opened:
            yield opened.part(start, length)


@contextmanager
def _open_http(address: str, start: int, version: str | None, timeout: float) -> Iterator[Opened]:
    headers = {"Range": f"bytes={start}-", "If-Range": version} if start and version else {}
    with _answer(address, headers, timeout) as answer:
        begins, size = _range_of(answer)
        same = begins == 0 or (begins == start and _version(answer) in (version, None))
        if not same:
            raise RefusedError("the server sent another part of the file than requested", anew=True)
        yield Opened(begins, size, _version(answer), answer.iter_raw())


@contextmanager
def _answer(address: str, headers: dict[str, str], timeout: float) -> Iterator[httpx.Response]:
    """The server's answer, a whole file or a part of it. Errors: RefusedError."""
    import httpx

    try:
        asked = {"Accept-Encoding": "identity", **headers}
        with _client(timeout).stream("GET", address, headers=asked) as answer:
            if answer.status_code == 416:  # there is no such byte: what is here is longer than the file
                raise RefusedError("416 Range Not Satisfiable", wait=0, anew=True)
            if answer.status_code not in (200, 206):
                raise _refused(answer)
            yield answer
    except (httpx.TransportError, httpx.DecodingError) as error:
        raise RefusedError(f"{type(error).__name__}: {error}".rstrip(": ")) from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise RefusedError(f"{type(error).__name__}: {error}", passing=False) from None


@lru_cache(maxsize=4)
def _client(timeout: float) -> httpx.Client:
    """One a process: connections are used again."""
    import httpx

    agent = {"User-Agent": "xlmr (corpus fetch; +https://commoncrawl.org/faq)"}
    netrc = os.environ.get("NETRC")  # addresses hold no passwords: settings are stored and shown
    auth = httpx.NetRCAuth(netrc) if netrc else None
    return httpx.Client(timeout=timeout, follow_redirects=True, headers=agent, auth=auth)


def _refused(answer: httpx.Response) -> RefusedError:
    problem = f"{answer.status_code} {answer.reason_phrase}".strip()
    code = answer.status_code
    passing = code in PASSING_STATUSES or (code == 403 and answer.url.host in SAY_403_TOO_OFTEN)
    return RefusedError(problem, wait=_asked_wait(answer), passing=passing, gone=code in _GONE)


def _asked_wait(answer: httpx.Response) -> float | None:
    """Seconds of Retry-After, which is a number or a date."""
    text = answer.headers.get("Retry-After", "")
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError):
        return None


def _range_of(answer: httpx.Response) -> tuple[int, int | None]:
    """Which byte comes first, and the size of the whole file."""
    length = _number(answer.headers.get("Content-Length"))
    if answer.status_code == 200:
        return 0, length
    unit, _, rest = answer.headers.get("Content-Range", "").partition(" ")
    span, _, size = rest.partition("/")
    first = _number(span.partition("-")[0])
    if unit != "bytes" or first is None:
        raise RefusedError("the server sent a part of the file without a Content-Range", anew=True)
    return first, _number(size) if size != "*" else None if length is None else first + length


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None


def _version(answer: httpx.Response) -> str | None:
    """What If-Range may be asked with: a strong ETag, or the date of the last change."""
    tag = answer.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified")


@contextmanager
def _open_fsspec(address: str, start: int, version: str | None) -> Iterator[Opened]:
    filesystem, path = filesystem_of(address)
    with _refusals():
        filesystem.invalidate_cache()
        about: dict[str, Any] = filesystem.info(path)
        found = next((str(about[name]) for name in ("ETag", "LastModified", "mtime", "created") if name in about), None)
        begins = start if found is not None and found == version else 0
        stream: IO[bytes] = filesystem.open(path, "rb", block_size=8 * BLOCK)
    with stream:
        yield Opened(begins, about.get("size"), found, _blocks(stream, begins), partial(_blocks, stream))


def _blocks(stream: IO[bytes], start: int, length: int | None = None) -> Iterator[bytes]:
    """What is read from ``start`` on, ``length`` bytes or all.

    What whoever takes the blocks does with them is not the source's trouble.
    """
    with _refusals():
        stream.seek(start)
    while length is None or length > 0:
        with _refusals():
            block = stream.read(BLOCK if length is None else min(BLOCK, length))
        if not block:
            return
        if length is not None:
            length -= len(block)
        yield block


@contextmanager
def _refusals() -> Iterator[None]:
    """The errors of a file system as refusals; each has some of its own beside the system's."""
    try:
        yield
    except FileNotFoundError as error:
        raise RefusedError(f"FileNotFoundError: {error}", gone=True) from None
    except Exception as error:
        name = type(error).__name__
        passing = not isinstance(error, IsADirectoryError | PermissionError) and name not in _FOR_GOOD
        raise RefusedError(f"{name}: {error}", passing=passing) from None
