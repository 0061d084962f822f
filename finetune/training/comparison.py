"""What every fine-tuning stage does: encode once, run every (initialisation, learning rate, seed), test, keep the best.

TaskData and pretrain.export's folder -> results.json, predictions.jsonl.gz, model/ (the best run's on dev).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from finetune.choices import USUAL
from finetune.data.examples import TaskData
from finetune.folder import why_new_head
from finetune.heads.encoding import ENCODED, counts_of, write_encoded
from finetune.heads.kind import Kind
from finetune.heads.kinds import KINDS
from finetune.model_card import write_card
from finetune.protocol import best_run, choose_learning_rates, chosen_runs, over_seeds, runs_of
from finetune.stages import Encoders, Protocol, Recipe
from finetune.training.baselines import baselines_of, score_baselines
from finetune.training.checks import check, check_metric, learnt_nothing, seen_texts
from finetune.training.collectives import fine_tune_by_all_ranks
from finetune.training.devices import runs_at_once
from finetune.training.held_out import HELD_OUT, write_held_out
from finetune.training.predictions import write_predictions
from finetune.training.run import CHECKPOINTS, MODEL, RESULTS, RUNS, SPLITS, RunShard, fine_tune_shard
from pipeline.context import Context
from pipeline.counts import Counts
from pipeline.storage import read_json, write_json
from pretrain.ranks.collectives import current_rank_group
from tokenizer.pieces import Tokenizer

MEASURED = 100
"""Test examples of a language whose tokens and words are counted."""

Results = list[dict[str, Any]]
"""Of each run, what its results.json says."""


@dataclass(frozen=True)
class Comparison:
    """Every run of ``protocol``, by ``recipe``, on a task's data, from the encoder in a folder (Hugging Face's layout).

    The other folders are those of what it is compared with.
    ``take_head``: those from the pretrained encoder begin with the head in its folder too, if that fits the task.
    """

    data: TaskData
    recipe: Recipe
    protocol: Protocol
    encoders: Encoders
    take_head: bool = True
    about: Mapping[str, Any] = field(default_factory=dict)
    """What results.json says of the task besides what its data show."""
    metric: str = USUAL
    """``finetune.task.metric``."""

    @cached_property
    def kind(self) -> Kind:
        """Of the task."""
        return KINDS[self.data.kind](tuple(self.data.labels), self.recipe, self.data.name, self.metric)

    @cached_property
    def why_new_head(self) -> str:
        """Why the runs begin with a new head; empty where they start from the folder's."""
        return why_new_head(self.encoders.pretrained, self.kind) if self.take_head else "finetune.encoder.head says so"

    def run(self, output: Path, context: Context) -> Counts:
        """Fine-tune and test. Errors: XlmrError for settings or files that do not fit."""
        check_metric(self.kind)
        tokenizer = check(self.data, self.recipe, self.protocol, self.encoders.pretrained)
        for line in seen_texts(self.data, self.kind):
            context.warn(line)
        files = self._encode(tokenizer, output, max(1, context.workers))
        context.log.event("head", stage=context.stage, taken=not self.why_new_head, why=self.why_new_head)
        results = self._fine_tune(output, context)
        for line in learnt_nothing(self.data, self.kind, results):
            context.warn(line)
        kept = best_run(results, self.protocol.initialisations[0])["name"]
        reported = self._summary(results, files, kept) | self._baselines(context)
        write_json(output / RESULTS, reported | {"text": self._text(tokenizer)})
        write_predictions(self.data, self.kind, output, [one["name"] for one in results])
        write_card(output / RUNS / kept / MODEL, self.kind, self.recipe, reported)
        _keep_model(output, kept, [one["name"] for one in results])
        return self._counts(results)

    def _encode(self, tokenizer: Tokenizer, output: Path, threads: int) -> dict[str, dict[str, int]]:
        """Once for all runs, which read it from files. Counts by file."""
        encoded = {f"{s}.{lang}": self.kind.encode(some, tokenizer, threads) for s, lang, some in self.data.splits()}
        write_encoded(encoded, output / ENCODED)
        write_held_out(self.data, output / HELD_OUT)
        return {name: counts_of(one, self.recipe.longest) for name, one in encoded.items()}

    def _fine_tune(self, output: Path, context: Context) -> Results:
        """Every run that is not there yet: several at once, each in a process, or one at a time by all ranks."""
        data, runs, by_language = self.data, runs_of(self.protocol, self.recipe), self.protocol.choose == "language"
        about = (self.recipe, data.kind, data.name, tuple(data.labels), self.encoders, output)
        how = (by_language, not self.why_new_head, self.metric)
        shards = {one.name: RunShard(one, *about, *how) for one in runs}
        rank_group = current_rank_group()
        if rank_group is None:
            context.map_shards(fine_tune_shard, shards, at_once=runs_at_once(self.recipe.runs_per_gpu))
        else:
            fine_tune_by_all_ranks(rank_group, list(shards.values()), context)
        shutil.rmtree(output / CHECKPOINTS, ignore_errors=True)
        return [read_json(output / RUNS / one.name / RESULTS) for one in runs]

    def _summary(self, results: Results, files: dict[str, dict[str, int]], kept: str) -> dict[str, Any]:
        """results.json: what was compared with what, and every run."""
        return {
            "task": self.data.name,
            "kind": self.data.kind,
            "metric": self.kind.metric,
            "labels": list(self.data.labels),
            "trained_on": sorted(self.data.train),
            "chosen_on": sorted(self.data.dev),
            "chosen_by": self.protocol.choose,
            "encoder": str(self.encoders.pretrained),
            **self.about,
            "files": files,
            "learning_rates": choose_learning_rates(results),
            "model": kept,
            "head": {"taken": not self.why_new_head, "why": self.why_new_head},
            "runs": results,
        }

    def _baselines(self, context: Context) -> dict[str, Any]:
        """The same of what needs no model, and of how many training texts each has learnt from fewer than all."""
        if not self.protocol.baselines:
            return {"baselines": {}}
        data, known = self.data, baselines_of(self.data.kind)
        every = [example for examples in data.train.values() for example in examples]
        with context.progress("baselines", len(known), "baselines") as bar:
            scores, learnt = score_baselines(
                every,
                data.test,
                self.kind,
                self.protocol.baseline_rows,
                lambda name: bar.advance(1, f"{name} is scored"),
            )
        found: dict[str, Any] = {"baselines": scores, "baseline_rows": learnt}
        if "majority" in scores:
            found["majority"] = {
                "label": known["majority"](every, every[:1])[0]["predicted"],
                "test": scores["majority"],
            }
        return found

    def _text(self, tokenizer: Tokenizer) -> dict[str, dict[str, int]]:
        """Language -> counts of its first test examples."""
        return {language: text_counts(self.kind, some, tokenizer) for language, some in self.data.test.items()}

    def _counts(self, results: Results) -> Counts:
        data, metric = self.data, self.kind.metric
        away = [language for language in data.test if language not in data.train]
        texts = {split: sum(map(len, getattr(data, split).values())) for split in SPLITS}
        found: Counts = {"runs": len(results), "labels": len(data.labels), "languages": len(data.test), "texts": texts}
        for name, runs in chosen_runs(results).items():
            found[f"{metric}_{name}"] = round(over_seeds(runs, away or list(data.test), metric).mean, 4)
        return found


def text_counts(kind: Kind, examples: Sequence[Any], tokenizer: Tokenizer) -> dict[str, int]:
    """Tokens, words between white space and characters of some texts, none of them cut."""
    texts = [
        " ".join(value) if isinstance(value, list) else value
        for example in examples[:MEASURED]
        for value in kind.text(example).values()
    ]
    return {
        "tokens": sum(map(len, tokenizer.encode_batch(texts))),
        "words": sum(len(text.split()) for text in texts),
        "characters": sum(map(len, texts)),
    }


def _keep_model(output: Path, kept: str, names: Sequence[str]) -> None:
    """The best run's model becomes model/; then the others' go, for they are as large. The last act of the stage."""
    shutil.rmtree(output / MODEL, ignore_errors=True)
    shutil.copytree(output / RUNS / kept / MODEL, output / MODEL)
    for name in names:
        shutil.rmtree(output / RUNS / name / MODEL)
