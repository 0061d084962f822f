"""The main script of a text, and the languages that are written in it.

An identifier that has learnt Latin letters finds a language in the one Latin word of a Chinese line. A language may be
predicted only if it is written in the text's main script. Counting is over arrays of code points.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from corpus.language.characters import code_points
from corpus.language.labels import TABLES

Booleans = npt.NDArray[np.bool_]

_ALL = 0x110000
_NONE = ""
"""The script of what has no letters: digits, punctuation, signs."""
_KANA = ("Hiragana", "Katakana")
_KANA_SHARE = 0.1
"""Of Chinese characters and kana together: with fewer kana, a text may be Chinese that names something Japanese."""
_WEIGHTS = {"Latin": 1.0, "Han": 4.0, "Hiragana": 4.0, "Katakana": 4.0, "Hangul": 4.0}
_OTHER_WEIGHT = 2.0
"""How much a letter counts. Names in Latin letters stand in texts of all scripts, hardly ever the reverse; a character
of Chinese, Japanese or Korean stands for a syllable."""


def main_scripts(texts: Sequence[str]) -> list[str]:
    """Unicode's name of each text's main script; '' where there is no letter. Kana make Han text Hiragana."""
    if not texts:
        return []
    script_of, names = _script_table()
    points, starts = code_points(texts)
    owners = np.repeat(np.arange(len(texts)), np.diff(starts))
    weights = np.array([0.0, *(_WEIGHTS.get(name, _OTHER_WEIGHT) for name in names[1:])])
    cells = owners * len(names) + script_of[points]
    counts = np.bincount(cells, minlength=len(texts) * len(names)).reshape(len(texts), -1) * weights
    han, hangul, *kana = (names.index(name) for name in ("Han", "Hangul", *_KANA))
    of_kana = counts[:, kana].sum(1)
    japanese = (of_kana > 0) & (of_kana >= _KANA_SHARE * (counts[:, han] + of_kana))
    for script, rows in ((kana[0], japanese), (hangul, ~japanese & (counts[:, hangul] > 0))):
        counts[rows, script] += counts[rows, han]
        counts[rows, han] = 0
    counts[:, kana[0]] += counts[:, kana[1]]
    counts[:, kana[1]] = 0
    best = np.where(counts.max(1, initial=0) > 0, counts.argmax(1), 0)
    return [names[place] for place in best.tolist()]


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
        self._scripts = [written.get(code) for code in codes]
        self._known: dict[str, Booleans] = {}

    def allowed(self, texts: Sequence[str]) -> Booleans:
        """[texts, codes]: whether the language is written in the text's main script; all where a text has no letter."""
        if not texts:
            return np.empty((0, len(self._scripts)), bool)
        return np.stack([self._row(script) for script in main_scripts(texts)])

    def _row(self, script: str) -> Booleans:
        if script not in self._known:
            fits = [scripts is None or script in scripts or script == _NONE for scripts in self._scripts]
            self._known[script] = np.array(fits)
        return self._known[script]


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
def _written_table() -> dict[str, frozenset[str]]:
    rows = (line.split("\t") for line in _lines("written.tsv"))
    return {code: frozenset(scripts.split()) for code, scripts in rows}


def _lines(name: str) -> list[str]:
    lines = (TABLES / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]
