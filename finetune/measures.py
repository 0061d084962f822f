"""What runs are compared by in this package: dev and test scores of each initialisation, and of what needs no model.

Dev scores are those that epoch and learning rate were chosen by. Test scores are for reports: a study that chooses
anything by them would not be able to report them any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from finetune.metrics import mean
from finetune.protocol import Spread, chosen_runs, over_seeds
from finetune.report import names_of, unseen
from pipeline.report.measures import Measure
from pipeline.storage import read_json

STAGES = ("finetune.help_pages", "finetune.task")
RESULTS = "results.json"


def measures(outputs: Mapping[str, Path]) -> list[Measure]:
    """Those of the help pages and of the task, where they are among ``outputs``."""
    return [
        measure
        for stage in STAGES
        if stage in outputs and (outputs[stage] / RESULTS).is_file()  # no task may have been asked for
        for measure in _of_results(stage, read_json(outputs[stage] / RESULTS))
    ]


def _of_results(stage: str, results: Mapping[str, Any]) -> Iterator[Measure]:
    metric = str(results["metric"]).partition("/")[0]
    away = unseen(dict(results))
    where = f"mean of {len(away)} languages not trained on" if away else "mean of the languages"
    chosen = chosen_runs(results["runs"])
    for name, runs in chosen.items():
        who = names_of(chosen)[name]
        if all("dev_score" in run for run in runs):
            dev = Spread.of([run["dev_score"] for run in runs])
            yield Measure(stage, f"dev_{name}", f"dev {metric}, {who}", dev.mean, spread=_over(runs, dev))
        languages = list(runs[0]["test"])
        by = {language: over_seeds(runs, [language], metric).mean for language in languages}
        test = over_seeds(runs, away or languages, metric)
        yield Measure(stage, f"test_{name}", f"test {metric}, {who}, {where}", test.mean, by, _over(runs, test))
    for name, scores in results.get("baselines", {}).items():
        by = {language: score[metric] for language, score in scores.items() if metric in score}
        if by:
            value = mean([by[language] for language in away or by])
            yield Measure(stage, f"test_{name}", f"test {metric}, {name}, {where}", value, by)


def _over(runs: list[Mapping[str, Any]], spread: Spread) -> float | None:
    return spread.deviation if len(runs) > 1 else None
