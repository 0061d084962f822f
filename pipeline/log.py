"""The run's log: one JSON object a line, always, whatever the terminal shows."""

from __future__ import annotations

import datetime
import json
import os
import threading
from pathlib import Path
from typing import Any


def now() -> str:
    """The time as ISO 8601 in UTC, to the millisecond."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


class EventLog:
    """Appends events to ``path``. Safe between threads; each event is one write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._lock = threading.Lock()

    def event(self, name: str, **fields: Any) -> None:
        """Write one event with its time."""
        line = json.dumps({"time": now(), "event": name, **fields}, ensure_ascii=False, default=str) + "\n"
        with self._lock:
            os.write(self._descriptor, line.encode())

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)
