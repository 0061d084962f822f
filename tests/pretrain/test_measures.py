"""Measures of a training: the last validation, and the same in a unit that does not depend on the vocabulary."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pretrain.measures import measures


def test_a_loss_by_token_becomes_one_by_character(tmp_path: Path) -> None:
    train, encode = tmp_path / "train", tmp_path / "encode"
    train.mkdir()
    encode.mkdir()
    records = [
        {"step": 5, "loss": 9.0, "tokens": 640},
        {"step": 5, "validation_loss": 8.0, "by_language": {"de": 8.0, "sw": 8.0}},
        {"step": 10, "validation_loss": 5.0, "by_language": {"de": 4.0, "sw": 6.0}},
    ]
    (train / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    of_german = {"tokens": 110, "sentences": 10, "characters": 400}
    listing = {"languages": {"de": {"validation": of_german}, "sw": {"validation": {"characters": 0}}}}
    (encode / "sequences.json").write_text(json.dumps(listing))
    found = {one.name: one for one in measures({"pretrain.train": train, "tokenizer.encode": encode})}
    assert found["validation_loss"].value == 5.0
    assert found["validation_loss"].by == {"de": 4.0, "sw": 6.0}
    assert found["validation_loss"].curve == [(5, 8.0), (10, 5.0)]
    assert found["nats_per_character"].by == {"de": pytest.approx(4.0 * 100 / 400)}
    assert found["nats_per_character"].value == pytest.approx(1.0)
    assert found["tokens_seen"].value == 640
    assert measures({"tokenizer.encode": encode}) == []
