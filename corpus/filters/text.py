"""A document as the rules see it: its lines, and what is counted of them, each once and only when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple

from corpus.filters.scripts import CHARACTERS_PER_WORD

UNITS_AT_MOST = 1_000_000
"""Words (for scripts: characters) of a document that are looked at: a bound on memory, far beyond any threshold."""


class NgramShares(NamedTuple):
    """Shares of the characters (white space left out) of one document, by n."""

    top: dict[int, float]
    """In the most frequent n-gram; of equally frequent ones the longest. 0 where none occurs twice."""
    duplicate: dict[int, float]
    """In n-grams that occurred before; what overlaps counts once."""


class DocumentText:
    """One document. ``lines`` hold no newline; empty ones count as breaks between paragraphs only.

    In languages written without spaces a word is so many characters (see docs/filters.md).
    """

    def __init__(self, lines: Sequence[str], url: str = "", language: str = "") -> None:
        self.url = url
        self.language = language
        self.all_lines = lines
        # What is found out for a whole batch at once:
        self.listed = False
        self.of_other_host = False
        self.bad_words = 0
        self.ngrams: NgramShares | None = None

    @cached_property
    def joined(self) -> str:
        """The lines of the document, joined by newlines."""
        return "\n".join(self.all_lines)

    @cached_property
    def lower(self) -> str:
        """The document in lower case."""
        return self.joined.lower()

    @cached_property
    def lines(self) -> list[str]:
        """The lines that are not empty, stripped."""
        return list(filter(None, map(str.strip, self.all_lines)))

    @cached_property
    def paragraphs(self) -> list[str]:
        """What stands between empty lines."""
        blocks = "\n".join(map(str.strip, self.all_lines)).split("\n\n")
        return list(filter(None, map(str.strip, blocks)))

    @cached_property
    def characters(self) -> int:
        """Characters of the lines that are not empty, newlines not counted."""
        return sum(map(len, self.lines))

    @cached_property
    def words(self) -> list[str]:
        """What stands between white space, the first UNITS_AT_MOST."""
        return self.joined.split(None, UNITS_AT_MOST)[:UNITS_AT_MOST]

    @cached_property
    def word_characters(self) -> int:
        """Characters that are not white space."""
        return sum(map(len, self.words))

    @cached_property
    def characters_per_word(self) -> int:
        """How many characters are taken for a word; 0 where spaces tell."""
        return CHARACTERS_PER_WORD.get(self.language, 0)

    @cached_property
    def word_count(self) -> float:
        """Words; where no spaces tell, characters by CHARACTERS_PER_WORD."""
        if self.characters_per_word:
            return self.word_characters / self.characters_per_word
        return len(self.words)

    @cached_property
    def duplicate_lines(self) -> tuple[int, int]:
        """Second and later copies of lines, and their characters."""
        return second_copies(self.lines)

    @cached_property
    def duplicate_paragraphs(self) -> tuple[int, int]:
        """Second and later copies of paragraphs, and their characters."""
        return second_copies(self.paragraphs)


def second_copies(items: Sequence[str]) -> tuple[int, int]:
    """How many items came before, and how many characters these have."""
    distinct = set(items)
    if len(distinct) == len(items):
        return 0, 0
    return len(items) - len(distinct), _characters(items) - _characters(distinct)


def _characters(items: Iterable[str]) -> int:
    return sum(map(len, items))
