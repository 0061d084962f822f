"""A tagging task of one's own: CoNLL and CoNLL-U files in any scheme of tags, by the settings or as the files show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from finetune.choices import READERS
from finetune.data.columns import Columns, Sentence, read_columns
from finetune.data.conll import tagging
from finetune.data.content import read_text
from finetune.data.examples import Example, TaskData
from finetune.data.files import Files
from finetune.data.labels import classes_of
from finetune.data.own_reader import own_sentences
from finetune.data.settings import OwnTask, TaskSettings
from finetune.data.tags import Scheme, as_iob2, check_labels, scheme_of, tags_of
from pipeline.errors import XlmrError

_TAG_COLUMN = "name it in own.tag_column"


def read_tagged(settings: TaskSettings, files: Files, rows: Mapping[str, slice]) -> TaskData:
    """Sentences of every split, of which ``rows`` are taken; scheme and labels are those of the training files.

    Errors: XlmrError with file and row.
    """
    own = settings.own
    notes: list[str] = []
    read: dict[str, dict[str, list[Sentence]]] = {}
    for split, some in files.items():
        read[split] = {}
        for language, file in some.items():
            found, lines = _sentences(own, file)
            read[split][language] = found[rows[split]]
            notes += lines
            if not read[split][language]:
                raise XlmrError(f"{file}: holds no example", "check the file, and the rows that are asked for")
    train = [sentence for sentences in read["train"].values() for sentence in sentences]
    scheme = _scheme(own, train)
    labels = _labels(own, scheme, train)
    splits: dict[str, dict[str, Sequence[Example]]] = {
        split: {
            language: [tagging(number, one, scheme, labels) for number, one in enumerate(sentences, 1)]
            for language, sentences in some.items()
        }
        for split, some in read.items()
    }
    unique = tuple(dict.fromkeys(notes))
    return TaskData(settings.name, "tagging", labels, splits["train"], splits["dev"], splits["test"], unique)


def _sentences(own: OwnTask, file: str) -> tuple[list[Sentence], list[str]]:
    """The sentences of a file, and lines on what was left out."""
    if not READERS.is_own(own.format):
        return list(own_sentences(own.format, file)), []
    return read_columns(file, read_text(file, (encoding_of(own),)), _columns(own))


def encoding_of(own: OwnTask) -> str:
    """The encoding of the files; UTF-8 may begin with a byte order mark."""
    return "utf-8-sig" if own.encoding.lower().replace("_", "-") in ("utf-8", "utf8") else own.encoding


def _columns(own: OwnTask) -> Columns:
    """Counted from 0."""
    word, tag = (column - 1 if column > 0 else column for column in (own.word_column, own.tag_column))
    return Columns(word, tag)


def _scheme(own: OwnTask, train: Sequence[Sentence]) -> Scheme:
    if own.scheme != "auto":
        return own.scheme
    return scheme_of({tag for sentence in train for tag in sentence.tags}, own.train)


def _labels(own: OwnTask, scheme: Scheme, train: Sequence[Sentence]) -> tuple[str, ...]:
    """Those of the settings, or the training files' tags: in IOB2, B- and I- of each kind."""
    check_labels(own.labels, scheme)
    if scheme == "plain":
        return own.labels or classes_of([tag for one in train for tag in one.tags], own.train, "tags", _TAG_COLUMN)
    if own.labels:
        return tags_of(own.labels)
    found = {tag for one in train for tag in as_iob2(one.tags, scheme, one.places)}
    kinds = sorted({tag[2:] for tag in found if tag != "O"})
    if not kinds:
        raise XlmrError(f"{own.train}: has no two labels to tell apart", f"every tag is O; {_TAG_COLUMN}")
    return tags_of(kinds)
