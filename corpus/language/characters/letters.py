"""Letters that show a language: those of words, less those of names, codes and addresses. Counts over code points."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from corpus.language.characters.code_points import code_points
from corpus.language.characters.scripts import scripts_of

Floats = npt.NDArray[np.float32]
Booleans = npt.NDArray[np.bool_]
_Flags = npt.NDArray[np.uint8]

NAME = 0.25
"""What a letter counts in a word that begins with a capital, or that has Latin letters and a digit or sign of code."""
SYLLABLE = 3.0
"""What a character of Chinese, Japanese or Korean counts."""
_LATIN, _OTHER, _SYLLABLE, _UPPER, _CODE, _SPACE = (1 << bit for bit in range(6))
_LETTER = _LATIN | _OTHER
_CODE_SIGNS = "0123456789_/\\=@#${}<>|~^+*%"
_SYLLABLES = ("Han", "Hiragana", "Katakana", "Hangul")
_ALL = 0x110000
_NO_CAPITALS_FROM = 0x1F000
"""Code points from here on have no capitals and no spaces."""


class OwnLetters(NamedTuple):
    """``amount`` of the letters that show a language [texts]; whether Latin letters are the most, or there are none."""

    amount: Floats
    is_latin: Booleans


def own_letters(texts: Sequence[str]) -> OwnLetters:
    """How much each text shows its language by itself: "Windows 8.1" next to nothing, "in the window" 11 letters.

    A word begins with a capital if its first character is one, or its second after a sign.
    """
    if not texts:
        return OwnLetters(np.zeros(0, np.float32), np.zeros(0, bool))
    flags_of, weight_of, side_of = _tables()
    points, starts = code_points(texts, " ")
    flags = flags_of[points]
    # A space ends each word and each text, so that no word and no text is empty.
    words = np.concatenate([[0], np.flatnonzero(flags & _SPACE)[:-1] + 1])
    first, second = flags[words], flags[np.minimum(words + 1, len(flags) - 1)]
    capital = np.where(first & (_LETTER | _SPACE), first, second) & _UPPER
    code = np.bitwise_or.reduceat(flags, words) & (_CODE | _LATIN) == _CODE | _LATIN
    letters = np.add.reduceat(weight_of[points], words)
    letters[(capital > 0) | code] *= NAME
    amount = np.add.reduceat(letters, np.searchsorted(words, starts[:-1]))
    return OwnLetters(amount, np.add.reduceat(side_of[points], starts[:-1], dtype=np.int32) >= 0)


@lru_cache(maxsize=1)
def _tables() -> tuple[_Flags, Floats, npt.NDArray[np.int8]]:
    """Of each code point the flags; what it counts; 1 for a Latin letter, -1 for another."""
    flags = np.zeros(_ALL, np.uint8)
    flags[scripts_of(None)] = _OTHER
    flags[scripts_of(("Latin",))] = _LATIN
    flags[scripts_of(_SYLLABLES)] |= _SYLLABLE
    for point in range(_NO_CAPITALS_FROM):
        character = chr(point)
        if character.isupper() or character.istitle():
            flags[point] |= _UPPER
        elif character.isspace():
            flags[point] = _SPACE
        elif character.isnumeric() and not flags[point] & _SYLLABLE:
            flags[point] = 0
    flags[code_points([_CODE_SIGNS])[0]] |= _CODE
    latin, other = (flags & _LATIN) > 0, (flags & _OTHER) > 0
    weights = np.where(flags & _SYLLABLE, np.float32(SYLLABLE), (latin | other).astype(np.float32))
    return flags, weights, latin.astype(np.int8) - other.astype(np.int8)
