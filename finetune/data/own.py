"""A task of one's own, described in the configuration: tables, JSON lines, CoNLL or SQuAD JSON, languages by file name.

The embedded help-pages task is one of these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from finetune.choices import READERS
from finetune.data.content import read_text
from finetune.data.examples import Classification, Example, Location, Regression, TaskData
from finetune.data.files import Files, ask_languages, exists, languages_asked, languages_of
from finetune.data.glue import number
from finetune.data.labels import classes_of, spaced_labels
from finetune.data.own_reader import location, own_rows
from finetune.data.rows import cell, json_rows, known_label, tab_rows
from finetune.data.settings import OwnTask, TaskSettings
from finetune.data.squad import questions_of, read_questions
from finetune.data.tagged import encoding_of, read_tagged
from pipeline.errors import UsageError, XlmrError

SPLITS = ("train", "dev", "test")


def files(settings: TaskSettings) -> Files:
    """Split -> language -> file, by the patterns. Errors: XlmrError for what is not there."""
    return {split: _split_files(settings, split) for split in SPLITS}


def read(settings: TaskSettings, files: Files) -> TaskData:
    """The task that ``own`` describes. Errors: XlmrError with file and row."""
    own = settings.own
    slices = {split: rows_slice(getattr(own, f"{split}_rows"), f"own.{split}_rows") for split in SPLITS}
    if own.kind == "tagging":
        return read_tagged(settings, files, slices)
    labels = own.labels or None
    notes: list[str] = []
    splits: dict[str, dict[str, Sequence[Example]]] = {}
    for split in SPLITS:
        splits[split] = {
            language: _examples(settings, file, slices[split], labels, notes) for language, file in files[split].items()
        }
        if labels is None and own.kind == "classification":
            labels = _classes_of(own, splits[split])
    lines = tuple(dict.fromkeys(notes))
    return TaskData(settings.name, own.kind, labels or (), splits["train"], splits["dev"], splits["test"], lines)


def rows_slice(text: str, name: str) -> slice:
    """``:500``, ``500:600``, ``600:`` or nothing. Errors: UsageError for another form."""
    parts = [part.strip() for part in text.split(":")] if text.strip() else ["", ""]
    if len(parts) != 2 or not all(part.isdigit() or not part for part in parts):
        raise UsageError(f"{name}: {text!r} is no range of rows", "write first:last, as :500 or 500:600")
    start, stop = (int(part) if part else None for part in parts)
    return slice(start, stop)


def _split_files(settings: TaskSettings, split: str) -> dict[str, str]:
    pattern: str = getattr(settings.own, split)
    if not pattern:
        raise UsageError(f"own.{split} is empty", "name the files of train, dev and test")
    if "{language}" in pattern:
        there = languages_of(pattern)
    elif exists(pattern):
        there = {settings.own.language: pattern}
    else:
        raise XlmrError(f"{pattern}: no such file", "check the path in the configuration")
    return {lg: there[lg] for lg in ask_languages(settings.name, split, languages_asked(settings, split), list(there))}


def _classes_of(own: OwnTask, train: Mapping[str, Sequence[Example]]) -> tuple[str, ...]:
    """The classes that the training files have, by name."""
    labels = [one.label for some in train.values() for one in some if isinstance(one, Classification)]
    return classes_of(labels, own.train, f"column {own.label_column!r}", "name it in own.label_column")


def _examples(
    settings: TaskSettings, file: str, chosen: slice, labels: tuple[str, ...] | None, notes: list[str]
) -> Sequence[Example]:
    own = settings.own
    found: Sequence[Example]
    if own.kind == "span":
        if READERS.is_own(own.format):
            found, lines = read_questions(file, chosen, strict=settings.strict)
        else:
            found, lines = questions_of(file, own_rows(own.format, file)[chosen], strict=settings.strict)
        notes += lines
    else:
        rows = list(_rows(own, file))[chosen]
        found = [_example(own, values, place, labels) for place, values in rows]
        notes += spaced_labels([(place, values.get(own.label_column)) for place, values in rows])
    if not found:
        raise XlmrError(f"{file}: holds no example", "check the file, and the rows that are asked for")
    return found


def _rows(own: OwnTask, file: str) -> Iterator[tuple[Location, Mapping[str, Any]]]:
    """Place and values of each example of a file."""
    if not READERS.is_own(own.format):
        yield from ((location(file, number), values) for number, values in own_rows(own.format, file))
        return
    text = read_text(file, (encoding_of(own),))
    rows: Iterator[tuple[int, Mapping[str, Any]]]
    if own.format == "jsonl":
        rows = json_rows(file, text)
    else:
        is_csv = own.format == "csv"
        separator = "," if is_csv else "\t"
        rows = tab_rows(file, text, header=own.header, quotes=own.quotes or is_csv, separator=separator)
    yield from ((Location(file, row), values) for row, values in rows)


def _example(
    own: OwnTask, values: Mapping[str, Any], place: Location, labels: tuple[str, ...] | None
) -> Classification | Regression:
    name = cell(values, own.id_column, place) if own.id_column else str(place.row)
    text = cell(values, own.text_column, place)
    pair = cell(values, own.pair_column, place) if own.pair_column else None
    given = cell(values, own.label_column, place).strip()
    if own.kind == "regression":
        return Regression(name, text, pair, number(given, place), place)
    return Classification(name, text, pair, given if labels is None else known_label(given, labels, place), place)
