"""One writer at a time: a lease file beside each output, that its owner keeps fresh and that expires with its owner."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.errors import XlmrError
from pipeline.store.path import StoredPath, is_stored

BEAT_SECONDS, STORED_BEAT_SECONDS = 10.0, 30.0
"""Between two heartbeats; at object storage each is a request."""
EXPIRY_SECONDS = 120.0
"""An owner on another machine that has not beaten for so long is taken for dead."""
TAKEOVER_SECONDS = 0.5
"""Between two looks at a stored lease that another takes over."""


class Lease:
    """Hold ``path`` while the block runs. Errors: XlmrError when a live owner holds it.

    ``tells`` stands in the file for others to read, beside who the owner is.
    """

    def __init__(self, path: Path, tells: Mapping[str, Any] | None = None) -> None:
        self._path = path
        self._tells = dict(tells or {})
        self._token = uuid.uuid4().hex
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name=f"lease {path.name}")

    def __enter__(self) -> Lease:
        owner = self.take()
        if owner is not None:
            raise XlmrError(
                f"{self._path.with_suffix('')} is being written by {describe_owner(owner)}",
                "wait for it to end, or stop it and run the same command again",
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def take(self) -> dict[str, Any] | None:
        """Take the lease, from a dead owner if need be; give the owner if it is alive."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        while not self._create():
            owner = _read_owner(self._path)
            if owner is not None and _is_alive(self._path, owner):
                return owner
            if self._path.exists():  # not given back in the meantime
                _bury(self._path, self._token)
        self._thread.start()
        _held.add(self)
        return None

    def release(self) -> None:
        """Let others have it."""
        _held.discard(self)
        self._stop.set()
        self._thread.join()
        if self.is_held():
            self._path.unlink(missing_ok=True)
        if is_stored(self._path):
            beat_path(self._path, self._token).unlink(missing_ok=True)

    def is_held(self) -> bool:
        """Whether it is still ours: a process that slept too long may have been taken for dead."""
        owner = _read_owner(self._path)
        return owner is not None and owner["token"] == self._token

    def _create(self) -> bool:
        # Written aside and linked into place, so that nobody ever reads a lease without its owner.
        owner = {
            **self._tells,
            "host": socket.gethostname(),
            "space": process_space(),
            "pid": os.getpid(),
            "born": birth_of_process(os.getpid()),
            "token": self._token,
        }
        if is_stored(self._path):
            return self._path.create(json.dumps(owner).encode())
        draft = self._path.with_name(f".{self._path.name}.{self._token}")
        draft.write_text(json.dumps(owner), encoding="utf-8")
        try:
            os.link(draft, self._path)
        except FileExistsError:
            return False
        finally:
            draft.unlink()
        return True

    def _beat(self) -> None:
        if is_stored(self._path):
            own = beat_path(self._path, self._token)
            while not self._stop.wait(STORED_BEAT_SECONDS):
                with contextlib.suppress(XlmrError):  # the next may come through
                    own.touch()
            return
        while not self._stop.wait(BEAT_SECONDS):
            with contextlib.suppress(FileNotFoundError):
                os.utime(self._path)


_held: set[Lease] = set()


def release_held() -> None:
    """Release whatever this process holds, because it ends at once: others need not wait until it expires."""
    for lease in list(_held):
        lease.release()


def beat_path(path: Path, token: str) -> Path:
    """The object that the owner of a stored lease writes again and again: the lease itself is written once, so that
    an owner who was taken for dead cannot write over the next one's.
    """
    return path.with_name(f"{path.name}.beat-{token}")


def _bury(path: Path, token: str) -> None:
    """Remove a lease whose owner is dead. One at a time: none may remove what another has just created instead."""
    if is_stored(path):
        _bury_stored(path, token)
        return
    lock = path.with_name(f".{path.name}.takeover")
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not _is_same_file(handle.fileno(), lock):
            return  # the one who had it before us has removed it: look again
        owner = _read_owner(path)
        if owner is None or not _is_alive(path, owner):
            path.unlink(missing_ok=True)
        lock.unlink()


def _bury_stored(path: StoredPath, token: str) -> None:
    lock = path.with_name(f"{path.name}.takeover")
    assert is_stored(lock)
    if not lock.create(f"{token} {uuid.uuid4().hex}".encode()):
        with contextlib.suppress(FileNotFoundError):
            if time_of_folder(path.parent) - lock.stat().st_mtime > EXPIRY_SECONDS:
                lock.unlink()  # of one that died over it
        time.sleep(TAKEOVER_SECONDS)
        return
    owner = _read_owner(path)
    if owner is None or not _is_alive(path, owner):
        path.unlink()
        if owner is not None:
            beat_path(path, owner["token"]).unlink()
    lock.unlink()


def remove_dead(folder: Path) -> None:
    """Remove the leases in ``folder`` whose owners have died; those of the living stay."""
    for path in folder.glob("*.lease"):
        if live_owner(path) is None:
            _bury(path, uuid.uuid4().hex)


class FolderClock:
    """What time it is where ``folder`` is stored, asked once: for a look at many leases there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._now: float | None = None

    def __call__(self) -> float:
        """The time of the first call."""
        if self._now is None:
            self._now = time_of_folder(self._folder)
        return self._now


def live_owner(path: Path, clock: Callable[[], float] | None = None) -> dict[str, Any] | None:
    """Who holds the lease at ``path``, if its owner is alive. ``clock``: one for many leases of a folder."""
    owner = _read_owner(path)
    return owner if owner is not None and _is_alive(path, owner, clock or FolderClock(path.parent)) else None


def describe_owner(owner: Mapping[str, Any]) -> str:
    """``process 4711 on node7``."""
    return f"process {owner['pid']} on {owner['host']}"


def time_of_folder(folder: Path) -> float:
    """What time it is where ``folder`` is stored: times of files there are compared with this, not with our clock."""
    probe = folder / f".{uuid.uuid4().hex}.time"
    probe.touch()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink()


def _read_owner(path: Path) -> dict[str, Any] | None:
    try:
        owner: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return owner if {"host", "pid", "born", "token"} <= owner.keys() else None
    except (FileNotFoundError, ValueError, AttributeError):
        return None


def _is_alive(path: Path, owner: dict[str, Any], clock: Callable[[], float] | None = None) -> bool:
    if owner["host"] == socket.gethostname() and owner.get("space", process_space()) == process_space():
        # The birth time tells the owner from a later process that was given its number.
        return birth_of_process(owner["pid"]) == owner["born"]
    try:
        return (clock or FolderClock(path.parent))() - _last_beat(path, owner) < EXPIRY_SECONDS
    except FileNotFoundError:
        return False


def _last_beat(path: Path, owner: Mapping[str, Any]) -> float:
    if is_stored(path):
        with contextlib.suppress(FileNotFoundError):
            return beat_path(path, owner["token"]).stat().st_mtime
    return path.stat().st_mtime


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def process_space() -> str:
    """What tells containers on one machine apart, where process numbers mean different processes (Linux)."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def birth_of_process(pid: int) -> float | None:
    """When it began: tells it from a later one of its number. None if it has ended, though nobody noted that yet."""
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None
