"""Numbers every few steps: metrics.jsonl and TensorBoard's files always, MLflow and Weights & Biases when asked for.

metrics.jsonl is the record; when a run resumes from a checkpoint it is cut back to that, and TensorBoard's file is made
from it again.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.storage import atomic_write
from pretrain.tracking.event_files import EventFile
from pretrain.tracking.trackers import Tracker, open_trackers

METRICS, TENSORBOARD = "metrics.jsonl", "tensorboard"


class Journal:
    """Where a training writes its numbers. Records after ``step`` are of work that has been lost, and are dropped."""

    def __init__(self, output: Path, step: int, trackers: Sequence[str] = ()) -> None:
        self._metrics = Metrics(output / METRICS, step)
        self._trackers: list[Tracker] = open_trackers(trackers, output)
        self._events = EventFile(output / TENSORBOARD)
        for record in self._metrics.kept:
            self._events.add(record["step"], scalars_of(record), record.get("time", 0.0))

    def write(self, **record: Any) -> None:
        """One record; ``step`` says when."""
        record["time"] = round(time.time(), 3)
        self._metrics.write(**record)
        scalars = scalars_of(record)
        self._events.add(record["step"], scalars, record["time"])
        for tracker in self._trackers:
            tracker.log(record["step"], scalars)

    def close(self) -> None:
        """Let the trackers finish."""
        self._events.close()
        for tracker in self._trackers:
            tracker.close()


class NoJournal:
    """Of the ranks that write nothing."""

    def write(self, **record: Any) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Metrics:
    """Appends records to ``path``; ``kept`` are those up to ``step`` that were there before."""

    def __init__(self, path: Path, step: int) -> None:
        self.kept = [record for record in read_metrics(path) if record["step"] <= step]
        with atomic_write(path, "w") as handle:
            handle.writelines(_line(record) for record in self.kept)
        self._path = path

    def write(self, **record: Any) -> None:
        """Append one record; numbers that are not finite become null."""
        with self._path.open("a", encoding="utf-8") as handle:
            handle.write(_line(record))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The records of a metrics.jsonl; a last line that was cut off by a kill is left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]


def scalars_of(record: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a record by tag, ``by_language/sw`` where they are nested; without step and time."""
    scalars: dict[str, float] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            scalars |= {f"{name}/{inner}": number for inner, number in scalars_of(value).items()}
        elif name not in {"step", "time"} and value is not None and math.isfinite(value):
            scalars[name] = float(value)
    return scalars


def _line(record: dict[str, Any]) -> str:
    plain = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
    return json.dumps(plain, allow_nan=False) + "\n"
