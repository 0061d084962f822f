"""The report's section about finetune.task: every score by language, beside what needs no model.

results.json of any kind of task -> one table, and what lies behind its numbers (``analysis_report``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from finetune.analysis_report import analysis
from finetune.protocol import chosen_runs, over_seeds
from pipeline.report.page import ReportSection, table
from pipeline.storage import read_json


def task_sections(outputs: Mapping[str, Path]) -> list[ReportSection]:
    """The section; none where the stage has not run or had no task."""
    output = outputs.get("finetune.task")
    if output is None or not (output / "results.json").is_file():
        return []
    results = read_json(output / "results.json")
    metrics = list(next(iter(results["runs"][0]["test"].values())))
    body = score_table(results, metrics) + analysis(output, results, pretraining_text(outputs))
    title = f"Fine-tuning: task {results['task']}"
    return [ReportSection(title, lead(results), body, stage="finetune.task")]


def pretraining_text(outputs: Mapping[str, Path]) -> Mapping[str, Any]:
    """``languages`` of tokenizer.encode's sequences.json; empty where that has not run."""
    encoded = outputs.get("tokenizer.encode")
    found: Mapping[str, Any] = read_json(encoded / "sequences.json")["languages"] if encoded is not None else {}
    return found


def lead(results: Mapping[str, Any]) -> str:
    """What was trained, chosen and tested on what."""
    count = {split: _texts(results, split) for split in ("train", "dev", "test")}
    seeds = len({run["seed"] for run in results["runs"]})
    return (
        f"Kind of task: {results['kind']}. Trained on {count['train']:,} examples in"
        f" {', '.join(results['trained_on'])}; epoch and learning rate chosen by {results['metric']} on"
        f" {count['dev']:,} in {', '.join(results['chosen_on'])}; tested once on {count['test']:,}."
        f" {seeds} seed{'s' * (seeds != 1)}.{head_line(results)}{cut_line(results)}{rows_line(results)}"
        f"{better_line(results)}"
    )


def head_line(results: Mapping[str, Any]) -> str:
    """Whether training started from a head that was there."""
    if "head" not in results:
        return ""
    if results["head"]["taken"]:
        return " Pretrained runs start from the head in the encoder's folder."
    return f" The head is new: {results['head']['why']}."


def cut_line(results: Mapping[str, Any]) -> str:
    """How many texts have as many tokens as are read, so that the rest of most of them is cut; windows are no texts."""
    full = sum(file["full"] for file in results["files"].values())
    if results["kind"] not in ("classification", "regression") or not full:
        return ""
    texts = sum(file["texts"] for file in results["files"].values())
    return f" {full:,} of {texts:,} texts fill finetune.recipe.longest: what they have beyond it is not read."


def better_line(results: Mapping[str, Any]) -> str:
    """Which baselines score higher than the first initialisation, and in which languages."""
    name, metric = results["runs"][0]["initialisation"], results["metric"]
    runs = chosen_runs(results["runs"])[name]
    said = ""
    for baseline, found in results["baselines"].items():
        scores = {language: score[metric] for language, score in found.items() if metric in score}
        above = [lang for lang, score in sorted(scores.items()) if score > over_seeds(runs, [lang], metric).mean]
        said += f" The baseline {baseline} is better than {name} in {', '.join(above)}." if above else ""
    return said


def rows_line(results: Mapping[str, Any]) -> str:
    """Which baseline has learnt from a part of the training texts."""
    learnt = results.get("baseline_rows", {}).items()
    return "".join(f" The baseline {name} is trained on {some:,} of {every:,} texts." for name, (some, every) in learnt)


def score_table(results: Mapping[str, Any], metrics: list[str]) -> Any:
    """A row for each language and score: every initialisation, then what needs no model."""
    runs, baselines = chosen_runs(results["runs"]), results["baselines"]
    languages = sorted(next(iter(runs.values()))[0]["test"])
    rows = []
    for language in languages:
        there = next(iter(runs.values()))[0]["test"][language]
        for metric in (name for name in metrics if name in there and not name.endswith("_threshold")):
            row: list[Any] = [
                language,
                metric,
                *(str(over_seeds(found, [language], metric)) for found in runs.values()),
            ]
            rows.append(row + [f"{100 * found[language][metric]:.1f}" for found in baselines.values()])
    headers = ["language", "score", *(f"{name}, %" for name in (*runs, *baselines))]
    return table(headers, rows, caption="Mean ± standard deviation over seeds.", folded=False)


def _texts(results: Mapping[str, Any], split: str) -> int:
    return sum(file["texts"] for name, file in results["files"].items() if name.startswith(f"{split}."))
