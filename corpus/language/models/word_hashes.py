"""Numbers of words, found by 64-bit hashes in arrays: a lookup of many words at once, without a Python object of each.

Of a billion words that are looked up among 100,000, two with one hash are expected once in 200,000 times.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]

_EMPTY = np.uint64(0)
_PRIME = np.uint64(0x9E3779B97F4A7C15 | 1)
_INVERSE = np.uint64(pow(int(_PRIME), -1, 1 << 64))
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_OF_BYTE = np.random.default_rng(1).integers(1, 1 << 63, 256, dtype=np.uint64)


def word_bytes(words: pa.LargeStringArray | pa.LargeBinaryArray) -> tuple[npt.NDArray[np.uint8], Places]:
    """The UTF-8 of all words, one after the other, and where each begins: [words + 1]."""
    ends = np.frombuffer(words.buffers()[1], np.int64)[words.offset : words.offset + len(words) + 1]
    return np.frombuffer(words.buffers()[2] or b"", np.uint8)[ends[0] : ends[-1]], ends - ends[0]


def hash_words(words: pa.LargeStringArray | pa.LargeBinaryArray) -> Hashes:
    """A hash of each word: a polynomial of its bytes modulo 2^64, mixed; never 0.

    The sum of word i is a difference of running sums over all words, divided by the power where the word begins.
    """
    letters, starts = word_bytes(words)
    powers = np.multiply.accumulate(np.full(len(letters), _PRIME))
    sums = np.concatenate([[_EMPTY], np.cumsum(_OF_BYTE[letters] * powers, dtype=np.uint64)])
    inverses = np.multiply.accumulate(np.full(len(letters) + 1, _INVERSE))
    hashes = (sums[starts[1:]] - sums[starts[:-1]]) * inverses[starts[:-1]]
    hashes = (hashes ^ (hashes >> np.uint64(32))) * _MIX
    return np.maximum(hashes, np.uint64(1))


class WordNumbers:
    """A number of each word, by its hash: a table with open addresses, at most half full."""

    def __init__(self, most: int) -> None:
        bits = max(int(most).bit_length() + 1, 2)
        self._shift = np.uint64(64 - bits)
        self._last = np.int64((1 << bits) - 1)
        self._hashes = np.zeros(1 << bits, np.uint64)
        self._numbers = np.zeros(1 << bits, np.int32)

    def find(self, hashes: Hashes) -> Places:
        """The number of each word; -1 where it has none."""
        found = np.full(len(hashes), -1, np.int64)
        left, at = np.arange(len(hashes)), (hashes >> self._shift).astype(np.int64)
        while len(left):
            there = self._hashes[at]
            same = there == hashes[left]
            found[left[same]] = self._numbers[at[same]]
            further = ~same & (there != _EMPTY)
            left, at = left[further], (at[further] + 1) & self._last
        return found

    def put(self, hashes: Hashes, numbers: Places) -> None:
        """Give words that have no number yet theirs."""
        left, at = np.arange(len(hashes)), (hashes >> self._shift).astype(np.int64)
        while len(left):
            free = self._hashes[at] == _EMPTY
            self._hashes[at[free]] = hashes[left[free]]  # of several at one place, one is written
            placed = self._hashes[at] == hashes[left]
            self._numbers[at[placed]] = numbers[left[placed]]
            left, at = left[~placed], (at[~placed] + 1) & self._last

    def clear(self) -> None:
        """Forget all."""
        self._hashes[:] = _EMPTY
