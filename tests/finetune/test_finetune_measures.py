"""Measures of a fine-tuning: dev and test of each initialisation over seeds, and the baselines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finetune.measures import measures


def _run(initialisation: str, seed: int, dev: float, en: float, de: float) -> dict[str, object]:
    test = {"en": {"accuracy": en}, "de": {"accuracy": de}}
    about = {"initialisation": initialisation, "learning_rate": 1e-3, "seed": seed}
    return {**about, "dev_score": dev, "dev_loss": 1.0, "test": test}


def test_scores_are_means_over_seeds_and_languages_not_trained_on(tmp_path: Path) -> None:
    results = {
        "metric": "accuracy",
        "trained_on": ["en"],
        "runs": [_run("pretrained", 1, 0.8, 0.7, 0.4), _run("pretrained", 2, 0.6, 0.9, 0.2)],
        "baselines": {"majority": {"en": {"accuracy": 0.3}, "de": {"accuracy": 0.1}}},
    }
    (tmp_path / "results.json").write_text(json.dumps(results))
    found = {one.full_name: one for one in measures({"finetune.help_pages": tmp_path})}
    dev, test = found["finetune.help_pages.dev_pretrained"], found["finetune.help_pages.test_pretrained"]
    assert (dev.value, dev.spread) == (pytest.approx(0.7), pytest.approx(0.1414, abs=1e-4))
    assert test.value == pytest.approx(0.3)
    assert test.by == {"en": pytest.approx(0.8), "de": pytest.approx(0.3)}
    assert found["finetune.help_pages.test_majority"].value == pytest.approx(0.1)
    assert measures({"finetune.task": tmp_path / "none"}) == [], "no task was asked for"
