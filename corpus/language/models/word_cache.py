"""Sums of the rows of words that were met before: most words of a text are, and hashing their n-grams takes longest."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from corpus.language.models.word_hashes import Hashes, Places, WordNumbers

Floats = npt.NDArray[np.float32]

MOST_WORDS = 100_000
"""Of one model that are kept: 15 MB at 32 dimensions. Once there are more, all are forgotten."""
LONGEST_WORD = 80
"""Bytes: longer ones, as lines of Chinese, hardly come again."""


class WordCache:
    """The sum of the rows of each word [dim], and how many rows they are. What is taken out is what was put in."""

    def __init__(self, dimension: int) -> None:
        self._most = MOST_WORDS
        self._numbers = WordNumbers(self._most)
        self._size = 0
        self._sums = np.empty((self._most, dimension), np.float32)
        self._counts = np.empty(self._most, np.float32)

    def places(self, hashes: Hashes) -> Places:
        """Where each word is kept, by its hash; -1 where it is not."""
        return self._numbers.find(hashes)

    def rows(self, places: Places) -> tuple[Floats, Floats]:
        """The sums and counts at these places; any of the words where it is -1."""
        return self._sums[places], self._counts[places]

    def put(self, hashes: Hashes, widths: Places, sums: Floats, counts: Floats) -> None:
        """Keep words that are not kept yet, of so many bytes."""
        short = np.flatnonzero(widths <= LONGEST_WORD)[: self._most]
        if self._size + len(short) > self._most:
            self._numbers.clear()
            self._size = 0
        start, self._size = self._size, self._size + len(short)
        self._sums[start : self._size], self._counts[start : self._size] = sums[short], counts[short]
        self._numbers.put(hashes[short], np.arange(start, self._size))
