"""Files: atomic writes, checksums, and reading from any fsspec address.

Outside files (crawl shards, models, labelled data) may live at any address fsspec knows, and so may a run
(``pipeline/store/``). What a stage reads of a run and writes lies in a folder of this machine, because Arrow, KenLM and
SentencePiece map files into memory.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import stat
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, TypeVar

from pipeline.errors import UnreachableError, UsageError, XlmrError
from pipeline.lease import Lease, describe_owner
from pipeline.store.path import is_stored
from pipeline.store.protocols import missing_package
from pipeline.store.unreachable import may_pass
from pipeline.unicode import is_unicode
from pipeline.waiting import ask

Answer = TypeVar("Answer")

SAVE_SECONDS = 10.0
"""Checksums are written down so often while files are read: an interrupt costs no more."""
LOOK_SECONDS = 0.2


def fsync_folder(folder: Path) -> None:
    """Make the renames inside ``folder`` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def publish(temporary: Path, final: Path) -> None:
    """Put a finished temporary file in its place: fsync, rename, fsync of the folder."""
    with temporary.open("rb") as handle:
        os.fsync(handle.fileno())
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary.replace(final)
    fsync_folder(final.parent)


DRAFTS = ".*.tmp"
"""Files of ``atomic_write`` that are being written, or were when their writer was killed."""


@contextmanager
def atomic_write(path: Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a file that appears at ``path`` only when the block ends without an error."""
    if is_stored(path):
        with io.BytesIO() if "b" in mode else io.StringIO() as buffer:
            yield buffer
            content = buffer.getvalue()
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")  # process numbers meet on other machines
    encoding = None if "b" in mode else "utf-8"
    try:
        with temporary.open(mode, encoding=encoding) as handle:
            yield handle
        publish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` atomically, readable by people and the same bytes for the same value."""
    with atomic_write(path, "w") as handle:
        json.dump(value, handle, indent=1, sort_keys=True, ensure_ascii=False)
        handle.write("\n")


def remove_tree(folder: Path) -> None:
    """Remove a folder with all that it holds, here or at object storage."""
    if is_stored(folder):
        folder.remove_tree()
    else:
        shutil.rmtree(folder, ignore_errors=True)


def read_json(path: Path) -> Any:
    """Read a JSON file; a file that is not JSON gets one line that names it."""
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise XlmrError(f"{path}: not readable as JSON ({error})", "delete it and run the stage again") from None
    except RecursionError:
        raise XlmrError(f"{path}: not readable as JSON (nested too deeply)", "give another file") from None


def canonical_json(value: Any) -> str:
    """One text for one value: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sha256_of_file(path: Path) -> str:
    """Hex SHA-256 of a local file, read in a stream."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def is_local(address: str) -> bool:
    """Whether an address is a plain path on this machine."""
    return "://" not in address and "::" not in address


def filesystem_of(address: str) -> tuple[Any, str]:
    """The file system of an address, by fsspec, and the path there. Errors: UsageError, with what to install."""
    import fsspec

    try:
        filesystem, path = fsspec.core.url_to_fs(address)
    except ImportError as error:
        raise missing_package(address, error) from None
    except ValueError as error:
        raise UsageError(f"{address}: {error}", "write a path, or an address that fsspec knows") from None
    return filesystem, path


WILDCARDS = "*?["
"""What makes a pattern of an address."""


def has_wildcards(address: str) -> bool:
    """Whether it is a pattern of addresses."""
    return any(sign in address for sign in WILDCARDS)


@contextmanager
def naming_address(address: str) -> Iterator[None]:
    """Whatever a remote file system raises in the block (each has errors of its own) is one line about ``address``."""
    try:
        yield
    except XlmrError:
        raise
    except Exception as error:
        if is_local(address):
            raise
        problem = f"{address}: {' '.join(f'{type(error).__name__}: {error}'.split())}"
        if may_pass(error):
            raise UnreachableError(problem, "check the address and the network, or try again later") from error
        raise XlmrError(problem, "check the address and your permissions") from error


def is_folder(address: str) -> bool:
    """Whether an address without wildcards names a folder. Errors: XlmrError when it cannot be asked."""
    filesystem, path = filesystem_of(address)
    if has_wildcards(path):
        return False
    with naming_address(address):
        return bool(_asked(address, lambda: filesystem.isdir(path)))


def _asked(address: str, function: Callable[[], Answer]) -> Answer:
    """What ``function`` returns; of a remote address, within the time that is waited for the network."""
    return function() if is_local(address) else ask(address, function)


def expand(address: str) -> list[str]:
    """The addresses of the files that a pattern names, sorted; a folder or file without wildcards names itself.

    Errors: XlmrError when nothing is there, when it cannot be asked, and for a name that is not UTF-8.
    """
    filesystem, path = filesystem_of(address)
    with naming_address(address):
        if has_wildcards(path):
            named: dict[str, Any] = _asked(address, lambda: filesystem.glob(path, detail=True))
            found = sorted(name for name, about in named.items() if not _is_folder(name, about))
        else:
            found = [path] if _asked(address, lambda: _is_there(filesystem, path, address)) else []
    if not found:
        raise XlmrError(f"{address}: no such file", "check the path or pattern in the configuration")
    if unwritable := next((name for name in found if not is_unicode(name)), None):
        shown = os.fsencode(unwritable).decode("utf-8", "backslashreplace")
        raise XlmrError(f"{shown}: the name of this file is not UTF-8", "rename it")
    if is_local(address):
        # fsspec makes local paths absolute; a key must not depend on where the checkout lies.
        here = Path.cwd()
        absolute = Path(address).is_absolute()
        return [p if absolute or not Path(p).is_relative_to(here) else str(Path(p).relative_to(here)) for p in found]
    return [filesystem.unstrip_protocol(name) for name in found]


def _is_there(filesystem: Any, path: str, address: str) -> bool:
    """Whether there is a file or folder. Errors: those of a server that does not answer, where fsspec sees no file."""
    if is_local(address):
        return bool(filesystem.exists(path))
    try:
        filesystem.info(path)
    except FileNotFoundError as error:
        if may_pass(error):
            raise (error.__cause__ or error) from None
        return False
    return True


def _is_folder(name: str, about: Mapping[str, Any]) -> bool:
    """Whether it is a folder, or on this machine a link to one."""
    return about["type"] == "directory" or (bool(about.get("islink")) and Path(name).is_dir())


def check_file(path: Path) -> os.stat_result:
    """The status of a file that can be read from its beginning to its end.

    Errors: XlmrError naming it: for a link to nothing, a folder, a pipe, a device; FileNotFoundError.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        if path.is_symlink():
            raise XlmrError(f"{path}: is a link to {path.readlink()}, which is not there", "fix or remove it") from None
        raise
    if stat.S_ISDIR(status.st_mode):
        raise XlmrError(f"{path}: is a folder, and a file is meant", "name the files in it, or rename it")
    if not stat.S_ISREG(status.st_mode):
        raise XlmrError(f"{path}: is a pipe or a device, no regular file", "copy what it gives into a file")
    return status


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """What the system says in the block about reading ``path`` is one line that names it; but for a missing file."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        fix = "check the disk and your rights, and run the same command again"
        raise XlmrError(f"{path}: {error.strerror or error}", fix) from error


class ChecksumCache:
    """SHA-256 of outside files, remembered by (size, modification time) so that a plan costs no reading.

    Remote files are known by what their file system calls a checksum (an ETag, usually). Of several processes one reads
    files that are not known yet, the others wait for what it learns. Where the folder of ``path`` does not exist,
    nothing is remembered.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = self._read()
        self._changed = False
        self._saved = time.monotonic()
        self._lease: Lease | None = None

    def __enter__(self) -> ChecksumCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._save()
        if self._lease is not None:
            self._lease.release()
            self._lease = None

    def checksum(self, address: str, *, verify: bool = False) -> str:
        """The checksum of the file at ``address``; reads it again when ``verify`` is set or it looks touched."""
        if not is_local(address):
            filesystem, path = filesystem_of(address)
            with naming_address(address):
                return str(ask(address, lambda: filesystem.checksum(path)))
        with naming(Path(address)):
            status = check_file(Path(address))
        stamp = [status.st_size, status.st_mtime_ns]
        if verify or not self._knows(address, stamp):
            self._be_the_one_who_reads()
        if verify or not self._knows(address, stamp):
            with naming(Path(address)):
                self._known[address] = [*stamp, sha256_of_file(Path(address))]
            self._changed = True
            if time.monotonic() - self._saved > SAVE_SECONDS:
                self._save()
        return str(self._known[address][2])

    def _knows(self, address: str, stamp: list[int]) -> bool:
        return address in self._known and self._known[address][:2] == stamp

    def _read(self) -> dict[str, list[Any]]:
        """What is remembered. A file that is damaged remembers nothing: what is needed is read again."""
        try:
            known: Any = read_json(self._path)
        except (FileNotFoundError, XlmrError):
            return {}
        if not isinstance(known, dict):
            return {}
        return {address: entry for address, entry in known.items() if isinstance(entry, list) and len(entry) == 3}

    def _be_the_one_who_reads(self) -> None:
        """Until this cache is left; by then others may have read what was asked for."""
        if self._lease is not None or not self._path.parent.exists():
            return
        lease = Lease(self._path.with_suffix(".lease"))
        said = False
        while (owner := lease.take()) is not None:
            if not said:
                print(f"waiting: {describe_owner(owner)} reads files from outside", file=sys.stderr, flush=True)
                said = True
            time.sleep(LOOK_SECONDS)
        self._lease = lease
        self._known |= self._read()

    def _save(self) -> None:
        if self._changed and self._path.parent.exists():
            write_json(self._path, self._known)
            self._changed = False
        self._saved = time.monotonic()
