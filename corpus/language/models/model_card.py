"""The card of an identifier of our own: its training text, its accuracy, and its combination with another."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import XlmrError
from pipeline.storage import atomic_write, read_json

CARD_VERSION = 5


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
