"""A task of one's own, described in the configuration: tables, JSON lines, CoNLL or SQuAD JSON, languages by file name.

The embedded help-pages task is one of these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from finetune.data.conll import read_sentences, tags_of
from finetune.data.examples import Classification, Example, Regression, Tagging, TaskData, Where
from finetune.data.files import (
    Files,
    ask_languages,
    cell,
    exists,
    json_rows,
    known_label,
    languages_asked,
    languages_of,
    read_text,
    tab_rows,
)
from finetune.data.glue import number
from finetune.data.settings import OwnTask, TaskSettings
from finetune.data.squad import read_questions
from pipeline.errors import UsageError, XlmrError

SPLITS = ("train", "dev", "test")


def files(settings: TaskSettings) -> Files:
    """Split -> language -> file, by the patterns. Errors: XlmrError for what is not there."""
    return {split: _split_files(settings, split) for split in SPLITS}


def read(settings: TaskSettings, files: Files) -> TaskData:
    """The task that ``own`` describes. Errors: XlmrError with file and row."""
    own = settings.own
    labels: tuple[str, ...] | None = own.labels or None
    if labels and own.kind == "tagging":
        labels = tags_of(labels)
    splits: dict[str, dict[str, Sequence[Example]]] = {}
    for split in SPLITS:
        chosen = rows_slice(getattr(own, f"{split}_rows"), f"own.{split}_rows")
        splits[split] = {lg: _examples(own, file, chosen, labels) for lg, file in files[split].items()}
        if labels is None and own.kind in ("classification", "tagging"):
            labels = _labels_of(own, splits[split])
    return TaskData(settings.name, own.kind, labels or (), splits["train"], splits["dev"], splits["test"])


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


def _labels_of(own: OwnTask, train: Mapping[str, Sequence[Example]]) -> tuple[str, ...]:
    """What the training files have: classes by name, or the tags of their kinds of names."""
    examples = [example for some in train.values() for example in some]
    if own.kind == "tagging":
        tags = {tag for example in examples if isinstance(example, Tagging) for tag in example.tags}
        found = tags_of(sorted({tag[2:] for tag in tags if tag != "O"}))
    else:
        found = tuple(sorted({example.label for example in examples if isinstance(example, Classification)}))
    if len(found) < 2:
        raise XlmrError(f"{own.train}: has no two labels to tell apart", "check which column has the label")
    return found


def _examples(own: OwnTask, file: str, chosen: slice, labels: tuple[str, ...] | None) -> Sequence[Example]:
    found: Sequence[Example]
    if own.format == "squad":
        found = read_questions(file, chosen)
    elif own.format == "conll":
        text = read_text(file, (_encoding(own),))
        columns = [column - 1 if column > 0 else column for column in (own.word_column, own.tag_column)]
        found = read_sentences(file, text, labels, word_column=columns[0], tag_column=columns[1])[chosen]
    else:
        rows = list(_rows(own, file))[chosen]
        found = [_example(own, values, Where(file, row), labels) for row, values in rows]
    if not found:
        raise XlmrError(f"{file}: holds no example", "check the file, and the rows that are asked for")
    return found


def _rows(own: OwnTask, file: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    text = read_text(file, (_encoding(own),))
    if own.format == "jsonl":
        return json_rows(file, text)
    separator = "," if own.format == "csv" else "\t"
    return tab_rows(file, text, header=own.header, quotes=own.quotes or own.format == "csv", separator=separator)


def _encoding(own: OwnTask) -> str:
    return "utf-8-sig" if own.encoding.lower().replace("_", "-") in ("utf-8", "utf8") else own.encoding


def _example(
    own: OwnTask, values: Mapping[str, Any], where: Where, labels: tuple[str, ...] | None
) -> Classification | Regression:
    name = cell(values, own.id_column, where) if own.id_column else str(where.row)
    text = cell(values, own.text_column, where)
    pair = cell(values, own.pair_column, where) if own.pair_column else None
    said = cell(values, own.label_column, where)
    if own.kind == "regression":
        return Regression(name, text, pair, number(said, where), where)
    return Classification(name, text, pair, said if labels is None else known_label(said, labels, where), where)
