"""One run of a comparison: encoded rows and an encoder -> its scores, predictions and model. Files in, files out.

By one process, as a shard of the stage; or by several ranks together, of which the first writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from finetune.choices import USUAL
from finetune.folder import save_fine_tuned, take_head
from finetune.heads.encoding import ENCODED, Encoded, read_encoded
from finetune.heads.kind import Prediction
from finetune.heads.kinds import KINDS
from finetune.heads.losses import Scores
from finetune.protocol import Run
from finetune.stages import Encoders, Recipe
from finetune.training.baselines import starting_encoder
from finetune.training.devices import limited_threads, own_device
from finetune.training.engines import engine_of, weights_of
from finetune.training.epochs import Outcome, best_epoch_of
from finetune.training.evaluation import Objective, scores_of
from finetune.training.held_out import HELD_OUT, read_held_out
from finetune.training.loop import Loop, Setting
from finetune.training.ranks import ALONE, Ranks
from pipeline.shards import ShardReport
from pipeline.storage import read_json, write_json
from pretrain.model import ScaledDotProduct
from pretrain.ranks.device import enough_memory

SPLITS = ("train", "dev", "test")
RESULTS, PREDICTED, MODEL, RUNS = "results.json", "predicted.json", "model", "runs"
CHECKPOINTS = "checkpoints"

SMALLER = "lower finetune.recipe.micro_batch or runs_per_gpu, or set finetune.recipe.activation_checkpointing"
"""What to do where a GPU's memory does not suffice."""


@dataclass(frozen=True)
class RunShard:
    """What one run is given: paths and plain values only, for it may run in another process."""

    run: Run
    recipe: Recipe
    kind: str
    task: str
    labels: tuple[str, ...]
    encoders: Encoders
    folder: Path
    """With the encoded rows, the examples of dev and test, and checkpoints."""
    by_language: bool = False
    """Whether each language is tested at the epoch with its own best dev score."""
    head: bool = False
    """Whether a run from the pretrained encoder starts from the head in its folder too."""
    metric: str = USUAL
    """``finetune.task.metric``."""

    @property
    def done(self) -> bool:
        """Whether its results and its model are there."""
        own = self.folder / RUNS / self.run.name
        return (own / RESULTS).exists() and (own / MODEL).exists()


def fine_tune_shard(shard: RunShard, workspace: Path) -> ShardReport:
    """One run by one process: fine-tune, test in every language, write results, predictions and the model."""
    return ShardReport({"epochs": fine_tune_run(shard, workspace / RUNS / shard.run.name, ALONE)})


def fine_tune_run(shard: RunShard, folder: Path, ranks: Ranks) -> int:
    """The same by any number of ranks, of which the first writes into ``folder``, results last. Gives the epochs."""
    with limited_threads(shard.recipe.threads), enough_memory(SMALLER):
        run = _FineTuning(shard, ranks)
        try:
            outcome = run.train()
            predictions = run.predictions()
            weights = weights_of(run.engine)
        finally:
            run.engine.close()
    if ranks.first:
        save_fine_tuned(run.model, run.kind, shard.encoders.pretrained, folder / MODEL, weights)
        write_json(folder / PREDICTED, predictions)
        write_json(folder / RESULTS, run.results(outcome, predictions))
    return len(outcome.history)


class _FineTuning:
    """One run under way: its texts, its model, and what it says of dev and test."""

    def __init__(self, shard: RunShard, ranks: Ranks) -> None:
        self._shard, self._ranks, self._run = shard, ranks, shard.run
        self._encoded = read_encoded(shard.folder / ENCODED)
        self._held_out = read_held_out(shard.folder / HELD_OUT, shard.kind)
        self._train, self._dev, self._test = (split_of(self._encoded, split) for split in SPLITS)
        self._at_best = shard.folder / CHECKPOINTS / self._run.name
        self.kind = KINDS[shard.kind](shard.labels, shard.recipe, shard.task, shard.metric)
        start = starting_encoder(shard.encoders, self._run.initialisation, self._run.seed, ranks)
        if shard.recipe.encoder_dropout is not None:
            set_dropout(start, shard.recipe.encoder_dropout)
        torch.manual_seed(self._run.seed)  # the head's weights
        self.model = self.kind.model(start, shard.recipe.dropout)
        if shard.head and self._run.initialisation == "pretrained":
            take_head(self.model, shard.encoders.pretrained, self.kind)
        start.activation_checkpointing = shard.recipe.activation_checkpointing
        start.embeddings.frozen = not shard.recipe.embedding_rate
        self.engine = engine_of(self.model.to(own_device()), self.kind, shard.recipe, ranks)

    def train(self) -> Outcome:
        """The epochs; the model is left as it was at the best of them."""
        one = self._run
        checkpoint = self._shard.folder / CHECKPOINTS / f"{one.name}.safetensors"
        setting = Setting(one.learning_rate, one.seed, one.name, checkpoint)
        objective = Objective(self.kind.loss, self._judge, self._keep if self._shard.by_language else None)
        rows = Encoded.joined(list(self._train.values()))
        return Loop(self.engine, self._shard.recipe, objective, setting, self._ranks).run(rows, self._dev)

    def predictions(self) -> dict[str, list[Prediction]]:
        """Of the test examples: by the model as it is, or what was said when each language was at its best."""
        if not self._shard.by_language:
            return {language: self._tested(language) for language in self._test}
        return {language: read_json(self._kept(language)) for language in self._test} if self._ranks.first else {}

    def results(self, outcome: Outcome, predictions: Mapping[str, list[Prediction]]) -> dict[str, Any]:
        """What is reported of the run: its settings, its epochs, and the scores by language."""
        best = {k: value for k, value in outcome.best.as_json().items() if k not in {"train_loss", "dev_scores"}}
        tests = self._held_out["test"]
        results = asdict(self._run) | {
            "name": self._run.name,
            **best,
            "history": [epoch.as_json() for epoch in outcome.history],
            "test": {lang: self.kind.score(tests[lang], found, lang) for lang, found in predictions.items()},
        }
        if self._shard.by_language:
            epochs = {language: best_epoch_of(outcome.history, language) for language in predictions}
            results["epoch_by_language"] = epochs
            results["dev_by_language"] = {lg: outcome.history[n - 1].dev_scores[lg] for lg, n in epochs.items()}
        return results

    def _judge(self, language: str, scores: Scores) -> float:
        said = self._said("dev", language, scores)
        return self.kind.score(self._held_out["dev"][language], said, language)[self.kind.metric]

    def _tested(self, language: str) -> list[Prediction]:
        scores, _ = scores_of(self.engine.forward_module, self._test[language], self._shard.recipe, ranks=self._ranks)
        return self._said("test", language, scores)

    def _said(self, split: str, language: str, scores: Scores) -> list[Prediction]:
        return self.kind.predictions(scores, self._encoded[f"{split}.{language}"], self._held_out[split][language])

    def _keep(self, language: str) -> None:
        found = self._tested(language)
        if self._ranks.first:
            write_json(self._kept(language), found)

    def _kept(self, language: str) -> Path:
        return self._at_best / f"{language}.json"


def set_dropout(encoder: nn.Module, dropout: float) -> None:
    """Of hidden vectors and of attention weights."""
    for module in encoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = dropout
        elif isinstance(module, ScaledDotProduct):
            module.dropout = dropout


def split_of(encoded: Mapping[str, Encoded], split: str) -> dict[str, Encoded]:
    """Language -> rows."""
    return {n.partition(".")[2]: rows for n, rows in encoded.items() if n.startswith(f"{split}.")}
