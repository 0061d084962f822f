"""The report's section about finetune.task: every score by language, beside what needs no model.

results.json of any kind of task -> one table and a few examples that the kept model had wrong.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from finetune.protocol import chosen_runs, over_seeds
from pipeline.report import ReportSection, table
from pipeline.storage import read_json

SHOWN = 8
"""Examples."""

LONGEST = 160
"""Characters of an example's text."""


def task_sections(outputs: Mapping[str, Path]) -> list[ReportSection]:
    """The section; none where the stage has not run or had no task."""
    output = outputs.get("finetune.task")
    if output is None or not (output / "results.json").is_file():
        return []
    results = read_json(output / "results.json")
    metrics = list(next(iter(results["runs"][0]["test"].values())))
    body = score_table(results, metrics) + wrong_examples(output, results["model"])
    return [ReportSection(f"Fine-tuning: task {results['task']}", lead(results), body)]


def lead(results: Mapping[str, Any]) -> str:
    """What was trained, chosen and tested on what."""
    count = {split: _texts(results, split) for split in ("train", "dev", "test")}
    seeds = len({run["seed"] for run in results["runs"]})
    return (
        f"Kind of task: {results['kind']}. Trained on {count['train']:,} examples in"
        f" {', '.join(results['trained_on'])}; epoch and learning rate chosen by {results['metric']} on"
        f" {count['dev']:,} in {', '.join(results['chosen_on'])}; tested once on {count['test']:,}."
        f" {seeds} seed{'s' * (seeds != 1)}."
    )


def score_table(results: Mapping[str, Any], metrics: list[str]) -> Any:
    """A row for each language and score: every initialisation, then what needs no model."""
    runs, baselines = chosen_runs(results["runs"]), results["baselines"]
    languages = sorted(next(iter(runs.values()))[0]["test"])
    rows = []
    for language in languages:
        for metric in metrics:
            row: list[Any] = [
                language,
                metric,
                *(str(over_seeds(found, [language], metric)) for found in runs.values()),
            ]
            rows.append(row + [f"{100 * found[language][metric]:.1f}" for found in baselines.values()])
    headers = ["language", "score", *(f"{name}, %" for name in (*runs, *baselines))]
    return table(headers, rows, caption="Mean ± standard deviation over seeds.", folded=False)


def wrong_examples(output: Path, run: str) -> Any:
    """The first test examples that the kept model had wrong."""
    with gzip.open(output / "predictions.jsonl.gz", "rt", encoding="utf-8") as handle:
        lines = (json.loads(line) for line in handle)
        wrong = list(islice((one for one in lines if one["run"] == run and _is_wrong(one)), SHOWN))
    rows = [[one["language"], one["id"], _text(one), _short(one["gold"]), _short(one["predicted"])] for one in wrong]
    headers = ["language", "example", "text", "right", "said"]
    return table(headers, rows, caption="The first test examples that the kept model has wrong.", folded=True)


def _is_wrong(one: Mapping[str, Any]) -> bool:
    if "question" in one:
        return one["predicted"] not in one["gold"]
    return one["gold"] != one["predicted"]


def _text(one: Mapping[str, Any]) -> str:
    return _short(one.get("question") or one.get("words") or f"{one['text']} {one.get('pair', '')}")


def _short(value: Any) -> str:
    text = " ".join(value) if isinstance(value, list) else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _texts(results: Mapping[str, Any], split: str) -> int:
    return sum(file["texts"] for name, file in results["files"].items() if name.startswith(f"{split}."))
