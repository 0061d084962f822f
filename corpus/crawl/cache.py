"""A cache of remote files: a folder of limited size that processes and runs share.

    files/<name>    whole copies. Who reads one holds its lock, shared; who removes one must have it alone.
    parts/<name>    what is here of files that are being fetched, and of which version. Who fetches holds the lock.
    known/<name>    size, time and SHA-256 of all that ever came, so that a file that changed is noticed.

The name is a hash of the address: nothing that an address holds can lead out of the folder.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from corpus.crawl.download import (
    GoneError,
    LocalFile,
    PartialFile,
    Ranges,
    download,
    download_ranges,
    open_here,
    sha256_of,
)
from corpus.crawl.slots import try_lock, wait_for_lock
from pipeline.errors import XlmrError
from pipeline.storage import canonical_json, is_local, publish, read_json, write_json

if TYPE_CHECKING:
    from corpus.crawl.settings import Download


class Cache:
    """The cache as one reader sees it."""

    def __init__(self, settings: Download, ranges: Mapping[str, Ranges] | None = None) -> None:
        """``ranges``: of these files, by address, only so much is read, as if it were the whole file."""
        self._settings = settings
        self._ranges = ranges or {}
        self._stop = Event()
        for name in ("files", "parts", "known"):
            (settings.folder / name).mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End what is still being fetched. Files that are open stay so."""
        self._stop.set()

    def open_ahead(self, addresses: Sequence[str]) -> Iterator[IO[bytes] | GoneError]:
        """Each file, open until the next is asked for, or that it is gone; the next is fetched meanwhile."""
        with ThreadPoolExecutor(1, thread_name_prefix="fetch") as thread:
            try:
                coming = thread.submit(self.open, addresses[0])
                for following in [*addresses[1:], None]:
                    with ExitStack() as stack:
                        found: IO[bytes] | GoneError
                        try:
                            found = stack.enter_context(coming.result())
                        except GoneError as error:
                            found = error
                        if following is not None:
                            coming = thread.submit(self.open, following)
                        yield found
            finally:
                self._stop.set()
                with suppress(Exception):
                    coming.result().close()

    def open(self, address: str) -> IO[bytes]:
        """The file, fetched if it is not here; it stays here as long as it is open. Errors: GoneError; XlmrError."""
        ranges = self._ranges.get(address)
        if is_local(address) and ranges is None:
            return open_here(address)
        named = address if ranges is None else canonical_json([address, ranges])
        name = hashlib.sha256(named.encode("utf-8", "surrogatepass")).hexdigest()
        while True:
            stream = self._open_copy(name) or self._fetch(address, name)
            if stream is not None:
                return stream

    def _open_copy(self, name: str) -> IO[bytes] | None:
        path = self._settings.folder / "files" / name
        try:
            stream = LocalFile(path)
        except FileNotFoundError:
            return None
        wait_for_lock(stream, self._stop, fcntl.LOCK_SH)
        if _is_at(path, stream):
            if self._is_whole(name, stream):
                # The time of the last use; that of the last change stays, for it tells a copy that was touched.
                os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
                return stream
            path.unlink(missing_ok=True)
        stream.close()
        return None

    def _is_whole(self, name: str, stream: IO[bytes]) -> bool:
        known, status = self._known(name), os.fstat(stream.fileno())
        if known is None or known["size"] != status.st_size:
            return False
        if known["time"] == status.st_mtime_ns and not self._settings.verify:
            return True
        digest = sha256_of(stream)
        if digest == known["sha256"]:
            self._remember(name, known["address"], status, digest)
        return bool(digest == known["sha256"])

    def _fetch(self, address: str, name: str) -> IO[bytes] | None:
        """Fetch what is missing of the file. None if another process has fetched it or removed the part meanwhile."""
        path, final = (self._settings.folder / kind / name for kind in ("parts", "files"))
        path.touch()
        try:
            stream = path.open("r+b")
        except FileNotFoundError:
            return None
        try:
            wait_for_lock(stream, self._stop)
            if not _is_at(path, stream) or final.exists():
                stream.close()
                return None
            part = PartialFile(stream, path.with_suffix(".json"))
            if ranges := self._ranges.get(address):
                _, digest = download_ranges(address, ranges, part, self._settings, self._stop, self._free_space)
            else:
                _, digest = download(address, part, self._settings, self._stop, self._free_space)
            known = self._known(name)
            if known is not None and known["sha256"] != digest:
                part.begin(None)
                raise XlmrError(
                    f"{address}: its checksum is not that of the first fetch",
                    f"to accept the present content, remove {self._known_path(name)} and force corpus.fetch",
                )
            self._remember(name, address, os.fstat(stream.fileno()), digest)
            publish(path, final)
            part.about.unlink(missing_ok=True)
            fcntl.flock(stream, fcntl.LOCK_SH)
            stream.seek(0)
        except OSError as error:
            stream.close()
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            fix = "free some space, or lower corpus.read.download.limit_bytes; what has come is kept"
            raise XlmrError(f"{self._settings.folder}: the disk is full", fix) from None
        except BaseException:
            stream.close()
            raise
        return stream

    def _known_path(self, name: str) -> Path:
        return self._settings.folder / "known" / f"{name}.json"

    def _known(self, name: str) -> dict[str, Any] | None:
        try:
            known = read_json(self._known_path(name))
        except (FileNotFoundError, XlmrError):
            return None
        return known if isinstance(known, dict) and {"address", "size", "time", "sha256"} <= known.keys() else None

    def _remember(self, name: str, address: str, status: os.stat_result, digest: str) -> None:
        known = {"address": address, "size": status.st_size, "time": status.st_mtime_ns, "sha256": digest}
        write_json(self._known_path(name), known)

    def _free_space(self) -> None:
        """Remove what was not used for longest until the rest fits, except files that a process reads or fetches."""
        with (self._settings.folder / "evict.lock").open("ab") as lock:
            wait_for_lock(lock, self._stop)
            held = sorted(_held(self._settings.folder), key=lambda one: one[0])
            total = sum(size for _, size, _ in held)
            for _, size, path in held:
                if total <= self._settings.limit_bytes:
                    return
                with suppress(FileNotFoundError), path.open("r+b") as stream:
                    if try_lock(stream):
                        path.unlink()
                        path.with_suffix(".json").unlink(missing_ok=True)
                        total -= size


def _held(folder: Path) -> Iterator[tuple[int, int, Path]]:
    """Time of the last use, final size and path of each file in the cache."""
    for path in [*(folder / "files").iterdir(), *(folder / "parts").iterdir()]:
        with suppress(FileNotFoundError):
            if not path.name.startswith(".") and path.suffix != ".json":
                status = path.stat()
                yield status.st_atime_ns, max(status.st_size, _size_to_come(path)), path


def _size_to_come(path: Path) -> int:
    """The size of the whole file of a part; 0 where it is not known."""
    try:
        return int(read_json(path.with_suffix(".json"))["size"] or 0) if path.parent.name == "parts" else 0
    except (FileNotFoundError, XlmrError, KeyError, TypeError, ValueError):
        return 0


def _is_at(path: Path, stream: IO[bytes]) -> bool:
    """Whether an open file is still the file at its path."""
    with suppress(FileNotFoundError):
        return path.stat().st_ino == os.fstat(stream.fileno()).st_ino
    return False
