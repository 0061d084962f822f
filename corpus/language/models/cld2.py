"""Compact Language Detector 2, which Chrome had, as one of the identifiers that are combined.

It counts groups of four letters and whole words of 83 languages (160 with its smaller tables), and has learnt them from
web pages; fastText's identifiers have not, so it is right about other texts than these. Its answers are evidence only
through its confusion matrix (corpus.language.combination.rule): no setting of it matters but that it always guesses.

Source: CLD2Owners/cld2, as pycld2 packs it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt
import pycld2

from corpus.language.labels import NO_LANGUAGE, load_table
from corpus.language.settings import CC100

Floats = npt.NDArray[np.float32]

OTHER_NAMES = {"iw": "he", "jw": "jv", "sr-ME": "sr"}
"""CLD2's names of languages that the table of CC100's codes lacks."""
_NAMES = OTHER_NAMES | {"zh-Hant": "zh"}
"""Of labels that are evidence: characters decide the script of zh."""
_ENDS = "".join(chr(plane << 16 | end) for plane in range(17) for end in (0xFFFE, 0xFFFF))
_REFUSED = re.compile(f"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef{_ENDS}]")
"""Control characters and code points that are no characters: it takes them for damaged UTF-8."""


class Cld2:
    """CLD2 under CC100's codes. ``known``: the codes of the other identifiers; all else that it says is ``zxx``."""

    def __init__(self, known: Collection[str]) -> None:
        table = load_table(CC100)
        named = {label: _NAMES.get(label, table.get(label, label)) for _, label in pycld2.LANGUAGES}
        codes = {label: code if code in known else NO_LANGUAGE for label, code in named.items()}
        self.codes = [*sorted(set(codes.values()) - {NO_LANGUAGE}), NO_LANGUAGE]
        places = {code: place for place, code in enumerate(self.codes)}
        self._places = {label: places[code] for label, code in codes.items()}
        self._nothing = places[NO_LANGUAGE]

    def probabilities(self, texts: Sequence[str]) -> Floats:
        """[texts, codes]: the shares of a text that are in the three languages which it names; ``zxx`` for none."""
        named = [
            (row, self._places.get(label, self._nothing), percent)
            for row, text in enumerate(texts)
            for _, label, percent, _ in _detected(text)
            if percent
        ]
        found = np.zeros((len(texts), len(self.codes)), np.float32)
        if named:
            rows, places, percents = zip(*named, strict=True)
            np.add.at(found, (rows, places), percents)
        total = found.sum(1)
        found[total == 0, self._nothing] = total[total == 0] = 1
        return found / total[:, None]


def _detected(text: str) -> Sequence[tuple[str, str, int, float]]:
    """(name, label, percent of the text, score) of three languages; ``un`` with 0 percent where there are fewer."""
    try:
        languages: Sequence[tuple[str, str, int, float]] = pycld2.detect(text, isPlainText=True, bestEffort=True)[2]
    except pycld2.error:
        languages = pycld2.detect(_REFUSED.sub(" ", text), isPlainText=True, bestEffort=True)[2]
    return languages
