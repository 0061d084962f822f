"""The fine-tuning loop: epochs of steps, each judged on dev, until none is better; the best one's weights are kept.

The same seed gives the same weights on the same machine and number of threads, interrupted or not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from finetune.heads.encoding import Encoded, Rows
from finetune.stages import Recipe
from finetune.training.batches import training_batches
from finetune.training.checkpoint import load_checkpoint, save_checkpoint
from finetune.training.engines import FineTuningEngine, weights_of
from finetune.training.epochs import Epoch, Outcome, best_epoch, gained, last_gain
from finetune.training.evaluation import Objective, evaluate
from finetune.training.ranks import ALONE, Ranks
from finetune.training.trainer import Trainer
from pipeline.errors import XlmrError
from pipeline.shards.notes import note
from pretrain.checkpoints.state import PARTS, collected


@dataclass(frozen=True)
class Setting:
    """What one run has of its own, besides where its weights come from."""

    learning_rate: float
    seed: int
    name: str = ""
    """What it is called where it says how far it is."""
    checkpoint: Path | None = None
    """What an interrupted run resumes from, epoch by epoch; nothing is kept without."""


class Loop:
    """One run: trains the engine's model in place."""

    def __init__(
        self, engine: FineTuningEngine, recipe: Recipe, objective: Objective, setting: Setting, ranks: Ranks = ALONE
    ) -> None:
        self._engine, self._recipe, self._objective = engine, recipe, objective
        self._setting, self._ranks = setting, ranks

    def run(self, train: Encoded, dev: Mapping[str, Encoded]) -> Outcome:
        """Leave the model with the weights of the epoch that was best on ``dev``, a mean over its languages.

        Errors: XlmrError when the loss is no number.
        """
        recipe, setting = self._recipe, self._setting
        size = recipe.steps_per_epoch or -(-len(train) // recipe.batch)
        torch.manual_seed(setting.seed)  # dropout
        steps = recipe.epochs * size
        trainer = Trainer(
            self._engine, recipe, self._objective.loss, setting.learning_rate, steps, setting.seed, self._ranks
        )
        history, best = self._taken_up(trainer)
        batches = islice(_batches(train.lengths, recipe.batch, setting.seed), len(history) * size, None)
        while self._continues(history):
            train_loss = trainer.make(train, self._reported(islice(batches, size), size, history))
            judged = evaluate(self._engine.forward_module, dev, recipe, self._objective, self._ranks)
            last = Epoch(len(history) + 1, train_loss, *judged)
            _check(last)
            if self._objective.at_best is not None:
                for language in gained(history, last):
                    self._objective.at_best(language)
            history.append(last)
            if best_epoch(history) is last:
                best = weights_of(self._engine)
            self._save(trainer, history, best)
        self._engine.load_weights(self._ranks.tensors_of_first(best, self._engine.shapes, self._device))
        return Outcome(history, best_epoch(history))

    @property
    def _device(self) -> torch.device:
        return next(self._engine.forward_module.parameters()).device

    def _save(self, trainer: Trainer, history: list[Epoch], best: Mapping[str, Tensor]) -> None:
        if self._setting.checkpoint is not None:
            state = collected(self._engine.state_stream())
            if self._ranks.first:
                epochs = [epoch.as_json() for epoch in history]
                save_checkpoint(self._setting.checkpoint, epochs, trainer.done, state, best)

    def _taken_up(self, trainer: Trainer) -> tuple[list[Epoch], Mapping[str, Tensor]]:
        """The epochs before an interruption and, on the first rank, the weights after the best of them."""
        ranks, shapes, device = self._ranks, self._engine.shapes, self._device
        found = load_checkpoint(self._setting.checkpoint) if ranks.first else None
        about = [found.history, found.steps] if found is not None else [[], 0]
        history, trainer.done = json.loads(ranks.text_of_first(json.dumps(about), device))
        if trainer.done:
            own = {part: found.state[part] if found is not None else {} for part in PARTS}
            state = {part: ranks.tensors_of_first(own[part], shapes, device) for part in PARTS}
            self._engine.load_state(state, trainer.done)
        return [Epoch(**epoch) for epoch in history], found.best if found is not None else {}

    def _continues(self, history: list[Epoch]) -> bool:
        without_gain = len(history) - last_gain(history, by_language=self._objective.at_best is not None)
        return len(history) < self._recipe.epochs and without_gain < self._recipe.patience

    def _reported(self, batches: Iterator[Rows], size: int, history: list[Epoch]) -> Iterator[Rows]:
        """The same batches; each says how far the run is."""
        best = f", best dev {max(epoch.dev_score for epoch in history):.3g}" if history else ""
        for number, rows in enumerate(batches, 1):
            note(f"{self._setting.name} epoch {len(history) + 1}, step {number:,} of {size:,}{best}")
            yield rows


def _check(epoch: Epoch) -> None:
    if not np.isfinite([epoch.train_loss, epoch.dev_loss]).all():
        raise XlmrError(
            f"the loss is {epoch.train_loss} in epoch {epoch.epoch}", "try a lower finetune.recipe.learning_rates"
        )


def _batches(lengths: Rows, size: int, seed: int) -> Iterator[Rows]:
    """Pass after pass over the rows, without an end."""
    for passed in count(1):
        yield from training_batches(lengths, size, seed, passed)
