"""Locks between processes: a few slots for connections, and the wait for a lock, which another thread can end."""

from __future__ import annotations

import fcntl
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import IO

_LOOK_AGAIN = 0.05
"""Seconds between two looks at a lock that another holds."""


class StoppedError(Exception):
    """Whoever wanted the file has gone."""


@contextmanager
def slot(folder: Path, slots: int, stop: Event) -> Iterator[None]:
    """Hold one of so many slots, which all processes share that use ``folder``. A dead process gives its slot back."""
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        for number in random.sample(range(slots), slots):
            with (folder / f"{number}.slot").open("ab") as handle:
                if try_lock(handle):
                    yield
                    return
        pause(_LOOK_AGAIN * random.uniform(0.5, 1.5), stop)


def try_lock(handle: IO[bytes], kind: int = fcntl.LOCK_EX) -> bool:
    """Take the lock of an open file, which ends when it is closed; False if another holds it."""
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_for_lock(handle: IO[bytes], stop: Event, kind: int = fcntl.LOCK_EX) -> None:
    """Take the lock of an open file. Errors: StoppedError."""
    while not try_lock(handle, kind):
        pause(_LOOK_AGAIN, stop)


def pause(seconds: float, stop: Event) -> None:
    """Wait. Errors: StoppedError at once when there is no use in waiting."""
    if stop.wait(seconds):
        raise StoppedError
