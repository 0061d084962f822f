"""What is said when nothing has happened for a while, as that a worker is gone which the run waits for."""

from __future__ import annotations

import time
from collections.abc import Callable

from pipeline.formatting import duration
from pipeline.shards.notes import say


class Silence:
    """Says every ``minutes`` without a complete shard what the workers do. ``describe`` is asked for it then."""

    def __init__(self, minutes: float, describe: Callable[[], str]) -> None:
        self._seconds, self._describe = 60 * minutes, describe
        self._since = self._said = time.monotonic()

    def broken(self) -> None:
        """A shard is complete."""
        self._since = self._said = time.monotonic()

    def look(self) -> None:
        """Say something if it is time."""
        now = time.monotonic()
        if now - self._said >= self._seconds:
            self._said = now
            say(f"no shard has been completed for {duration(now - self._since)}; {self._describe()}")
