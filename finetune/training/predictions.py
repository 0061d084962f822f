"""predictions.jsonl.gz: the predictions of every run for every test example, with its text."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from finetune.data.examples import TaskData
from finetune.heads.kind import Kind, Prediction
from finetune.training.run import PREDICTED, RUNS
from pipeline.storage import atomic_write, read_json

PREDICTIONS = "predictions.jsonl.gz"


def write_predictions(data: TaskData, kind: Kind, output: Path, names: Sequence[str]) -> None:
    """A line for each run and test example: run, language, id, text, gold, predicted."""
    with atomic_write(output / PREDICTIONS) as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as handle:
        for name in names:
            for line in _prediction_lines(data, kind, name, read_json(output / RUNS / name / PREDICTED)):
                handle.write(line)


def _prediction_lines(
    data: TaskData, kind: Kind, run: str, predicted: Mapping[str, list[Prediction]]
) -> Iterator[bytes]:
    for language, found in predicted.items():
        for example, prediction in zip(data.test[language], found, strict=True):
            record = {"run": run, "language": language, "id": example.id, "gold": kind.gold(example)}
            yield (json.dumps(record | prediction | kind.text(example), ensure_ascii=False) + "\n").encode()
