"""Lists of words and phrases that no document should hold, and how many of them stand in a document."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from itertools import filterfalse

from corpus.filters.text import DocumentText


@cache
def _in_word() -> str:
    """What words are made of: letters, digits, and marks (vowel signs), which Python does not count among them."""
    marks = [code for code in range(0x20000) if unicodedata.category(chr(code))[0] == "M"]
    pairs = zip(marks, [*marks[1:], 0], strict=True)
    ends = [code for code, following in pairs if following != code + 1]
    starts = [code for before, code in zip([0, *marks], marks, strict=False) if code != before + 1]
    ranges = (f"{chr(start)}-{chr(end)}" for start, end in zip(starts, ends, strict=True))
    return rf"[\w{''.join(ranges)}]"


class WordList:
    """Words and phrases that are looked for as whole words; where no spaces tell, anywhere."""

    def __init__(self, entries: Iterable[str], anywhere: bool) -> None:
        self._anywhere = anywhere
        self._phrases = sorted({" ".join(entry.lower().split()) for entry in entries})
        self._words = re.compile(f"{_in_word()}+")
        self._by_word: dict[str, list[str]] = {}
        for phrase in self._phrases:
            first = self._words.search(phrase)
            self._by_word.setdefault(first[0] if first else "", []).append(phrase)
        self._firsts = frozenset(self._by_word)

    def count(self, text: DocumentText) -> int:
        """How many different entries stand in the document."""
        if self._anywhere:
            return sum(phrase in text.lower for phrase in self._phrases)
        # Only entries whose first word stands there need to be searched for.
        candidates = self._firsts.intersection(self._words_of(text.lower)) | (self._firsts & {""})
        return sum(self._stands_in(text.lower, phrase) for first in candidates for phrase in self._by_word[first])

    def _words_of(self, small: str) -> set[str]:
        """The different words; only what is more than letters and digits has to be searched for them."""
        words = set(small.split())
        return words.union(self._words.findall(" ".join(filterfalse(str.isalnum, words))))

    def _stands_in(self, small: str, phrase: str) -> bool:
        if self._words.fullmatch(phrase):
            return True  # a single word, and it is among the words of the document
        spaced = r"\s+".join(map(re.escape, phrase.split()))
        return re.search(rf"(?<!{_in_word()}){spaced}(?!{_in_word()})", small) is not None
