"""Stage finetune.help_pages: which module of an office suite a help page is about; trained on English, tested in all.

Labelled files and pretrain.export's folder -> results.json, predictions.jsonl.gz, model/ (the best on dev).
"""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from finetune.baselines import majority_class, majority_scores, starting_encoder
from finetune.classification import SequenceClassifier
from finetune.encoding import ENCODED, Encoded, encode_task, read_encoded, write_encoded
from finetune.folder import save_classifier
from finetune.loop import fine_tune, limited_threads, predict_classes
from finetune.metrics import score
from finetune.protocol import Run, best_run, choose_learning_rates, chosen_runs, over_seeds, runs_of
from finetune.stages import HelpPagesConfig, Recipe
from finetune.tasks import Task, read_task
from pipeline.context import Context
from pipeline.counts import Counts
from pipeline.errors import XlmrError
from pipeline.shards import ShardReport
from pipeline.stage import Inputs
from pipeline.storage import atomic_write, read_json, write_json
from pretrain.folder import PIECES, read_config
from tokenizer.pieces import Tokenizer

SPLITS = ("train", "dev", "test")
RESULTS, PREDICTIONS, MODEL, RUNS = "results.json", "predictions.jsonl.gz", "model", "runs"


@dataclass(frozen=True)
class RunShard:
    """What one run is given: paths and plain values only, for it may run in another process."""

    run: Run
    recipe: Recipe
    labels: list[str]
    encoder: Path
    encoded: Path


def run(config: HelpPagesConfig, inputs: Inputs, output: Path, context: Context) -> Counts:
    """The stage. Errors: XlmrError for labelled files or settings that do not fit."""
    folder, recipe = inputs["pretrain.export"], config.recipe
    _check_length(recipe, folder)
    task = read_task(config.help_pages)
    for name, count in task.seen_texts().items():
        context.warn(f"{count} texts of {name} stand in a training file, word for word")
    encoded, counts = encode_task(task, Tokenizer.load(folder), recipe.longest, max(1, context.workers))
    write_encoded(encoded, output / ENCODED)
    runs = runs_of(config.protocol, recipe)
    shards = {one.name: RunShard(one, recipe, task.labels, folder, output / ENCODED) for one in runs}
    context.map_shards(fine_tune_shard, shards)
    results = [read_json(output / RUNS / one.name / RESULTS) for one in runs]
    kept = best_run(results, config.protocol.initialisations[0])["name"]
    write_json(output / RESULTS, _summary(task, encoded, counts, results, kept))
    _write_predictions(task, output, [one.name for one in runs])
    _keep_model(output, kept, [one.name for one in runs])
    return _counts(task, counts, results)


def fine_tune_shard(shard: RunShard, workspace: Path) -> ShardReport:
    """One run: fine-tune, test in every language, write results, predicted classes and the model."""
    encoded = read_encoded(shard.encoded)
    one, folder = shard.run, workspace / RUNS / shard.run.name
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with limited_threads(shard.recipe.threads):
        encoder = starting_encoder(shard.encoder, one.initialisation, one.seed)
        torch.manual_seed(one.seed)  # the head's weights
        model = SequenceClassifier(encoder, len(shard.labels), shard.recipe.dropout).to(device)
        train = Encoded.joined(list(_split(encoded, "train").values()))
        outcome = fine_tune(model, train, _split(encoded, "dev"), shard.recipe, one.learning_rate, one.seed)
        test = _split(encoded, "test")
        predicted = {language: predict_classes(model, texts, shard.recipe) for language, texts in test.items()}
    results = {
        "name": one.name,
        "initialisation": one.initialisation,
        "learning_rate": one.learning_rate,
        "seed": one.seed,
        "epoch": outcome.best.epoch,
        "dev_accuracy": outcome.best.dev_accuracy,
        "dev_loss": outcome.best.dev_loss,
        "history": [epoch.as_json() for epoch in outcome.history],
        "test": {language: score(test[language].classes, classes) for language, classes in predicted.items()},
    }
    save_classifier(model, shard.labels, shard.recipe.longest, shard.encoder / PIECES, folder / MODEL)
    write_json(folder / RESULTS, results)
    write_json(folder / "predicted.json", {language: classes.tolist() for language, classes in predicted.items()})
    return ShardReport({"epochs": len(outcome.history)})


def _check_length(recipe: Recipe, folder: Path) -> None:
    most = read_config(folder).longest_sample
    if recipe.longest > most:
        raise XlmrError(
            f"texts of {recipe.longest} pieces are asked for, the model reads {most}",
            f"set finetune.recipe.longest to {most} or less",
        )


def _split(encoded: Mapping[str, Encoded], split: str) -> dict[str, Encoded]:
    """Language -> texts."""
    return {n.partition(".")[2]: texts for n, texts in encoded.items() if n.startswith(f"{split}.")}


def _summary(
    task: Task,
    encoded: Mapping[str, Encoded],
    counts: Mapping[str, Mapping[str, int]],
    results: list[dict[str, Any]],
    kept: str,
) -> dict[str, Any]:
    train = Encoded.joined(list(_split(encoded, "train").values()))
    test = _split(encoded, "test")
    return {
        "labels": task.labels,
        "trained_on": sorted(task.train),
        "chosen_on": sorted(task.dev),
        "files": counts,
        "learning_rates": choose_learning_rates(results),
        "majority": {
            "label": task.labels[majority_class(train.classes)],
            "test": {language: majority_scores(train.classes, texts.classes) for language, texts in test.items()},
        },
        "model": kept,
        "runs": results,
    }


def _write_predictions(task: Task, output: Path, names: Sequence[str]) -> None:
    """A line for each run and test text: run, language, id, gold, predicted."""
    with atomic_write(output / PREDICTIONS) as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as handle:
        for name in names:
            for line in _prediction_lines(task, name, read_json(output / RUNS / name / "predicted.json")):
                handle.write(line)


def _prediction_lines(task: Task, run: str, predicted: Mapping[str, list[int]]) -> Iterator[bytes]:
    for language, classes in predicted.items():
        for example, number in zip(task.test[language], classes, strict=True):
            record = {"run": run, "language": language, "id": example.id, "gold": example.label}
            yield (json.dumps(record | {"predicted": task.labels[number]}, ensure_ascii=False) + "\n").encode()


def _keep_model(output: Path, kept: str, names: Sequence[str]) -> None:
    """The best run's model becomes model/; then the others' go, for they are as large. The last act of the stage."""
    shutil.rmtree(output / MODEL, ignore_errors=True)
    shutil.copytree(output / RUNS / kept / MODEL, output / MODEL)
    for name in names:
        shutil.rmtree(output / RUNS / name / MODEL)


def _counts(task: Task, counts: Mapping[str, Mapping[str, int]], results: list[dict[str, Any]]) -> Counts:
    away = [language for language in task.test if language not in task.train]
    texts = {
        split: sum(one["texts"] for name, one in counts.items() if name.startswith(f"{split}.")) for split in SPLITS
    }
    found: Counts = {
        "runs": len(results),
        "labels": len(task.labels),
        "languages": len(task.test),
        "texts": texts,
    }
    for name, runs in chosen_runs(results).items():
        if away:
            found[f"accuracy_{name}"] = round(over_seeds(runs, away).mean, 4)
    return found
