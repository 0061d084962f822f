"""Tokens that were added to a vocabulary after its training, as transformers has them: ids beyond <mask>.

A text -> the places of such tokens in it. They are found before SentencePiece reads what is between them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

OTHER_WORD_SIGNS = frozenset(
    map(chr, (0x200C, 0x200D, *range(0x24B6, 0x24EA), *range(0x1F130, 0x1F14A), *range(0x1F150, 0x1F16A)))
).union(map(chr, range(0x1F170, 0x1F18A)))
"""Joiners, and letters in circles and squares."""

Normalise = Callable[[str], tuple[str, list[int]]]
"""Text -> its normalised form, and for each character of that, and for its end, the character that it comes from."""

Found = tuple[int, int, int]
"""Characters [start, end) of a text, and the id of the token there."""


class AddedToken(BaseModel):
    """One token, by the names of ``tokenizer.json``. ``content`` is its text."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    id: int = Field(ge=0)
    content: str = Field(min_length=1)
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = True
    special: bool = False

    def describe(self) -> dict[str, Any]:
        """Its entry in ``added_tokens_decoder`` and, with ``id``, in ``added_tokens``."""
        return self.model_dump(exclude={"id"})


@dataclass(frozen=True)
class _Matcher:
    """Finds some tokens, leftmost and longest first, as the Aho-Corasick automaton of ``tokenizers`` does."""

    pattern: re.Pattern[str]
    tokens: Mapping[str, AddedToken]

    @classmethod
    def of(cls, tokens: Mapping[str, AddedToken]) -> _Matcher | None:
        if not tokens:
            return None
        longest_first = sorted(tokens, key=lambda content: (-len(content), content))
        return cls(re.compile("|".join(map(re.escape, longest_first))), tokens)

    def find(self, text: str) -> Iterator[Found]:
        """The tokens in ``text``. Source: AddedVocabulary::find_matches of tokenizers 0.23."""
        done = 0
        for match in self.pattern.finditer(text):
            start, end = match.span()
            token = self.tokens[match[0]]
            if start < done:
                continue
            if token.single_word and not (_ends(text[:start][-1:]) and _ends(text[end : end + 1])):
                continue
            if token.lstrip:
                start = max(done, len(text[:start].rstrip()))
            if token.rstrip:
                end += len(text[end:]) - len(text[end:].lstrip())
            yield start, end, token.id
            done = end


def _ends(neighbour: str) -> bool:
    r"""Return whether a word ends before this character, or at the end of the text.

    A word is what ``\w`` is to Rust's regex (UTS 18): marks too, and no fractions, unlike Python's.
    """
    if not neighbour:
        return True
    kind = unicodedata.category(neighbour)
    return kind[0] not in "LM" and kind not in {"Nd", "Nl", "Pc"} and neighbour not in OTHER_WORD_SIGNS


class AddedTokens:
    """The added tokens of one vocabulary, whose normalisation is ``normalise``.

    ``normal_text`` gives the text of that alone, four times as fast.
    """

    def __init__(self, tokens: Sequence[AddedToken], normalise: Normalise, normal_text: Callable[[str], str]) -> None:
        self.tokens = tuple(tokens)
        self._normalise, self._normal_text = normalise, normal_text
        self._as_written = _Matcher.of({one.content: one for one in tokens if not one.normalized})
        # Their own text is normalised too. A token that normalisation deletes never matches.
        normal = {normal_text(one.content): one for one in tokens if one.normalized}
        self._normalised = _Matcher.of({text: one for text, one in normal.items() if text})

    def __bool__(self) -> bool:
        return bool(self.tokens)

    def find(self, text: str) -> list[Found]:
        """All added tokens in a text, from left to right: those that match the text as written come first."""
        found = list(self._as_written.find(text)) if self._as_written else []
        if self._normalised is None:
            return found
        more = [
            one for start, end in between(found, len(text)) for one in self._find_normalised(text[start:end], start)
        ]
        return sorted([*found, *more])

    def _find_normalised(self, text: str, offset: int) -> Iterator[Found]:
        assert self._normalised is not None
        if not self._normalised.pattern.search(self._normal_text(text)):
            return
        normal, origins = self._normalise(text)
        for start, end, number in self._normalised.find(normal):
            yield offset + origins[start], offset + origins[end], number


def between(found: Iterable[Found], length: int) -> Iterator[tuple[int, int]]:
    """The stretches of a text that are not in ``found``, empty ones left out."""
    done = 0
    for start, end, _ in found:
        if start > done:
            yield done, start
        done = max(done, end)
    if length > done:
        yield done, length
