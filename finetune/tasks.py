"""Labelled files: <split>.<language>.jsonl or .tsv, plain or compressed, become checked examples with one label set.

A fault in a file is one line that names the file and the row.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from finetune.data.files import json_rows
from finetune.stages import LabelledFiles
from pipeline.errors import XlmrError
from pipeline.storage import expand

FORMATS = (".jsonl", ".tsv")


@dataclass(frozen=True)
class Example:
    """One labelled text."""

    id: str
    text: str
    label: str


Split = dict[str, list[Example]]
"""Language -> examples."""


@dataclass(frozen=True)
class Task:
    """All splits of a task. ``labels`` are those of the training files, sorted; a class is a place in it."""

    labels: list[str]
    train: Split
    dev: Split
    test: Split

    def splits(self) -> Iterator[tuple[str, list[Example]]]:
        """("train.en", examples) and so on, in a fixed order."""
        for name, split in (("train", self.train), ("dev", self.dev), ("test", self.test)):
            for language, examples in split.items():
                yield f"{name}.{language}", examples


def read_task(files: LabelledFiles) -> Task:
    """Read every file. Errors: XlmrError naming the file and the row, also for a label no training file has."""
    train = _read_split(files.train, files, None)
    labels = sorted({example.label for examples in train.values() for example in examples})
    if len(labels) < 2:
        raise XlmrError(f"{files.train}: all texts have one label, {labels[0]!r}", "give at least two")
    return Task(labels, train, _read_split(files.dev, files, labels), _read_split(files.test, files, labels))


def _read_split(pattern: str, files: LabelledFiles, labels: list[str] | None) -> Split:
    split: Split = {}
    for address in expand(pattern):
        language = language_of(address)
        if language in split:
            raise XlmrError(f"{address}: a second file for language {language}", "keep one file a language and split")
        split[language] = read_examples(address, files, labels)
    return split


def language_of(address: str) -> str:
    """``en`` of ``…/train.en.jsonl.gz``. Errors: XlmrError for names of another form."""
    parts = PurePosixPath(address).name.split(".")
    if len(parts) < 3 or f".{parts[2]}" not in FORMATS:
        raise XlmrError(f"{address}: its name is not <split>.<language>.jsonl or .tsv", "rename it")
    return parts[1]


def read_examples(address: str, files: LabelledFiles, labels: Iterable[str] | None = None) -> list[Example]:
    """The examples of one file; with ``labels``, none may have another. Errors: XlmrError with file and row."""
    known = set(labels) if labels is not None else None
    examples = []
    for row, values in _rows(address):
        example = Example(*(_value(values, column, address, row) for column in _columns(files)))
        if known is not None and example.label not in known:
            raise XlmrError(
                f"{address}, row {row}: label {example.label!r} is in no training file",
                f"labels are {', '.join(sorted(known))}",
            )
        examples.append(example)
    if not examples:
        raise XlmrError(f"{address}: holds no example", "check the file")
    return examples


def _columns(files: LabelledFiles) -> tuple[str, str, str]:
    return files.id_column, files.text_column, files.label_column


def _value(values: Mapping[str, Any], column: str, address: str, row: int) -> str:
    if not column:
        return str(row)
    value = values.get(column)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        found = ", ".join(str(name) for name in values if name) or "nothing"
        raise XlmrError(f"{address}, row {row}: column {column!r} has no text", f"the row has {found}")
    return value


def _rows(address: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(row counted from 1, its columns)."""
    import fsspec

    try:
        with fsspec.open(address, "rt", encoding="utf-8", newline="", compression="infer") as handle:
            if ".jsonl" in PurePosixPath(address).name:
                yield from json_rows(address, handle.read())
            else:
                yield from _tsv_rows(address, handle)
    except FileNotFoundError:
        raise XlmrError(f"{address}: no such file", "check the path in the configuration") from None
    except (UnicodeDecodeError, EOFError) as error:
        raise XlmrError(f"{address}: not readable ({error})", "it must be whole, and UTF-8") from None
    except OSError as error:  # a .gz that is not gzip
        if error.errno is not None:
            raise
        raise XlmrError(f"{address}: not readable ({error})", "check how it was compressed") from None


def _tsv_rows(address: str, lines: Iterable[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    header = next(reader, [])
    for row, cells in enumerate(reader, 2):
        if len(cells) != len(header):
            raise XlmrError(f"{address}, row {row}: {len(cells)} cells under {len(header)} columns", "mend the row")
        yield row, dict(zip(header, cells, strict=True))
