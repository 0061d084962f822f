"""Measures of a vocabulary: tokens by character over both splits, without those that end a text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tokenizer.measures import measures


def test_rates_are_of_all_encoded_text(tmp_path: Path) -> None:
    split = {"tokens": 60, "sentences": 10, "characters": 100, "unknown": 1}
    languages = {"de": {"train": split, "validation": split}, "en": {"train": {**split, "tokens": 30}}}
    (tmp_path / "sequences.json").write_text(json.dumps({"vocab_size": 12, "languages": languages}))
    (tmp_path / "scripts.json").write_text(json.dumps({"Latin": 9, "Greek": 3}))
    found = {one.name: one for one in measures({"tokenizer.encode": tmp_path, "tokenizer.train": tmp_path})}
    assert found["vocab_size"].value == 12
    assert found["latin_share"].value == 0.75
    assert found["tokens"].by == {"de": 100, "en": 20}
    assert found["tokens_per_character"].by == {"de": 0.5, "en": 0.2}
    assert found["tokens_per_character"].value == pytest.approx(120 / 300)
    assert found["unknown_share"].value == pytest.approx(3 / 120)
