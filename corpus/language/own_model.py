"""An identifier that ``xlmr corpus train-lid`` made: its fastText model, and the card that lies beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from corpus.language.fast_text import FastText
from corpus.language.model_file import own_model_path
from pipeline.errors import XlmrError
from pipeline.storage import atomic_write, read_json

CARD_VERSION = 1

_SIGNS = re.compile(
    "[\x00-@\\[-`{-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf×÷\u2000-\u200b\u200e-\u206f\u3000-\u303f！-＠]+"
)
"""Digits, punctuation and signs of ASCII, Latin-1 and the common blocks; not what joins letters (U+200C, U+200D)."""


def words_alone(text: str) -> str:
    """What our models see of a text: lower case, without punctuation and digits."""
    return _SIGNS.sub(" ", text.lower())


class OwnModel:
    """The model and its card. Errors: XlmrError where one of them is missing or they do not belong together."""

    def __init__(self, name: str) -> None:
        path = own_model_path(name)
        self.card = read_card(path)
        self._model = FastText(path)
        self.codes = sorted(self._model.labels)
        self._order = np.array([self._model.labels.index(code) for code in self.codes])

    def probabilities(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """[texts, codes]."""
        return self._model.probabilities([words_alone(text) for text in texts])[:, self._order]


def card_path(model: Path) -> Path:
    """The card of a model file."""
    return model.with_suffix(".json")


def read_card(model: Path) -> Mapping[str, Any]:
    """The card of a model file. Errors: XlmrError where there is none."""
    if not card_path(model).is_file():
        raise XlmrError(
            f"{card_path(model)}: no such card, so {model.name} cannot be combined",
            "language_id.own_model takes what `xlmr corpus train-lid` made; others go to language_id.model",
        )
    card = read_json(card_path(model))
    if not isinstance(card, dict) or card.get("card_version") != CARD_VERSION:
        raise XlmrError(f"{card_path(model)}: not a card of this version", "train it again: xlmr corpus train-lid")
    return card


def write_card(model: Path, card: Mapping[str, Any]) -> None:
    """Write the card of a model file: JSON, an entry of a section a line."""
    sections = []
    for name, section in card.items():
        if isinstance(section, Mapping):
            entries = ",\n".join(f"  {json.dumps(key)}: {_compact(value)}" for key, value in section.items())
            sections.append(f" {json.dumps(name)}: {{\n{entries}\n }}")
        else:
            sections.append(f" {json.dumps(name)}: {_compact(section)}")
    with atomic_write(card_path(model), "w") as handle:
        handle.write("{\n" + ",\n".join(sections) + "\n}\n")


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
