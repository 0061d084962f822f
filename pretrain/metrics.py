"""metrics.jsonl: a line of numbers every few updates; cut back to the checkpoint when a run goes on from one."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from pipeline.storage import atomic_write


class Metrics:
    """Appends records to ``path``; records after ``update`` are of work that has been lost, and are dropped first."""

    def __init__(self, path: Path, update: int) -> None:
        kept = [record for record in read_metrics(path) if record["update"] <= update]
        with atomic_write(path, "w") as handle:
            handle.writelines(_line(record) for record in kept)
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


def _line(record: dict[str, Any]) -> str:
    plain = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
    return json.dumps(plain, allow_nan=False) + "\n"
