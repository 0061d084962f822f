"""The main script of a text, and the languages that are written in it.

An identifier that has learnt Latin letters finds a language in the one Latin word of a Chinese line. A language may be
predicted only if it is written in the text's main script. Counting is over arrays of code points.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from corpus.language.characters.code_points import code_points

Booleans = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.floating]

_ALL = 0x110000
_NONE = ""
"""The script of what has no letters: digits, punctuation, signs."""
_KANA = ("Hiragana", "Katakana")
_KANA_SHARE = 0.1
"""Of Chinese characters and kana together: with fewer kana, a text may be Chinese that names something Japanese."""
_HAN_WITHOUT_KANA = 6
"""So many Chinese characters without kana are no Japanese, but for names and headings."""
_WEIGHTS = {"Latin": 1.0, "Han": 4.0, "Hiragana": 4.0, "Katakana": 4.0, "Hangul": 4.0}
_OTHER_WEIGHT = 2.0
"""How much a letter counts. Names in Latin letters stand in texts of all scripts, hardly ever the reverse; a character
of Chinese, Japanese or Korean stands for a syllable."""


def main_scripts(texts: Sequence[str]) -> list[str]:
    """Unicode's name of each text's main script; '' where there is no letter. Kana make Han text Hiragana."""
    _, names = _script_table()
    return [names[place] for place in _counted(texts)[0].tolist()]


def _counted(texts: Sequence[str]) -> tuple[npt.NDArray[np.int64], Floats]:
    """Each text's main script, as its place in the list of scripts, and its letters, weighted."""
    if not texts:
        return np.empty(0, np.int64), np.empty(0, np.float32)
    script_of, names = _script_table()
    points, starts = code_points(texts)
    owners = np.repeat(np.arange(len(texts)) * len(names), np.diff(starts))
    cells = np.bincount(owners + script_of[points], minlength=len(texts) * len(names))
    counts = cells.reshape(len(texts), -1) * _weights()
    letters = counts.sum(1)
    han, hangul, *kana = (names.index(name) for name in ("Han", "Hangul", *_KANA))
    of_kana = counts[:, kana].sum(1)
    japanese = (of_kana > 0) & (of_kana >= _KANA_SHARE * (counts[:, han] + of_kana))
    for script, rows in ((kana[0], japanese), (hangul, ~japanese & (counts[:, hangul] > 0))):
        counts[rows, script] += counts[rows, han]
        counts[rows, han] = 0
    counts[:, kana[0]] += counts[:, kana[1]]
    counts[:, kana[1]] = 0
    return np.where(letters > 0, counts.argmax(1), 0), letters


def scripts_of(names: Sequence[str] | None) -> Booleans:
    """[code points]: whether it is a letter of one of the scripts; of any, where None is given."""
    script_of, known = _script_table()
    if names is None:
        return script_of > 0
    return np.isin(script_of, [known.index(name) for name in names])


class WrittenLanguages:
    """Which of some codes are written in a script; a code that the table lacks, in all of them."""

    def __init__(self, codes: Sequence[str]) -> None:
        written = _written_table()
        scripts = [written.get(code) for code in codes]
        rows = [[one is None or name in one or name == _NONE for one in scripts] for name in _script_table()[1]]
        self._fitting = np.array(rows, bool)
        self._japanese = np.array([one is not None and _KANA[0] in one for one in scripts], bool)

    def allowed(self, texts: Sequence[str]) -> Booleans:
        """[texts, codes]: whether the language is written in the text's main script; all where a text has no letter."""
        return self.allowed_and_letters(texts)[0]

    def allowed_and_letters(self, texts: Sequence[str]) -> tuple[Booleans, Floats]:
        """``allowed``, and the letters of each text: a Latin one counts 1, the others more [texts]."""
        scripts, letters = _counted(texts)
        fitting = self._fitting[scripts]
        han = _script_table()[1].index("Han")
        no_kana = (scripts == han) & (letters >= _HAN_WITHOUT_KANA * _WEIGHTS["Han"])
        fitting[np.ix_(no_kana, self._japanese)] = False
        return fitting, letters


@lru_cache(maxsize=1)
def _script_table() -> tuple[npt.NDArray[np.uint8], list[str]]:
    """Each code point's place in the list of scripts; place 0 is none."""
    ranges = [line.split("\t") for line in _lines("scripts.tsv")]
    names = [_NONE, *sorted({name for _, _, name in ranges})]
    place = {name: i for i, name in enumerate(names)}
    table = np.zeros(_ALL, np.uint8)
    for first, last, name in ranges:
        table[int(first, 16) : int(last, 16) + 1] = place[name]
    return table, names


@lru_cache(maxsize=1)
def _weights() -> Floats:
    return np.array([0.0, *(_WEIGHTS.get(name, _OTHER_WEIGHT) for name in _script_table()[1][1:])])


@lru_cache(maxsize=1)
def _written_table() -> dict[str, frozenset[str]]:
    rows = (line.split("\t") for line in _lines("written.tsv"))
    return {code: frozenset(scripts.split()) for code, scripts in rows}


def _lines(name: str) -> list[str]:
    lines = Path(__file__).with_name(name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]
