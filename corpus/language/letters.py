"""Letters that show a language: those of words, less those of names, codes and addresses. Counts over code points."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from corpus.language.characters import code_points, sums
from corpus.language.scripts import scripts_of

Floats = npt.NDArray[np.float32]
Booleans = npt.NDArray[np.bool_]
_Flags = npt.NDArray[np.uint8]

NAME = 0.25
"""What a letter of a word counts that begins with a capital, or that is Latin and holds a digit or a sign of code."""
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
    """How much each text shows its language by itself: "Windows 8.1" next to nothing, "in the window" 11 letters."""
    points, starts = code_points(texts, " ")
    flags = _table()[points]
    letter = (flags & _LETTER) > 0
    weights = np.where(flags & _SYLLABLE, np.float32(SYLLABLE), letter.astype(np.float32))
    named = _named(flags, letter)
    amount = sums(np.where(named, weights * np.float32(NAME), weights), starts).astype(np.float32)
    latin, every = (sums(which, starts) for which in ((flags & _LATIN) > 0, letter))
    return OwnLetters(amount, 2 * latin >= every)


def _named(flags: _Flags, letter: Booleans) -> Booleans:
    """Which characters are of a word that is a name or a code, by the rule of ``NAME``."""
    if not len(flags):
        return np.zeros(0, bool)
    space = (flags & _SPACE) > 0
    word = np.cumsum(space)  # a space is of the word after it
    of_letters = word[letter]
    first = np.ones(len(of_letters), bool)
    np.not_equal(of_letters[1:], of_letters[:-1], out=first[1:])
    capital = np.zeros(int(word[-1]) + 1, bool)
    capital[of_letters[first]] = (flags[letter][first] & _UPPER) > 0
    code = np.zeros(len(capital), bool)
    code[word[(flags & _CODE) > 0]] = True
    return capital[word] | (code[word] & ((flags & _LATIN) > 0))


@lru_cache(maxsize=1)
def _table() -> _Flags:
    """The flags of each code point."""
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
    return flags
