"""Downloads one file, over several connections where needed, until it is complete or cannot be had."""

from __future__ import annotations

import hashlib
import io
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import IO, TYPE_CHECKING, Any

from corpus.crawl.inflate import Gap, InflatedText, Limits, format_of
from corpus.crawl.look_ahead import RECORD_START
from corpus.crawl.slots import StoppedError, pause, slot
from corpus.crawl.source import Opened, RefusedError, open_range, open_source
from pipeline.errors import UnreachableError, XlmrError
from pipeline.storage import check_file, naming, read_json, write_json

if TYPE_CHECKING:
    from corpus.crawl.settings import Download

Ranges = tuple[tuple[int, int], ...]
"""Parts of a file: offset and length of each, in order."""

GAIN = 2**20
"""Bytes after which a connection that was cut does not count as failed."""
_TAIL = 2**17
_MAGIC = 4


class GoneError(XlmrError):
    """The file does not exist at its address, and no later attempt will find it."""


def open_here(path: str) -> IO[bytes]:
    """A local file, open for reading. Errors: GoneError; XlmrError naming it, here and where it is read."""
    try:
        with naming(Path(path)):
            check_file(Path(path))
            return LocalFile(path)
    except FileNotFoundError:
        raise GoneError(f"{path}: no such file", "check the path") from None


class LocalFile(io.FileIO):
    """A file whose read errors name it, so that they are not counted as damage of its content."""

    def readinto(self, buffer: Any) -> int:
        """As FileIO. Errors: XlmrError."""
        with naming(Path(str(self.name))):
            return super().readinto(buffer)

    def read(self, size: int | None = -1) -> bytes:
        """As FileIO. Errors: XlmrError."""
        with naming(Path(str(self.name))):
            return super().read(size)


@dataclass
class PartialFile:
    """A file that is being downloaded: the open file, locked by this process, and its version in a file beside it."""

    stream: IO[bytes]
    about: Path

    @property
    def size(self) -> int:
        """Bytes downloaded so far."""
        return os.fstat(self.stream.fileno()).st_size

    def version(self) -> str | None:
        """The version of the file; None if the download cannot be resumed."""
        try:
            about: Any = read_json(self.about)
        except (FileNotFoundError, XlmrError):
            return None
        return about.get("version") if isinstance(about, dict) else None

    def begin(self, version: str | None, size: int | None = None) -> None:
        """Start over with a version of ``size`` bytes; a version of None cannot be resumed."""
        self.stream.seek(0)
        self.stream.truncate(0)
        write_json(self.about, {"version": version, "size": size})

    def sha256(self) -> str:
        """Hex SHA-256 of the bytes downloaded so far."""
        return sha256_of(self.stream)


def sha256_of(stream: IO[bytes]) -> str:
    """Hex SHA-256 of an open file; leaves it at its beginning."""
    digest = hashlib.sha256()
    stream.seek(0)
    while block := stream.read(2**20):
        digest.update(block)
    stream.seek(0)
    return digest.hexdigest()


def download(
    address: str, part: PartialFile, settings: Download, stop: Event, make_package: Callable[[], None]
) -> tuple[int, str]:
    """Fill ``part`` with the file at ``address``; its size and SHA-256.

    ``make_package`` is called once a connection, when it is known how much is to come.
    Errors: GoneError; XlmrError; StoppedError.
    """
    failures, cut = 0, ""
    while True:
        before = part.size
        try:
            with slot(settings.folder / "slots", settings.connections, stop):
                _receive(address, part, settings, stop, make_package)
            digest = part.sha256()
            if cut == digest or _ends_whole(part.stream):
                return part.size, digest
            # A length that is declared too small cuts a file unnoticed. What comes twice alike is so at its source.
            cut = digest
            refused = RefusedError("it ends within a record, its Content-Length may be wrong", wait=0, anew=True)
        except RefusedError as error:
            refused = error
        failures = 0 if part.size - before >= GAIN and not refused.anew else failures + 1
        _give_up(address, refused, failures, settings)
        if refused.anew:
            part.begin(None)
        pause(_wait(failures, refused.wait, settings), stop)


def download_ranges(
    address: str, ranges: Ranges, part: PartialFile, settings: Download, stop: Event, make_package: Callable[[], None]
) -> tuple[int, str]:
    """Fill ``part`` with byte ranges (offset, length) of the file at ``address``, one after the other.

    Each gzip member of a WARC file is a record, so that whole members make a WARC file again.
    Errors: GoneError; XlmrError; StoppedError.
    """
    part.begin(None, sum(length for _, length in ranges))
    make_package()
    place = 0
    for offset, length in ranges:
        failures = 0
        while True:
            try:
                with slot(settings.folder / "slots", settings.connections, stop):
                    _receive_range(address, offset, length, part, place, settings, stop)
                break
            except RefusedError as refused:
                failures += 1
                _give_up(address, refused, failures, settings)
                pause(_wait(failures, refused.wait, settings), stop)
        place += length
    return part.size, part.sha256()


def _receive_range(
    address: str, offset: int, length: int, part: PartialFile, place: int, settings: Download, stop: Event
) -> None:
    """One range into its place. Errors: RefusedError if it is incomplete."""
    with open_range(address, offset, length, settings.timeout) as blocks:
        _write(Opened(place, None, None, blocks), part, stop)
        came = part.stream.tell() - place
    if came != length:
        part.stream.truncate(place)
        raise RefusedError(f"received {came:,} of {length:,} bytes from byte {offset:,} on")


def _give_up(address: str, refused: RefusedError, failures: int, settings: Download) -> None:
    """Raise GoneError or XlmrError where another attempt makes no sense, UnreachableError after too many."""
    if refused.gone:
        raise GoneError(f"{address}: {refused.problem}", "check the address")
    if not refused.passing:
        raise XlmrError(f"{address}: {refused.problem}", "check the address and your permissions")
    if failures >= settings.attempts:
        raise UnreachableError(
            f"{address}: {refused.problem} ({failures} attempts)",
            "run the same command later: it resumes from here",
        )


def _receive(
    address: str, part: PartialFile, settings: Download, stop: Event, make_package: Callable[[], None]
) -> None:
    """One connection. Errors: RefusedError if the rest of the file is incomplete."""
    version = part.version()
    start = part.size if version else 0
    with open_source(address, start, version, settings.timeout) as opened:
        if opened.start == 0:
            part.begin(opened.version, opened.size)
        make_package()
        _write(opened, part, stop)
    if opened.size is not None and part.size != opened.size:
        problem = f"received {part.size:,} bytes of {opened.size:,}"
        raise RefusedError(problem, anew=part.size > opened.size)


def _write(opened: Opened, part: PartialFile, stop: Event) -> None:
    part.stream.seek(opened.start)
    try:
        for block in opened.blocks:
            if stop.is_set():
                raise StoppedError
            part.stream.write(block)
    finally:
        part.stream.flush()


def _wait(failures: int, asked: float | None, settings: Download) -> float:
    """Seconds to the next attempt: twice as long each time, with jitter, and not less than the server asks for."""
    wait = settings.first_wait * 2 ** max(failures - 1, 0) * random.uniform(0.5, 1.5)
    return min(max(wait if asked is None else asked * random.uniform(1.0, 1.1), asked or 0.0), settings.longest_wait)


def _ends_whole(stream: IO[bytes]) -> bool:
    """Whether a compressed file ends where a member ends, as far as its last bytes tell."""
    stream.seek(0)
    if format_of(stream.read(_MAGIC)) is None:
        return True
    text = InflatedText(stream, Limits(2**62, 2**62), RECORD_START)
    start = text.next_start(text.size - _TAIL, RECORD_START) if text.size > _TAIL else 0
    return start is None or not any(isinstance(part, Gap) for part in text.parts(start))
