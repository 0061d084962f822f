"""The run's log: one JSON object a line, always, whatever the terminal shows."""

from __future__ import annotations

import datetime
import json
import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.secrets import redact


def now() -> str:
    """The time as ISO 8601 in UTC, to the millisecond."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


class EventLog:
    """Appends events to ``path``. Safe between threads; each event is one write.

    A full disk does not stop a run here: it will where it matters. What could not be written is counted in the next
    event that can.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._lock = threading.Lock()
        self._lost = 0

    def event(self, name: str, **fields: Any) -> None:
        """Write one event with its time."""
        with self._lock:
            lost = {"events_lost_before": self._lost} if self._lost else {}
            event = {"time": now(), "event": name, **fields, **lost}
            line = (redact(json.dumps(event, ensure_ascii=False, default=str)) + "\n").encode()
            try:
                written = os.write(self._descriptor, line)
            except OSError:
                written = 0
            self._lost = 0 if written == len(line) else self._lost + 1
            if 0 < written < len(line):
                with suppress(OSError):  # half a line is worse than none
                    os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size - written)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
