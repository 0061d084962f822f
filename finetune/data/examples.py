"""What a task's files become: examples of four kinds, by split and language, each knowing its file and row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Kind = Literal["classification", "regression", "tagging", "span"]


class Location(NamedTuple):
    """The place of an example, for the line of an error. ``row`` counts from 1 in the file's own ``unit``."""

    file: str
    row: int
    unit: str = "row"

    def __str__(self) -> str:
        return f"{self.file}, {self.unit} {self.row}"


NOWHERE = Location("", 0)


@dataclass(frozen=True, slots=True)
class Classification:
    """A text, or a pair of texts, of one class."""

    id: str
    text: str
    pair: str | None
    label: str
    location: Location = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Regression:
    """A text, or a pair of texts, with a number."""

    id: str
    text: str
    pair: str | None
    value: float
    location: Location = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Tagging:
    """A sentence: as many words as tags, the tags in IOB2."""

    id: str
    words: tuple[str, ...]
    tags: tuple[str, ...]
    location: Location = field(default=NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its right answers: each (text, first character), found at that character of ``context``."""

    id: str
    question: str
    context: str
    answers: tuple[tuple[str, int], ...]
    title: str
    location: Location = field(default=NOWHERE, compare=False, repr=False)


Example = Classification | Regression | Tagging | Question
Split = Mapping[str, Sequence[Example]]
"""Language -> examples. GLUE's second MNLI set stands beside its language as ``en-mismatched``."""


@dataclass(frozen=True)
class TaskData:
    """All of a task. ``labels``: the classes, or the IOB2 tags, in the order of a model's scores; else empty.

    ``notes`` are lines for the person: what the published files have wrong and was left out.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    train: Split
    dev: Split
    test: Split
    notes: tuple[str, ...] = ()

    def splits(self) -> Iterator[tuple[str, str, Sequence[Example]]]:
        """("train", "en", examples) and so on, in a fixed order."""
        for name, split in (("train", self.train), ("dev", self.dev), ("test", self.test)):
            for language, examples in split.items():
                yield name, language, examples
