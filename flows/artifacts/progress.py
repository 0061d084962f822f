"""Progress of a running stage as an artifact with a bar, read from the run's log.

The log has the progress of all processes of a stage, in JSON lines (pipeline/log.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from flows.artifacts.repeater import Repeater
from pipeline.formatting import duration

LOOK_SECONDS = 2.0


class ShownProgress(Repeater):
    """Keep a progress artifact of the current task up to date while the block runs. ``log`` is the log's folder."""

    def __init__(self, log: Path, key: str) -> None:
        super().__init__(LOOK_SECONDS, "progress")
        self._log, self._key = log, key
        self._read = {path: path.stat().st_size for path in log.glob("*.jsonl")}
        self._artifact: UUID | None = None

    def look(self) -> None:
        """Show the last of what the log says since the last time."""
        events = [event for event in self._events() if event.get("event") == "progress" and event.get("total")]
        if not events:
            return
        percent = percent_of(events[-1])
        if self._artifact is None:
            self._artifact = cast(UUID, create_progress_artifact(percent, self._key, describe(events[-1])))
        else:
            update_progress_artifact(self._artifact, percent, describe(events[-1]))

    def finish(self) -> None:
        """All of it is done."""
        self.look()
        if self._artifact is not None:
            update_progress_artifact(self._artifact, 100.0, "done")

    def _events(self) -> Iterator[dict[str, Any]]:
        """The events that were written since the last call; a line without its end is left for the next."""
        for path in sorted(self._log.glob("*.jsonl")):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                whole, end, _ = file.read().rpartition(b"\n")
            self._read[path] = self._read.get(path, 0) + len(whole) + len(end)
            yield from map(json.loads, whole.splitlines())


def percent_of(event: dict[str, Any]) -> float:
    """How far a task is, 0 to 100."""
    return min(100.0, max(0.0, 100.0 * event["done"] / event["total"]))


def describe(event: dict[str, Any]) -> str:
    """``corpus.mine: 120 of 400 · 2 min 10 s left · 31 documents/s``."""
    left = f" · {duration(event['seconds_left'])} left" if event.get("seconds_left") else ""
    note = f" · {event['note']}" if event.get("note") else ""
    return f"{event['task']}: {event['done']:,.0f} of {event['total']:,.0f}{left}{note}"
