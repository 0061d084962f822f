"""A reader of a user: a function of a file that returns the rows of its examples, each a mapping of values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from finetune.choices import READERS
from finetune.data.columns import Sentence
from finetune.data.examples import Location
from pipeline.errors import XlmrError
from pipeline.plug_ins import calling, load_callable
from pipeline.unicode import is_unicode

Row = tuple[int, Mapping[str, Any]]
"""Number of an example from 1, and its values."""


def own_rows(reader: str, file: str) -> list[Row]:
    """The rows that the user's reader returns for a file.

    Errors: XlmrError for what the reader raises, for a row that is no mapping, and for no row at all.
    """
    import_string = READERS.import_string(reader)
    function = load_callable(import_string)
    with calling(import_string):
        rows = list(function(file))
    for number, values in enumerate(rows, 1):
        if not isinstance(values, Mapping):
            raise XlmrError(
                f"{location(file, number)}: {import_string} returns {type(values).__name__} for an example",
                "return a mapping of its values by name, as {'text': …, 'label': …}",
            )
    if not rows:
        raise XlmrError(f"{file}: {import_string} returns no example", "fix the reader, or check the file")
    return list(enumerate(rows, 1))


def own_sentences(reader: str, file: str) -> Iterator[Sentence]:
    """The rows as sentences: ``words``, and as many ``tags``. Errors: as ``own_rows``; XlmrError with the example."""
    for number, values in own_rows(reader, file):
        place = location(file, number)
        words, tags = (_texts(values.get(name), name, place) for name in ("words", "tags"))
        if len(words) != len(tags):
            raise XlmrError(f"{place}: {len(words)} words and {len(tags)} tags", "return a tag for each word")
        yield Sentence(words, tags, (place,) * len(words))


def location(file: str, number: int) -> Location:
    """The place of an example, for errors."""
    return Location(file, number, "example")


def _texts(values: Any, name: str, place: Location) -> tuple[str, ...]:
    found = tuple(values) if isinstance(values, list | tuple) else ()
    if not found or not all(isinstance(one, str) and one.strip() and is_unicode(one) for one in found):
        raise XlmrError(f"{place}: {name!r} is no list of texts", "return words and tags, as ['in', 'Bonn']")
    return found
