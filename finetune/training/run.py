"""One run of a comparison: encoded rows and an encoder -> its scores, predictions and model. Files in, files out.

By one process, as a shard of the stage; or by several ranks together, of which the first writes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from finetune.folder import save_fine_tuned
from finetune.heads.kinds import KINDS, Kind, Prediction
from finetune.protocol import Run
from finetune.stages import Recipe
from finetune.training.baselines import starting_encoder
from finetune.training.encoding import ENCODED, Encoded, read_encoded
from finetune.training.held_out import HELD_OUT, read_held_out
from finetune.training.loop import Objective, Scores, Setting, best_epoch_of, fine_tune, limited_threads, scores_of
from finetune.training.ranks import ALONE, Ranks
from pipeline.shards import ShardReport
from pipeline.storage import read_json, write_json
from pretrain.folder import PIECES
from pretrain.model import Encoder, ScaledDotProduct

SPLITS = ("train", "dev", "test")
RESULTS, PREDICTED, MODEL, RUNS = "results.json", "predicted.json", "model", "runs"
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class RunShard:
    """What one run is given: paths and plain values only, for it may run in another process."""

    run: Run
    recipe: Recipe
    kind: str
    task: str
    labels: tuple[str, ...]
    encoder: Path
    folder: Path
    """With the encoded rows, the examples of dev and test, and checkpoints."""
    by_language: bool = False
    """Whether each language is tested at the epoch with its own best dev score."""

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
    encoded, held_out = read_encoded(shard.folder / ENCODED), read_held_out(shard.folder / HELD_OUT, shard.kind)
    kind = KINDS[shard.kind](shard.labels, shard.recipe, shard.task)
    one, device = shard.run, own_device()
    train, dev, test = (split_of(encoded, split) for split in SPLITS)

    def said(split: str, language: str, scores: Scores) -> list[Prediction]:
        return kind.predictions(scores, encoded[f"{split}.{language}"], held_out[split][language])

    def judge(language: str, scores: Scores) -> float:
        return kind.score(held_out["dev"][language], said("dev", language, scores), language)[kind.metric]

    def tested(language: str) -> list[Prediction]:
        return said("test", language, scores_of(model, test[language], shard.recipe, ranks=ranks)[0])

    def keep(language: str) -> None:
        found = tested(language)
        if ranks.first:
            write_json(at_best / f"{language}.json", found)

    at_best = shard.folder / CHECKPOINTS / one.name
    with limited_threads(shard.recipe.threads):
        start = starting_encoder(shard.encoder, one.initialisation, one.seed, ranks)
        if shard.recipe.encoder_dropout is not None:
            set_dropout(start, shard.recipe.encoder_dropout)
        torch.manual_seed(one.seed)  # the head's weights
        model = kind.model(start, shard.recipe.dropout).to(device)
        setting = Setting(one.learning_rate, one.seed, shard.folder / CHECKPOINTS / f"{one.name}{ranks.suffix}")
        objective = Objective(kind.loss, judge, keep if shard.by_language else None)
        outcome = fine_tune(model, Encoded.joined(list(train.values())), dev, shard.recipe, objective, setting, ranks)
        predictions = {} if shard.by_language else {language: tested(language) for language in test}
    weights = whole_weights(model, kind, shard.recipe, ranks)
    if not ranks.first:
        return len(outcome.history)
    if shard.by_language:
        predictions = {language: read_json(at_best / f"{language}.json") for language in test}
    results = asdict(one) | {
        "name": one.name,
        **{name: value for name, value in outcome.best.as_json().items() if name not in {"train_loss", "dev_scores"}},
        "history": [epoch.as_json() for epoch in outcome.history],
        "test": {lang: kind.score(held_out["test"][lang], found, lang) for lang, found in predictions.items()},
    }
    if shard.by_language:
        epochs = {language: best_epoch_of(outcome.history, language) for language in test}
        results["epoch_by_language"] = epochs
        results["dev_by_language"] = {lg: outcome.history[n - 1].dev_scores[lg] for lg, n in epochs.items()}
    save_fine_tuned(model, kind, shard.encoder / PIECES, folder / MODEL, weights)
    write_json(folder / "predicted.json", predictions)
    write_json(folder / RESULTS, results)
    return len(outcome.history)


def set_dropout(encoder: nn.Module, dropout: float) -> None:
    """Of hidden vectors and of attention weights."""
    for module in encoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = dropout
        elif isinstance(module, ScaledDotProduct):
            module.dropout = dropout


def own_device() -> torch.device:
    """The GPU that the launcher gave this process, or the first; the CPU where there is none."""
    return (
        torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        if torch.cuda.is_available()
        else torch.device("cpu")
    )


def whole_weights(model: nn.Module, kind: Kind, recipe: Recipe, ranks: Ranks) -> dict[str, Tensor] | None:
    """All of a model's weights, put together from the ranks' parts; None where each rank has them all."""
    if ranks.tensor.world == 1:
        return None
    with torch.device("meta"):
        return ranks.whole(model, kind.model(Encoder(model.encoder.config), recipe.dropout))  # type: ignore[arg-type,union-attr]


def split_of(encoded: Mapping[str, Encoded], split: str) -> dict[str, Encoded]:
    """Language -> rows."""
    return {n.partition(".")[2]: rows for n, rows in encoded.items() if n.startswith(f"{split}.")}
