"""GLUE's tasks from its TSV files: MNLI, QNLI, QQP, SST-2, MRPC, STS-B. Quotation marks in them are text.

The test labels are unpublished and the papers report dev, so dev stands for both; MNLI has a second, mismatched one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from finetune.data.content import read_text
from finetune.data.examples import Classification, Kind, Location, Regression, TaskData
from finetune.data.files import Files, ask_languages, languages_asked, need_file
from finetune.data.rows import cell, known_label, tab_rows
from finetune.data.settings import TaskSettings
from pipeline.errors import XlmrError

PUBLISHED = "GLUE (https://gluebenchmark.com/tasks)"
MISMATCHED = "en-mismatched"


@dataclass(frozen=True)
class FileLayout:
    """Where a task's columns are. ``labels``: what is written -> the class's name, in the order of classes."""

    folder: str
    text: str
    pair: str | None
    label: str
    labels: Mapping[str, str]
    id: str | None = None
    tests: Mapping[str, str] | None = None
    short_rows: bool = False
    """Whether the published files have rows that are cut off, to be left out as everybody does."""

    @property
    def kind(self) -> Kind:
        """A number where there are no classes."""
        return "classification" if self.labels else "regression"


_NLI = {name: name for name in ("entailment", "neutral", "contradiction")}
LAYOUTS: Mapping[str, FileLayout] = {
    "mnli": FileLayout(
        "MNLI", "sentence1", "sentence2", "gold_label", _NLI, "pairID",
        {"en": "dev_matched.tsv", MISMATCHED: "dev_mismatched.tsv"},
    ),
    "qnli": FileLayout(
        "QNLI", "question", "sentence", "label", {n: n for n in ("entailment", "not_entailment")}, "index"
    ),
    "qqp": FileLayout(
        "QQP", "question1", "question2", "is_duplicate", {"0": "not_duplicate", "1": "duplicate"}, "id",
        short_rows=True,
    ),
    "sst2": FileLayout("SST-2", "sentence", None, "label", {"0": "negative", "1": "positive"}),
    "mrpc": FileLayout("MRPC", "#1 String", "#2 String", "Quality", {"0": "not_equivalent", "1": "equivalent"}),
    "stsb": FileLayout("STS-B", "sentence1", "sentence2", "score", {}, "index"),
}  # fmt: skip


def files(settings: TaskSettings) -> Files:
    """``MRPC/train.tsv`` and ``MRPC/dev.tsv``, or the same in ``glue_data/``, or right in the folder."""
    layout = LAYOUTS[settings.name]
    tests = layout.tests or {"en": "dev.tsv"}

    def find(name: str) -> str:
        return need_file(
            settings.folder, [f"{layout.folder}/{name}", f"glue_data/{layout.folder}/{name}", name], PUBLISHED
        )

    for split, there in (("train", ["en"]), ("dev", ["en"]), ("test", list(tests))):
        ask_languages(settings.name, split, languages_asked(settings, split), there)
    test = languages_asked(settings, "test") or tuple(tests)
    return {
        "train": {"en": find("train.tsv")},
        "dev": {"en": find(tests["en"])},
        "test": {language: find(tests[language]) for language in test},
    }


def read(settings: TaskSettings, files: Files) -> TaskData:
    """Every file once. Errors: XlmrError with file and row."""
    layout, notes = LAYOUTS[settings.name], []
    known = {}
    for address in dict.fromkeys(address for split in files.values() for address in split.values()):
        known[address], note = read_table(address, layout)
        notes += note
    splits = {split: {language: known[file] for language, file in some.items()} for split, some in files.items()}
    return TaskData(
        settings.name,
        layout.kind,
        tuple(layout.labels.values()),
        splits["train"],
        splits["dev"],
        splits["test"],
        tuple(notes),
    )


def read_table(address: str, layout: FileLayout) -> tuple[list[Classification | Regression], list[str]]:
    """The examples of one file, and what there is to say of it."""
    short: list[int] | None = [] if layout.short_rows else None
    found = [
        _example(values, layout, Location(address, row))
        for row, values in tab_rows(address, read_text(address), short=short)
    ]
    if not found:
        raise XlmrError(f"{address}: holds no example", "check the file")
    if not short:
        return found, []
    return found, [f"{address}: {len(short)} rows are cut off, as published, and left out (the first is {short[0]})"]


def _example(values: Mapping[str, str], layout: FileLayout, location: Location) -> Classification | Regression:
    name = str(values.get(layout.id or "") or location.row)
    text = cell(values, layout.text, location, empty=True).strip()  # SST-2's end in a space
    pair = None if layout.pair is None else cell(values, layout.pair, location, empty=True).strip()
    given = cell(values, layout.label, location)
    if layout.labels:
        return Classification(
            name, text, pair, layout.labels[known_label(given, tuple(layout.labels), location)], location
        )
    return Regression(name, text, pair, number(given, location), location)


def number(text: str, location: Location) -> float:
    """The number in a cell. Errors: XlmrError where there is none."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not math.isfinite(value):
        raise XlmrError(f"{location}: {text!r} is no number", "fix the row")
    return value
