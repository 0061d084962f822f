"""Tasks from the Hugging Face hub, by the package ``datasets`` where it is installed, and only when asked for.

That package fetches what it does not have yet, and keeps it where it keeps everything.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from finetune.data import glue, squad, xnli
from finetune.data.answers import AnswerCheck
from finetune.data.conll import WIKIANN_KINDS
from finetune.data.examples import Classification, Example, Kind, Location, Question, Regression, Tagging, TaskData
from finetune.data.files import ask_languages, languages_asked
from finetune.data.rows import known_label
from finetune.data.settings import TaskSettings
from finetune.data.tags import converted, tags_of
from pipeline.errors import XlmrError

Rows = Sequence[Mapping[str, Any]]
Load = Callable[[str, str | None, str], Any]
"""(dataset, configuration, split) -> rows with ``features``."""


@dataclass(frozen=True)
class Part:
    """A split on the hub: dataset, configuration (``{language}`` stands for it) and split; the languages it has."""

    dataset: str
    configuration: str | None
    split: str
    languages: Sequence[str] = ("en",)


@dataclass(frozen=True)
class Source:
    """Where a task is on the hub, and the columns of its texts."""

    kind: Kind
    labels: tuple[str, ...]
    train: Part
    dev: Part
    test: Part
    columns: tuple[str, str | None] = ("", None)


def _glue(name: str, columns: tuple[str, str | None], dev: str = "validation") -> Source:
    layout = glue.LAYOUTS[name]
    train, held_out = (Part("nyu-mll/glue", name, split) for split in ("train", dev))
    return Source(layout.kind, tuple(layout.labels.values()), train, held_out, held_out, columns)


def _xnli(split: str) -> Part:
    return Part("facebook/xnli", "{language}", split, xnli.LANGUAGES)


def _wikiann(split: str) -> Part:
    return Part("unimelb-nlp/wikiann", "{language}", split, ())


_SQUAD = {split: Part("rajpurkar/squad", None, split) for split in ("train", "validation")}

_SQUAD2 = {split: Part("rajpurkar/squad_v2", None, split) for split in ("train", "validation")}

SOURCES: Mapping[str, Source] = {
    "xnli": Source(
        "classification", xnli.LABELS, _xnli("train"), _xnli("validation"), _xnli("test"), ("premise", "hypothesis")
    ),
    "wikiann": Source(
        "tagging", tags_of(WIKIANN_KINDS), _wikiann("train"), _wikiann("validation"), _wikiann("test")
    ),
    "squad": Source("span", (), _SQUAD["train"], _SQUAD["validation"], _SQUAD["validation"]),
    "squad2": Source("span", (), _SQUAD2["train"], _SQUAD2["validation"], _SQUAD2["validation"]),
    "xquad": Source(
        "span", (), _SQUAD["train"], _SQUAD["validation"],
        Part("google/xquad", "xquad.{language}", "validation", squad.XQUAD_LANGUAGES),
    ),
    "mnli": _glue("mnli", ("premise", "hypothesis"), "validation_matched"),
    "qnli": _glue("qnli", ("question", "sentence")),
    "qqp": _glue("qqp", ("question1", "question2")),
    "sst2": _glue("sst2", ("sentence", None)),
    "mrpc": _glue("mrpc", ("sentence1", "sentence2")),
    "stsb": _glue("stsb", ("sentence1", "sentence2")),
}  # fmt: skip
"""CoNLL and MLQA are missing: their copies on the hub run code of their own, which ``datasets`` no longer does."""


def read_from_hub(settings: TaskSettings, load: Load | None = None) -> TaskData:
    """The task from the hub. Errors: XlmrError when it is not there, or ``datasets`` is not installed."""
    source = SOURCES.get(settings.name)
    if source is None or settings.translated_test:
        raise XlmrError(
            f"{settings.name}: not read from the hub", f"set source: folder; from the hub: {', '.join(SOURCES)}"
        )
    reader = _Reader(settings, source, load or _load)
    train, dev, test = (reader.split(split) for split in ("train", "dev", "test"))
    if settings.name == "mnli":
        mismatched = Part("nyu-mll/glue", "mnli", "validation_mismatched")
        test |= {glue.MISMATCHED: reader.examples(mismatched, "en")}
    return TaskData(settings.name, source.kind, source.labels, train, dev, test, tuple(dict.fromkeys(reader.notes)))


@dataclass
class _Reader:
    """Reads splits of one task, and keeps lines on what was corrected in them."""

    settings: TaskSettings
    source: Source
    load: Load
    notes: list[str] = field(default_factory=list)

    def split(self, split: str) -> dict[str, Sequence[Example]]:
        """Language -> examples. Errors: XlmrError for languages that nobody named, or that are not there."""
        part: Part = getattr(self.source, split)
        asked = languages_asked(self.settings, split)
        if not part.languages and not asked:
            raise XlmrError(f"{self.settings.name}: no languages asked for", f"name them in {split}_languages")
        languages = ask_languages(self.settings.name, split, asked, part.languages or asked)
        return {language: self.examples(part, language) for language in languages}

    def examples(self, part: Part, language: str) -> list[Example]:
        """Of one language. Errors: XlmrError for columns or labels that do not fit."""
        dataset = self.settings.hub_name or part.dataset
        configuration = part.configuration and part.configuration.replace("{language}", language)
        rows = self.load(dataset, configuration, part.split)
        place = "/".join(name for name in (dataset, configuration, part.split) if name)
        check = AnswerCheck(place, self.settings.strict)
        found: list[Example] = []
        for number, values in enumerate(rows, 1):
            location = Location(place, number)
            try:
                example = _example(self.source, rows.features, values, location, check)
            except KeyError as error:
                raise XlmrError(f"{location}: has no column {error}", f"it has {', '.join(values)}") from None
            if isinstance(example, Question) and not example.answers and self.settings.name != "squad2":
                check.leave_out_question(location, answers=len(values["answers"]["text"]))
            else:
                found.append(example)
        self.notes += check.lines()
        if not found:
            raise XlmrError(f"{place}: holds no example", "choose another dataset or split")
        return found


def _example(
    source: Source, features: Mapping[str, Any], values: Mapping[str, Any], location: Location, check: AnswerCheck
) -> Example:
    name = str(values.get("id", values.get("idx", location.row)))
    if source.kind == "span":
        given = zip(values["answers"]["text"], values["answers"]["answer_start"], strict=True)
        question = Question(name, values["question"], values["context"], (), str(values.get("title") or ""), location)
        return squad.check_answers(question, given, check)
    if source.kind == "tagging":
        tags = _names(features["ner_tags"].feature, values["ner_tags"], source.labels, location)
        return Tagging(name, tuple(values["tokens"]), converted(tags, "iob", [location] * len(tags)), location)
    first, second = source.columns
    text, pair = values[first].strip(), None if second is None else values[second].strip()
    if source.kind == "regression":
        return Regression(name, text, pair, float(values["label"]), location)
    (label,) = _names(features["label"], [values["label"]], source.labels, location)
    return Classification(name, text, pair, label, location)


def _names(feature: Any, numbers: Sequence[int], labels: Sequence[str], location: Location) -> list[str]:
    """The names of class numbers, by the dataset's own list."""
    names = getattr(feature, "names", None) or labels
    if any(not 0 <= number < len(names) for number in numbers):
        raise XlmrError(f"{location}: has no label", "choose a split that is labelled")
    return [known_label(names[number], labels, location) for number in numbers]


def _load(dataset: str, configuration: str | None, split: str) -> Any:
    try:
        load_dataset = importlib.import_module("datasets").load_dataset
    except ImportError:
        raise XlmrError(
            "the package datasets is not installed, and source is hub", "install datasets, or set source: folder"
        ) from None
    try:
        return load_dataset(dataset, configuration, split=split)
    except (OSError, ValueError, RuntimeError) as error:  # not there, no network, a dataset that runs code
        first = " ".join(str(error).split())[:200]
        raise XlmrError(f"{dataset}: not to be had from the hub ({first})", "set source: folder, or hub_name") from None
