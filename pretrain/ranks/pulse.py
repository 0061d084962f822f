"""What this rank's training is at: the training reports each part of a step, a thread that watches reads it.

A rank may compute nothing more though its process lives: a GPU that hangs, a disk that does not answer. The others
then wait in a collective. The rank with the fewest reports is the one that they wait for.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

LONGEST_GAP = 2.0
"""Seconds between two looks that count. In a longer gap this process was stopped, which says nothing of the others."""


@dataclass
class Pulse:
    """The number of reports, the last of them, and the seconds that it may take (None: any)."""

    count: int = 0
    what: str = ""
    limit: float | None = None

    def at(self, what: str, limit: float | None) -> None:
        """Say what begins."""
        self.count, self.what, self.limit = self.count + 1, what, limit


PULSE = Pulse()
"""Of this process."""


class AwakeClock:
    """Seconds in which this process ran, as far as it was asked often."""

    def __init__(self) -> None:
        self._seconds, self._asked = 0.0, time.monotonic()

    def __call__(self) -> float:
        """The seconds so far."""
        now = time.monotonic()
        self._seconds += min(now - self._asked, LONGEST_GAP)
        self._asked = now
        return self._seconds


class PulseWatch:
    """Looks at a pulse again and again, and says since when it stands still."""

    def __init__(self, pulse: Pulse = PULSE) -> None:
        self._pulse, self._count, self._since = pulse, -1, 0.0

    def record(self, now: float) -> dict[str, Any]:
        """What the other ranks read; ``now`` is that of an AwakeClock."""
        pulse = self._pulse
        if pulse.count != self._count:
            self._count, self._since = pulse.count, now
        still = now - self._since
        stalled = pulse.limit is not None and still > pulse.limit
        return {"count": pulse.count, "what": pulse.what, "stalled": round(still) if stalled else 0}


def stalled_rank(records: dict[int, dict[str, Any]]) -> int | None:
    """The rank that all wait for, if it has stood still for longer than what it is at may take."""
    least = min((record["count"] for record in records.values()), default=0)
    waited_for = [rank for rank, record in sorted(records.items()) if record["count"] == least]
    return next((rank for rank in waited_for if records[rank]["stalled"]), None)
