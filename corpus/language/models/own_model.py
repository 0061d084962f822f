"""An identifier that ``xlmr corpus train-lid`` made: its fastText model, and the card that lies beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus.language.model_file import own_model_path
from corpus.language.models.fast_text import FastText
from corpus.language.models.merged_labels import MergedLabels
from corpus.language.models.model_card import read_card

_SIGNS = re.compile(
    "[\x00-@\\[-`{-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf×÷\u2000-\u200b\u200e-\u206f\u3000-\u303f！-＠]+"
)
"""Digits, punctuation and signs of ASCII, Latin-1 and the common blocks; not what joins letters (U+200C, U+200D)."""


def words_alone(text: str) -> str:
    """What our models see of a text: lower case, without punctuation and digits."""
    lowered = text.lower()
    return _SIGNS.sub(" ", lowered if lowered.isascii() else lowered.replace("i\u0307", "i"))


@lru_cache(maxsize=1)
def _without_signs() -> npt.NDArray[np.uint32]:
    """[code points]: itself, or a space for a sign that ``words_alone`` removes; a newline stays."""
    table = np.arange(0x110000, dtype=np.uint32)
    for point in range(0x10000):
        if point != ord("\n") and _SIGNS.match(chr(point)):
            table[point] = ord(" ")
    return table


def in_words_alone(texts: Sequence[str]) -> pa.LargeStringArray:
    """``words_alone`` of each text, of all at once over arrays of code points: the same words, with more spaces."""
    joined = "\n".join(texts)
    if joined.count("\n") != len(texts) - 1:  # a text has newlines of its own
        return pa.array(map(words_alone, texts), pa.large_string())
    joined = joined.lower()
    if not joined.isascii():
        joined = joined.replace("i\u0307", "i")
    points = np.frombuffer(joined.encode("utf-32-le"), np.uint32)
    letters = _without_signs()[points].tobytes().decode("utf-32-le").encode()
    ends = np.flatnonzero(np.frombuffer(letters, np.uint8) == ord("\n"))
    # A newline belongs to the text before it, as one more space.
    offsets = np.concatenate([[0], ends + 1, [len(letters)]])
    return pa.LargeStringArray.from_buffers(len(texts), pa.py_buffer(offsets), pa.py_buffer(letters))


_OTHER_SCRIPT = re.compile("-(Latn|Cyrl|Arab)$")


def code_of(label: str) -> str:
    """The code of a label: ``sr-Latn``, which is learnt as a language of its own, is text in sr."""
    return _OTHER_SCRIPT.sub("", label)


class OwnModel:
    """The model and its card. Labels of one code are one, their probabilities added.

    Errors: XlmrError where one of them is missing or they do not match.
    """

    def __init__(self, name: str) -> None:
        path = own_model_path(name)
        self.card = read_card(path)
        self._model = FastText(path)
        self._merged = MergedLabels(list(map(code_of, self._model.labels)))
        self.codes = self._merged.codes

    def probabilities(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """[texts, codes]."""
        return self._merged.sums(self._model.probabilities(in_words_alone(texts)))
