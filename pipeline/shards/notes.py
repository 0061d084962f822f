"""How far a shard is that takes minutes: a note from inside its function, shown beside the bar of all shards.

The function says ``note("epoch 2 of 8")`` wherever it runs; a worker's notes go through its pipe to the run. Where
nobody listens (Beam's workers, a function called by itself) they are dropped: a note is never part of a result.

``say`` is for executors: a line that the person should read, as that a cluster has no worker.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipeline.terminal import say as terminal_say

SECONDS = 1.0
"""Between two notes; what comes faster is dropped, so that it may be said of every update."""

Listener = Callable[[str], None]


class _Listening:
    to: Listener | None = None
    lines: Listener | None = None
    last = float("-inf")


def note(line: str) -> None:
    """Say how far the shard under way is."""
    if _Listening.to is not None and (now := time.monotonic()) - _Listening.last >= SECONDS:
        _Listening.last = now
        _Listening.to(line)


def say(line: str) -> None:
    """Tell the person a line, which is kept in the log of the run too. None is dropped."""
    if _Listening.lines is not None:
        _Listening.lines(line)
    else:
        terminal_say(f"  {line}")


@contextmanager
def notes_to(listener: Listener, lines: Listener | None = None) -> Iterator[None]:
    """While the block runs, notes of this process go to ``listener``, and what an executor says to ``lines``."""
    before = _Listening.to, _Listening.lines
    _Listening.to, _Listening.lines, _Listening.last = listener, lines, float("-inf")
    try:
        yield
    finally:
        _Listening.to, _Listening.lines = before
