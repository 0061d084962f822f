"""Sums of the rows of words that were met before: most words of a text are, and hashing their n-grams takes longest."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]

MOST_WORDS = 100_000
"""Of one model that are kept: 18 MB at 32 dimensions. Once there are more, all are forgotten."""
LONGEST_WORD = 40
"""Characters: longer ones, as lines of Chinese, hardly come again."""


class WordCache:
    """The sum of the rows of each word [dim], and how many rows they are. What is taken out is what was put in."""

    def __init__(self, dimension: int) -> None:
        self._place: dict[str, int] = {}
        self._sums = np.empty((MOST_WORDS, dimension), np.float32)
        self._counts = np.empty(MOST_WORDS, np.float32)

    def places(self, words: Sequence[str]) -> Places:
        """Where each word is kept; -1 where it is not."""
        return np.array(list(map(self._place.get, words, repeat(-1))), np.int64)

    def rows(self, places: Places) -> tuple[Floats, Floats]:
        """The sums and counts at these places."""
        return self._sums[places], self._counts[places]

    def put(self, words: Sequence[str], sums: Floats, counts: Floats) -> None:
        """Keep words that are not kept yet."""
        if len(words) > MOST_WORDS or max(map(len, words), default=0) > LONGEST_WORD:
            short = [number for number, word in enumerate(words) if len(word) <= LONGEST_WORD][:MOST_WORDS]
            words, sums, counts = [words[number] for number in short], sums[short], counts[short]
        if len(self._place) + len(words) > MOST_WORDS:
            self._place.clear()
        start = len(self._place)
        end = start + len(words)
        self._sums[start:end], self._counts[start:end] = sums, counts
        self._place.update(zip(words, range(start, end), strict=True))
