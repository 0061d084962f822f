"""What every fine-tuning stage does: encode once, run every (initialisation, learning rate, seed), test, keep the best.

TaskData and pretrain.export's folder -> results.json, predictions.jsonl.gz, model/ (the best run's on dev).
"""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from finetune.crew import fine_tune_together
from finetune.data.examples import TaskData
from finetune.folder import why_new_head
from finetune.heads.kinds import KINDS, Kind, Prediction
from finetune.protocol import best_run, choose_learning_rates, chosen_runs, over_seeds, runs_of
from finetune.stages import Protocol, Recipe
from finetune.training.baselines import baselines_of, score_baselines
from finetune.training.devices import runs_at_once
from finetune.training.encoding import ENCODED, counts_of, write_encoded
from finetune.training.held_out import HELD_OUT, write_held_out
from finetune.training.run import CHECKPOINTS, MODEL, PREDICTED, RESULTS, RUNS, SPLITS, RunShard, fine_tune_shard
from pipeline.context import Context
from pipeline.counts import Counts
from pipeline.errors import XlmrError
from pipeline.storage import atomic_write, read_json, write_json
from pretrain.folder import read_config
from pretrain.ranks.together import current_crew
from tokenizer.pieces import Tokenizer

PREDICTIONS = "predictions.jsonl.gz"

MEASURED = 100
"""Test examples of a language whose pieces and words are counted."""


def compare(
    data: TaskData,
    recipe: Recipe,
    protocol: Protocol,
    encoder: Path,
    output: Path,
    context: Context,
    take_head: bool = True,
) -> Counts:
    """Fine-tune and test every run of the protocol, with the head in the encoder's folder if that fits.

    Errors: XlmrError for settings or files that do not fit.
    """
    kind = KINDS[data.kind](tuple(data.labels), recipe, data.name)
    _check(data, recipe, encoder)
    if protocol.choose == "language" and (without := [lang for lang in data.test if lang not in data.dev]):
        raise XlmrError(
            f"task {data.name}: there is no dev data in {', '.join(without)} to choose on",
            "set finetune.protocol.choose to joint, or leave these languages out",
        )
    for line in _seen_texts(data, kind):
        context.warn(line)
    tokenizer = Tokenizer.load(encoder)
    encoded = {f"{s}.{lang}": kind.encode(e, tokenizer, max(1, context.workers)) for s, lang, e in data.splits()}
    write_encoded(encoded, output / ENCODED)
    write_held_out(data, output / HELD_OUT)
    new_head = why_new_head(encoder, kind) if take_head else "finetune.encoder.head says so"
    context.log.event("head", stage=context.stage, taken=not new_head, why=new_head)
    runs = runs_of(protocol, recipe)
    by_language = protocol.choose == "language"
    shards = {
        one.name: RunShard(
            one, recipe, data.kind, data.name, tuple(data.labels), encoder, output, by_language, not new_head
        )
        for one in runs
    }
    crew = current_crew()
    if crew is None:
        context.map_shards(fine_tune_shard, shards, at_once=runs_at_once(recipe.runs_on_a_gpu))
    else:
        fine_tune_together(crew, list(shards.values()), context)
    shutil.rmtree(output / CHECKPOINTS, ignore_errors=True)
    results = [read_json(output / RUNS / one.name / RESULTS) for one in runs]
    kept = best_run(results, protocol.initialisations[0])["name"]
    counts = {name: counts_of(one, recipe.longest) for name, one in encoded.items()}
    text = {language: text_counts(kind, examples, tokenizer) for language, examples in data.test.items()}
    told = summary(data, kind, counts, results, kept) | _baselines(data, kind, protocol, context)
    write_json(output / RESULTS, told | {"head": {"taken": not new_head, "why": new_head}, "text": text})
    _write_predictions(data, kind, output, [one.name for one in runs])
    _keep_model(output, kept, [one.name for one in runs])
    return _counts(data, kind, results)


def _check(data: TaskData, recipe: Recipe, folder: Path) -> None:
    most = read_config(folder).longest_sample
    if recipe.longest > most:
        raise XlmrError(
            f"texts of {recipe.longest} pieces are asked for, the model reads {most}",
            f"set finetune.recipe.longest to {most} or less",
        )
    shared = recipe.tensor_parallel
    if shared > 1 and current_crew() is None:
        raise XlmrError(
            f"finetune.recipe.tensor_parallel is {shared}, and this is one process",
            f"start python -m finetune --ranks {shared} run CONFIG",
        )
    if data.kind == "span" and recipe.longest < recipe.longest_question + 8:
        raise XlmrError(
            f"windows of {recipe.longest} pieces leave no room beside questions of {recipe.longest_question}",
            "set finetune.recipe.longest_question lower",
        )
    for split in SPLITS:
        if not getattr(data, split):
            raise XlmrError(f"task {data.name}: there are no {split} examples", "check finetune.task and its files")
    size, rows = Tokenizer.load(folder).vocabulary_size, read_config(folder).vocabulary_rows
    if size > rows:
        raise XlmrError(f"{folder}: the tokenizer has {size:,} pieces, the model {rows:,}", "they are not of one model")


def _seen_texts(data: TaskData, kind: Kind) -> Iterator[str]:
    """A line for each held-out file with texts that stand in a training file, word for word."""
    known = {_key(kind, example) for examples in data.train.values() for example in examples}
    for split, language, examples in data.splits():
        seen = sum(_key(kind, example) in known for example in examples) if split != "train" else 0
        if seen:
            yield f"{seen} texts of {split}.{language} stand in a training file, word for word"


def _key(kind: Kind, example: Any) -> str:
    return json.dumps(kind.text(example))


def text_counts(kind: Kind, examples: Sequence[Any], tokenizer: Tokenizer) -> dict[str, int]:
    """Pieces, words between white space and characters of some texts, none of them cut."""
    texts = [
        " ".join(value) if isinstance(value, list) else value
        for example in examples[:MEASURED]
        for value in kind.text(example).values()
    ]
    return {
        "pieces": sum(map(len, tokenizer.encode_batch(texts))),
        "words": sum(len(text.split()) for text in texts),
        "characters": sum(map(len, texts)),
    }


def summary(
    data: TaskData, kind: Kind, counts: Mapping[str, Mapping[str, int]], results: list[dict[str, Any]], kept: str
) -> dict[str, Any]:
    """results.json: what was compared with what, and every run."""
    return {
        "task": data.name,
        "kind": data.kind,
        "metric": kind.metric,
        "labels": list(data.labels),
        "trained_on": sorted(data.train),
        "chosen_on": sorted(data.dev),
        "chosen_by": "language" if "dev_by_language" in results[0] else "joint",
        "files": counts,
        "learning_rates": choose_learning_rates(results),
        "model": kept,
        "runs": results,
    }


def _baselines(data: TaskData, kind: Kind, protocol: Protocol, context: Context) -> dict[str, Any]:
    """The same of what needs no model, and of how many training texts each has learnt from fewer than all."""
    if not protocol.baselines:
        return {"baselines": {}}
    every = [example for examples in data.train.values() for example in examples]
    with context.progress("baselines", len(baselines_of(data.kind)), "baselines") as bar:
        scores, learnt = score_baselines(
            every, data.test, kind, protocol.baseline_rows, lambda name: bar.advance(1, f"{name} is scored")
        )
    found: dict[str, Any] = {"baselines": scores, "baseline_rows": learnt}
    if "majority" in scores:
        label = baselines_of(data.kind)["majority"](every, every[:1])[0]["predicted"]
        found["majority"] = {"label": label, "test": scores["majority"]}
    return found


def _write_predictions(data: TaskData, kind: Kind, output: Path, names: Sequence[str]) -> None:
    """A line for each run and test example: run, language, id, text, gold, predicted."""
    with atomic_write(output / PREDICTIONS) as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as handle:
        for name in names:
            for line in _prediction_lines(data, kind, name, read_json(output / RUNS / name / PREDICTED)):
                handle.write(line)


def _prediction_lines(
    data: TaskData, kind: Kind, run: str, predicted: Mapping[str, list[Prediction]]
) -> Iterator[bytes]:
    for language, found in predicted.items():
        for example, said in zip(data.test[language], found, strict=True):
            record = {"run": run, "language": language, "id": example.id, "gold": kind.gold(example)}
            yield (json.dumps(record | said | kind.text(example), ensure_ascii=False) + "\n").encode()


def _keep_model(output: Path, kept: str, names: Sequence[str]) -> None:
    """The best run's model becomes model/; then the others' go, for they are as large. The last act of the stage."""
    shutil.rmtree(output / MODEL, ignore_errors=True)
    shutil.copytree(output / RUNS / kept / MODEL, output / MODEL)
    for name in names:
        shutil.rmtree(output / RUNS / name / MODEL)


def _counts(data: TaskData, kind: Kind, results: list[dict[str, Any]]) -> Counts:
    away = [language for language in data.test if language not in data.train]
    texts = {split: sum(map(len, getattr(data, split).values())) for split in SPLITS}
    found: Counts = {"runs": len(results), "labels": len(data.labels), "languages": len(data.test), "texts": texts}
    for name, runs in chosen_runs(results).items():
        found[f"{kind.metric}_{name}"] = round(over_seeds(runs, away or list(data.test), kind.metric).mean, 4)
    return found
