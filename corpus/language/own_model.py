"""An identifier that ``xlmr corpus train-lid`` made: its fastText model, and the card that lies beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from corpus.language.fast_text import FastText
from corpus.language.model_card import read_card
from corpus.language.model_file import own_model_path

_SIGNS = re.compile(
    "[\x00-@\\[-`{-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf×÷\u2000-\u200b\u200e-\u206f\u3000-\u303f！-＠]+"
)
"""Digits, punctuation and signs of ASCII, Latin-1 and the common blocks; not what joins letters (U+200C, U+200D)."""


def words_alone(text: str) -> str:
    """What our models see of a text: lower case, without punctuation and digits."""
    lowered = text.lower()
    return _SIGNS.sub(" ", lowered if lowered.isascii() else lowered.replace("i\u0307", "i"))


class OwnModel:
    """The model and its card. Errors: XlmrError where one of them is missing or they do not match."""

    def __init__(self, name: str) -> None:
        path = own_model_path(name)
        self.card = read_card(path)
        self._model = FastText(path)
        self.codes = sorted(self._model.labels)
        self._order = np.array([self._model.labels.index(code) for code in self.codes])

    def probabilities(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """[texts, codes]."""
        return self._model.probabilities([words_alone(text) for text in texts])[:, self._order]
