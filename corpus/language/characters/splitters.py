"""Splits codes without a model: Chinese by script, Burmese by encoding, Hindi and others by Latin letters.

Each function takes texts that an identifier gave one code and says True where the finer code is meant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from corpus.language.characters.code_points import code_points, sums
from corpus.language.characters.zawgyi import zawgyi_probabilities

Answers = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

_NEGLIGIBLE = 1e-3
"""A code whose probability is lower is halved without a look at the text."""
_ALL = 0x110000
_LATIN = ((0x41, 0x5A), (0x61, 0x7A), (0xC0, 0x24F), (0x1E00, 0x1EFF))
_OTHER_LETTERS = ((0x370, 0x1DFF), (0x2E80, 0x2FFF), (0x3040, 0xFAFF), (0xFB1D, 0xFDFF), (0xFE70, 0xFEFC))


def is_traditional(texts: Sequence[str]) -> Answers:
    """Whether a Chinese text has more characters that only the traditional script has than only the simplified one.

    A text with neither counts as simplified. Source of the two sets: OpenCC, characters that its conversion changes.
    """
    return _traditional_balance(texts) > 0


def _traditional_balance(texts: Sequence[str]) -> npt.NDArray[np.float64]:
    points, starts = code_points(texts)
    return sums(_han_table()[points], starts)


def is_zawgyi(texts: Sequence[str]) -> Answers:
    """Whether a Burmese text is encoded as Zawgyi rather than Unicode."""
    return zawgyi_probabilities(texts) > 0.5


def is_romanised(texts: Sequence[str]) -> Answers:
    """Whether a text has more Latin letters than letters of other scripts."""
    points, starts = code_points(texts)
    return sums(_latin_table()[points], starts) > 0


SPLITTERS: dict[str, tuple[Callable[[Sequence[str]], Answers], str, str]] = {
    **dict.fromkeys(("zh", "zh-Hans", "zh-Hant"), (is_traditional, "zh-Hant", "zh-Hans")),
    **dict.fromkeys(("my", "my_zaw"), (is_zawgyi, "my_zaw", "my")),
    **{
        name: (is_romanised, f"{code}_rom", code)
        for code in ("bn", "hi", "ta", "te", "ur")
        for name in (code, f"{code}_rom")
    },
}
"""Code that an identifier gave -> (question, code where it is answered yes, code where no)."""


def split(codes: Sequence[str], texts: Sequence[str]) -> list[str]:
    """The codes, each split where it can be."""
    made = list(codes)
    for code in set(codes) & SPLITTERS.keys():
        question, yes, no = SPLITTERS[code]
        places = [i for i, one in enumerate(codes) if one == code]
        for place, answer in zip(places, question([texts[i] for i in places]).tolist(), strict=True):
            made[place] = yes if answer else no
    return made


class FineCodes:
    """The codes of an identifier as ``split`` makes them, for the probabilities of all of them at once.

    A Chinese text without a character that tells the scripts apart gives each of them half.
    """

    def __init__(self, codes: Sequence[str]) -> None:
        self.codes = list(codes)
        groups: dict[tuple[Callable[[Sequence[str]], Answers], str, str], list[int]] = {}
        for place, code in enumerate(codes):
            if code in SPLITTERS:
                groups.setdefault(SPLITTERS[code], []).append(place)
        self._parts = {code: [place] for place, code in enumerate(codes) if code not in SPLITTERS}
        self._groups = []
        for (question, yes, no), places in groups.items():
            free = [place for place in places if codes[place] not in (yes, no)]
            self._parts[yes] = self._parts[no] = places
            self._groups.append((question, self._column(yes, free), self._column(no, free), places))

    def _column(self, code: str, free: list[int]) -> int:
        """The column of a finer code: its own, one of a code that is always split, or a new one."""
        if code in self.codes:
            return self.codes.index(code)
        if free:
            self.codes[free[0]] = code
            return free.pop()
        self.codes.append(code)
        return len(self.codes) - 1

    def parts_of(self, code: str) -> list[int]:
        """Places of the identifier's codes that may become ``code``."""
        return self._parts[code]

    def probabilities(self, likely: Floats, texts: Sequence[str]) -> Floats:
        """[texts, codes of the identifier] to [texts, codes]; ``texts`` are those that the identifier saw."""
        fine = np.zeros((len(likely), len(self.codes)), np.float32)
        fine[:, : likely.shape[1]] = likely
        for question, yes, no, places in self._groups:
            of_group = likely[:, places].sum(1)
            rows = np.flatnonzero(of_group > _NEGLIGIBLE)
            share = np.full(len(texts), 0.5, np.float32)
            share[rows] = _shares(question, [texts[row] for row in rows.tolist()])
            fine[:, yes], fine[:, no] = of_group * share, of_group * (1 - share)
        return fine


def _shares(question: Callable[[Sequence[str]], Answers], texts: Sequence[str]) -> Floats:
    """1 where the question is answered yes, 0 where no, half where nothing in the text answers it."""
    if question is is_traditional:
        return (np.sign(_traditional_balance(texts)) / 2 + 0.5).astype(np.float32)
    return question(texts).astype(np.float32)


@lru_cache(maxsize=1)
def _han_table() -> npt.NDArray[np.int8]:
    """+1 for characters that are traditional only, −1 for those that are simplified only."""
    lines = Path(__file__).with_name("han.tsv").read_text(encoding="utf-8").splitlines()
    rows = dict(line.split("\t") for line in lines)
    table = np.zeros(_ALL, np.int8)
    table[code_points([rows["traditional"]])[0]] = 1
    table[code_points([rows["simplified"]])[0]] = -1
    return table


@lru_cache(maxsize=1)
def _latin_table() -> npt.NDArray[np.int8]:
    """+1 for Latin letters, −1 for letters of other scripts."""
    table = np.zeros(_ALL, np.int8)
    for ranges, value in ((_LATIN, 1), (_OTHER_LETTERS, -1)):
        for first, last in ranges:
            table[first : last + 1] = value
    return table
