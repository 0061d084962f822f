"""The fine-tuning loop: epochs of steps, each judged on dev, until none is better; the best one's weights are kept.

The same seed gives the same weights on the same machine and number of threads, interrupted or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from finetune.heads.encoding import Encoded, Rows
from finetune.stages import Recipe
from finetune.training.batches import training_batches
from finetune.training.checkpoint import State, epochs_in, load_state, on_the_cpu, save_state
from finetune.training.epochs import Epoch, Outcome, best_epoch, gained, last_gain
from finetune.training.evaluation import Objective, evaluate
from finetune.training.ranks import ALONE, Ranks
from finetune.training.trainer import Trainer
from pipeline.errors import XlmrError
from pipeline.shard_notes import note


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
    """One run: trains ``model`` in place."""

    def __init__(
        self, model: nn.Module, recipe: Recipe, objective: Objective, setting: Setting, ranks: Ranks = ALONE
    ) -> None:
        self._model, self._recipe, self._objective = model, recipe, objective
        self._setting, self._ranks = setting, ranks

    def run(self, train: Encoded, dev: Mapping[str, Encoded]) -> Outcome:
        """Leave the model with the weights of the epoch that was best on ``dev``, a mean over its languages.

        Errors: XlmrError when the loss is no number.
        """
        recipe, setting = self._recipe, self._setting
        size = recipe.steps_per_epoch or -(-len(train) // recipe.batch)
        torch.manual_seed(self._ranks.seed(setting.seed))  # dropout
        trainer = Trainer(
            self._model, recipe, self._objective.loss, setting.learning_rate, recipe.epochs * size, self._ranks
        )
        history, weights = self._taken_up(trainer)
        batches = islice(_batches(train.lengths, recipe.batch, setting.seed), len(history) * size, None)
        while self._continues(history):
            train_loss = trainer.make(train, self._reported(islice(batches, size), size, history))
            last = Epoch(
                len(history) + 1, train_loss, *evaluate(self._model, dev, recipe, self._objective, self._ranks)
            )
            _check(last)
            if self._objective.at_best is not None:
                for language in gained(history, last):
                    self._objective.at_best(language)
            history.append(last)
            if best_epoch(history) is last:
                weights = on_the_cpu(self._model)
            if setting.checkpoint is not None:
                epochs = [epoch.as_json() for epoch in history]
                save_state(setting.checkpoint, self._model, trainer.optimizer, epochs, weights)
        self._model.load_state_dict(weights)
        return Outcome(history, best_epoch(history))

    def _taken_up(self, trainer: Trainer) -> tuple[list[Epoch], dict[str, Tensor]]:
        """The epochs before an interruption, if all ranks have the same, and the weights after the best of them."""
        path, device = self._setting.checkpoint, next(self._model.parameters()).device
        alike = self._ranks.agree(epochs_in(path), device)
        state = load_state(path, self._model, trainer.optimizer, trainer.schedule) if alike else State()
        return [Epoch(**epoch) for epoch in state.history], state.weights

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
