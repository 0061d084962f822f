"""One writer at a time: a lease file beside each output, that its owner keeps fresh and that expires with its owner."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.errors import XlmrError

BEAT_SECONDS = 10.0
EXPIRY_SECONDS = 120.0
"""An owner on another machine that has not beaten for so long is taken for dead."""


class Lease:
    """Hold ``path`` while the block runs. Errors: XlmrError when a live owner holds it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._token = uuid.uuid4().hex
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name=f"lease {path.name}")

    def __enter__(self) -> Lease:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        while not self._create():
            owner = _read_owner(self._path)
            if owner is not None and _is_alive(self._path, owner):
                raise XlmrError(
                    f"{self._path.with_suffix('')} is being written by process {owner['pid']} on {owner['host']}",
                    "wait for it to end, or stop it and run the same command again",
                )
            self._take_from_the_dead()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        owner = _read_owner(self._path)
        if owner is not None and owner["token"] == self._token:
            self._path.unlink(missing_ok=True)

    def _create(self) -> bool:
        # Written aside and linked into place, so that nobody ever reads a lease without its owner.
        owner = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "born": _birth(os.getpid()),
            "token": self._token,
        }
        draft = self._path.with_name(f".{self._path.name}.{self._token}")
        draft.write_text(json.dumps(owner), encoding="utf-8")
        try:
            os.link(draft, self._path)
        except FileExistsError:
            return False
        finally:
            draft.unlink()
        return True

    def _take_from_the_dead(self) -> None:
        # A rename succeeds for one of several takers only; the others find nothing and try to create again.
        grave = self._path.with_name(f".{self._path.name}.{self._token}.dead")
        with contextlib.suppress(FileNotFoundError):
            self._path.rename(grave)
            grave.unlink()

    def _beat(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            with contextlib.suppress(FileNotFoundError):
                os.utime(self._path)


def _read_owner(path: Path) -> dict[str, Any] | None:
    try:
        owner: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return owner


def _is_alive(path: Path, owner: dict[str, Any]) -> bool:
    if owner["host"] == socket.gethostname():
        # The birth time tells the owner from a later process that was given its number.
        return _birth(owner["pid"]) == owner["born"]
    try:
        return time.time() - path.stat().st_mtime < EXPIRY_SECONDS
    except FileNotFoundError:
        return False


def _birth(pid: int) -> float | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None
