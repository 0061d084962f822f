"""Files of a word a line, in columns: CoNLL and its many relatives, CoNLL-U among them, as sentences of words and tags.

What a file does not say is seen from its shape: whether columns end at tabs or at any white space, which lines are
comments, whether it is CoNLL-U. Tags are given as they are written; ``tags`` knows what they mean.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from finetune.data.content import lines_of
from finetune.data.examples import Location
from pipeline.errors import XlmrError

COMMENT = "#"

_DOCUMENT = re.compile(r"-DOCSTART-(?![^ \t])")
_WHITE_SPACE = re.compile("[ \t]+")  # not \s: a word may be, or hold, another kind of space
_CONLLU_COLUMNS = 10
_CONLLU_WORD, _CONLLU_TAG = 1, 3  # FORM and UPOS
_CONLLU_ID = re.compile(r"\d+([-.]\d+)?")
_CONLLU_NO_WORD = re.compile(r"\d+[-.]\d+")  # several words written as one, and words that are not written

Line = tuple[int, str]
"""Row from 1, and the line without the spaces and tabs around it."""
Cells = list[str]


class Sentence(NamedTuple):
    """Words, a tag each as the file has it, and the place of each."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    places: tuple[Location, ...]


@dataclass(frozen=True)
class Columns:
    """Which column, counted from 0, from the end if negative, has the word and which the tag."""

    word: int = 0
    tag: int = -1

    @property
    def fewest(self) -> int:
        """Columns that a line must have."""
        return max(2, *(place + 1 if place >= 0 else -place for place in (self.word, self.tag)))


@dataclass
class _Shape:
    """How the lines of one file are read."""

    split: Callable[[str], Cells]
    count: int
    columns: Columns
    is_conllu: bool
    tags: frozenset[str]
    comments: list[int] = field(default_factory=list)

    def is_comment(self, line: str) -> bool:
        """Whether a line before a sentence that begins with # is no word: other columns, or a tag seen nowhere else."""
        if not line.startswith(COMMENT):
            return False
        cells = self.split(line)
        if self.is_conllu or len(cells) != self.count or len(cells) < self.columns.fewest:
            return True
        return cells[self.columns.tag] not in self.tags


def read_columns(
    file: str, text: str, columns: Columns = Columns(), split: Callable[[str], Cells] | None = None
) -> tuple[list[Sentence], list[str]]:
    """The sentences of one file, and a line on its comments if it has any. ``split``: a line's cells, if that is known.

    Errors: XlmrError with file and row: no sentence, a line with another number of columns, or without a word or tag.
    """
    lines = [(row, line.strip(" \t")) for row, line in lines_of(text)]
    shape = _shape_of(lines, columns, split)
    sentences: list[Sentence] = []
    found: list[tuple[str, str, Location]] = []
    for row, line in [*lines, (len(lines) + 1, "")]:
        if not line.strip() or _is_document(line):
            if found:
                words, tags, places = zip(*found, strict=True)
                sentences.append(Sentence(words, tags, places))
                found = []
        elif not found and shape.is_comment(line):
            shape.comments.append(row)
        else:
            cells = _checked(shape, line, Location(file, row))
            if not (shape.is_conllu and _CONLLU_NO_WORD.fullmatch(cells[0])):
                found.append((cells[shape.columns.word], cells[shape.columns.tag], Location(file, row)))
    if not sentences:
        raise XlmrError(f"{file}: holds no sentence", "a line is a word and its tag, a blank line ends a sentence")
    return sentences, _notes(file, shape)


def _notes(file: str, shape: _Shape) -> list[str]:
    if not shape.comments or shape.is_conllu:
        return []
    return [f"{file}: {len(shape.comments)} lines are taken for comments (the first is row {shape.comments[0]})"]


def _checked(shape: _Shape, line: str, location: Location) -> Cells:
    cells, fewest = shape.split(line), shape.columns.fewest
    if len(cells) != shape.count or len(cells) < fewest:
        wanted = max(shape.count, fewest) if len(cells) < fewest else shape.count
        raise XlmrError(f"{location}: {len(cells)} columns, not {wanted}", "a blank line ends a sentence")
    if not cells[shape.columns.tag]:
        raise XlmrError(f"{location}: has no tag", "fix the row")
    return cells


def _shape_of(lines: Sequence[Line], columns: Columns, split: Callable[[str], Cells] | None) -> _Shape:
    """Read off the lines that are surely words; of two ways to cut them, the one that fits more of them."""
    words = [line for _, line in lines if line.strip() and not _is_document(line) and not line.startswith(COMMENT)]
    ways: list[Callable[[str], Cells]] = [split] if split else [_WHITE_SPACE.split]
    if split is None and any("\t" in line for line in words):
        ways.insert(0, _at_tabs)
    found = [_cut(words, columns, way) for way in ways]
    return min(found, key=lambda one: one[0])[1]  # of equal ones the first


def _cut(words: Sequence[str], columns: Columns, split: Callable[[str], Cells]) -> tuple[int, _Shape]:
    """(lines that do not fit, the shape) of one way to cut lines."""
    rows = [split(line) for line in words]
    counts = Counter(map(len, rows))
    count = counts.most_common(1)[0][0] if counts else 0
    is_conllu = count == _CONLLU_COLUMNS and all(_CONLLU_ID.fullmatch(cells[0]) for cells in rows)
    if is_conllu and columns == Columns():
        columns = Columns(_CONLLU_WORD, _CONLLU_TAG)
    fitting = [cells for cells in rows if len(cells) == count >= columns.fewest]
    tags = frozenset(cells[columns.tag] for cells in fitting)
    fit = sum(" " not in cells[columns.tag] for cells in fitting)  # a tag with a space is two columns
    return len(rows) - fit, _Shape(split, count, columns, is_conllu, tags)


def _at_tabs(line: str) -> Cells:
    return [cell.strip(" ") for cell in line.split("\t")]


def _is_document(line: str) -> bool:
    return _DOCUMENT.match(line) is not None
