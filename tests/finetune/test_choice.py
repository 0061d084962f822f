"""One model for all languages, or for each language the epoch and the rate with its own best dev score."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune.data.examples import Classification, TaskData
from finetune.protocol import chosen_runs
from finetune.stages import Encoders, Protocol, Recipe
from finetune.tables import make_table
from finetune.training import run as one_run
from finetune.training.comparison import Comparison
from finetune.training.epochs import Epoch, best_epoch_of, last_gain
from pipeline.context import Context
from pipeline.errors import XlmrError

SCORES = [{"en": 0.5, "sw": 0.3}, {"en": 0.8, "sw": 0.2}, {"en": 0.6, "sw": 0.4}, {"en": 0.7, "sw": 0.1}]
HISTORY = [Epoch(n, 1.0, 1.0, sum(s.values()) / 2, s) for n, s in enumerate(SCORES, 1)]


def test_last_gain_is_of_the_mean_or_of_any_language() -> None:
    assert [best_epoch_of(HISTORY, language) for language in ("en", "sw")] == [2, 3]
    assert [last_gain(HISTORY[:n], by_language=False) for n in range(5)] == [0, 1, 2, 2, 2]  # 0.5 twice: the first
    assert [last_gain(HISTORY[:n], by_language=True) for n in range(5)] == [0, 1, 2, 3, 3]


def run_of(rate: float, seed: int, dev: dict[str, float], test: dict[str, float]) -> dict[str, Any]:
    scores = {language: {"accuracy": value, "macro_f1": value} for language, value in test.items()}
    common = {"initialisation": "pretrained", "learning_rate": rate, "seed": seed, "dev_loss": 1.0}
    return {**common, "dev_score": sum(dev.values()) / len(dev), "dev_by_language": dev, "test": scores}


def test_each_language_has_its_own_rate() -> None:
    results = [
        run_of(1e-3, 1, {"en": 0.9, "sw": 0.1}, {"en": 0.8, "sw": 0.2}),
        run_of(1e-3, 2, {"en": 0.7, "sw": 0.1}, {"en": 0.6, "sw": 0.2}),
        run_of(1e-4, 1, {"en": 0.1, "sw": 0.5}, {"en": 0.1, "sw": 0.4}),
        run_of(1e-4, 2, {"en": 0.1, "sw": 0.5}, {"en": 0.1, "sw": 0.5}),
    ]
    first, second = chosen_runs(results)["pretrained"]
    assert (first["test"]["en"]["accuracy"], first["test"]["sw"]["accuracy"]) == (0.8, 0.4)
    assert (second["test"]["en"]["accuracy"], second["test"]["sw"]["accuracy"]) == (0.6, 0.5)
    shown = {"task": "xnli", "kind": "classification", "trained_on": ["en"], "chosen_on": ["en", "sw"], "runs": results}
    (row,) = [row for row in make_table("xnli", [{**shown, "chosen_by": "language"}]).rows if row.source == "ours"]
    assert "chosen on each language's own dev" in row.details
    assert row.scores["en"].startswith("70.0")
    assert row.scores["sw"].startswith("45.0")


def pages(words: str, labels: str) -> list[Classification]:
    return [
        Classification(str(n), word, None, label) for n, (word, label) in enumerate(zip(words, labels, strict=True))
    ]


def test_each_language_is_tested_at_its_own_epoch_and_after_an_interruption(
    export: Path, tmp_path: Path, context_of: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = TaskData(
        "opposite", "classification", ("x", "y"),
        {"en": pages("ab" * 12, "xy" * 12)},
        {"en": pages("abab", "xyxy"), "sw": pages("abab", "yxyx")},  # what helps one harms the other
        {"en": pages("abbb", "xyyy"), "sw": pages("aabb", "yyxx")},
    )  # fmt: skip
    recipe = Recipe(longest=8, batch=4, epochs=5, patience=9, learning_rates=(2e-3,), dtype="fp32")
    protocol = Protocol(seeds=(1,), initialisations=("pretrained",), choose="language")

    def results_in(output: Path) -> dict[str, Any]:
        Comparison(data, recipe, protocol, Encoders(export)).run(output, context_of(output))
        found: dict[str, Any] = json.loads((output / "results.json").read_text())
        return found

    whole = results_in(tmp_path / "whole")
    (run,) = whole["runs"]
    for language, epoch in run["epoch_by_language"].items():
        scores = [one["dev_scores"][language] for one in run["history"]]
        assert scores[epoch - 1] == max(scores) == run["dev_by_language"][language]
    assert run["epoch_by_language"]["en"] != run["epoch_by_language"]["sw"]
    with gzip.open(tmp_path / "whole" / "predictions.jsonl.gz", "rt") as handle:
        lines = [json.loads(line) for line in handle]
    for language in ("en", "sw"):
        right = [line["gold"] == line["predicted"] for line in lines if line["language"] == language]
        assert sum(right) / len(right) == run["test"][language]["accuracy"], "of the predictions that are kept"

    real, saved = one_run.write_json, []

    def stops_late(path: Path, values: Any) -> None:
        if path.name == "results.json" and not saved:
            saved.append(path)
            raise KeyboardInterrupt
        real(path, values)

    monkeypatch.setattr(one_run, "write_json", stops_late)
    with pytest.raises(KeyboardInterrupt):
        results_in(tmp_path / "cut")
    assert results_in(tmp_path / "cut") == whole


def test_language_without_dev_data_cannot_be_chosen_for(
    export: Path, tmp_path: Path, context_of: Callable[..., Context]
) -> None:
    one = pages("abab", "xyxy")
    data = TaskData("own", "classification", ("x", "y"), {"en": one}, {"en": one}, {"en": one, "sw": one})
    with pytest.raises(XlmrError, match=r"there is no dev data in sw to choose on; set finetune\.protocol\.choose"):
        Comparison(data, Recipe(longest=8), Protocol(choose="language"), Encoders(export)).run(
            tmp_path, context_of(tmp_path)
        )
