"""The examples of dev and test in one file, for runs that work in other processes: JSON lines, one an example."""

from __future__ import annotations

import gzip
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from finetune.data.examples import Classification, Example, Question, Regression, Tagging, TaskData
from pipeline.storage import atomic_write

HELD_OUT = "held_out.jsonl.gz"

TYPES: dict[str, type[Example]] = {
    "classification": Classification,
    "regression": Regression,
    "tagging": Tagging,
    "span": Question,
}
"""Kind of task -> its examples."""

_TUPLES = {"words", "tags", "answers"}


def write_held_out(data: TaskData, path: Path) -> None:
    """A line for each example of dev and test: split, language, and its fields."""
    with atomic_write(path) as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as handle:
        for split, language, examples in data.splits():
            if split == "train":
                continue
            for example in examples:
                values = {name: getattr(example, name) for name in _names(type(example))}
                line = json.dumps([split, language, values], ensure_ascii=False)
                handle.write(f"{line}\n".encode())


def read_held_out(path: Path, kind: str) -> dict[str, dict[str, list[Any]]]:
    """Split -> language -> examples, as they were."""
    made = TYPES[kind]
    found: dict[str, dict[str, list[Any]]] = {"dev": {}, "test": {}}
    with gzip.open(path, "rb") as handle:
        for line in handle:
            split, language, values = json.loads(line)
            for name in _TUPLES & values.keys():
                values[name] = tuple(tuple(one) if isinstance(one, list) else one for one in values[name])
            found[split].setdefault(language, []).append(made(**values))
    return found


def _names(made: type[Example]) -> list[str]:
    return [field.name for field in fields(made) if field.name != "location"]
