"""A task that any model can learn: what a text is about stands in every word of it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

WORDS = {"table": "cell row column", "drawing": "line circle colour", "letter": "page word paragraph"}


def example_rows(count: int, start: int = 0) -> list[dict[str, object]]:
    """Labels in turn, texts of 3 to 12 words."""
    labels = list(WORDS)
    return [
        {"id": f"t{n}", "text": f"{WORDS[labels[n % 3]]} " * (1 + n % 4), "label": labels[n % 3]}
        for n in range(start, start + count)
    ]


def write_jsonl(path: Path, rows: list[dict[str, object]]) -> Path:
    """A file of JSON lines, compressed; the same bytes whatever the time."""
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_bytes(gzip.compress(lines.encode(), mtime=0))
    return path
