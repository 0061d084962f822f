"""How far a shard is that takes minutes: a note from inside its function, shown beside the bar of all shards.

The function says ``note("epoch 2 of 8")`` wherever it runs; a worker's notes go through its pipe to the run. Where
nobody listens (Beam's workers, a function called by itself) they are dropped: a note is never part of a result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SECONDS = 1.0
"""Between two notes; what comes faster is dropped, so that it may be said of every update."""

Listener = Callable[[str], None]


class _Listening:
    to: Listener | None = None
    last = float("-inf")


def note(line: str) -> None:
    """Say how far the shard under way is."""
    if _Listening.to is not None and (now := time.monotonic()) - _Listening.last >= SECONDS:
        _Listening.last = now
        _Listening.to(line)


@contextmanager
def notes_to(listener: Listener) -> Iterator[None]:
    """Whoever says something in this process while the block runs says it to ``listener``."""
    before, _Listening.to, _Listening.last = _Listening.to, listener, float("-inf")
    try:
        yield
    finally:
        _Listening.to = before
