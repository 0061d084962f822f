"""A model's steps: the gradient of each batch, clipped, and Adam, with linear warm-up and decay."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from finetune.heads.encoding import Encoded, Rows
from finetune.heads.losses import Loss
from finetune.stages import Recipe
from finetune.training.engines import FineTuningEngine
from finetune.training.evaluation import batch_scores
from finetune.training.ranks import ALONE, Ranks


class Trainer:
    """A model under training, of which ``steps`` are to be made in all, and ``done`` have been."""

    def __init__(
        self,
        engine: FineTuningEngine,
        recipe: Recipe,
        loss: Loss,
        learning_rate: float,
        steps: int,
        seed: int,
        ranks: Ranks = ALONE,
    ) -> None:
        self._engine, self._recipe, self._loss, self._ranks = engine, recipe, loss, ranks
        self._learning_rate, self._steps, self._seed = learning_rate, steps, seed
        self.done = 0

    def make(self, texts: Encoded, batches: Iterable[Rows]) -> float:
        """One step for each batch; the mean loss over their rows."""
        model, recipe = self._engine.forward_module, self._recipe
        device = next(model.parameters()).device
        total, rows_seen = torch.zeros((), device=device), 0
        for rows in batches:
            self._engine.start_step(self._seed, self.done)
            # Ranks divide each batch into as many parts as a full one, because DeepSpeed counts them.
            full = len(rows) if self._ranks.layout is None else recipe.batch
            for part, share in self._ranks.parts(texts, rows, self._ranks.micro_batches(full, recipe.micro_batch)):
                scores = batch_scores(model, *texts.batch(part, device), recipe)
                loss = self._loss(scores, texts.batch_labels(part, device)) * share if share else 0.0 * scores.sum()
                self._engine.backward(loss)
                total += loss.detach() * len(rows)
            self._engine.step(self._learning_rate * rate_factor(self.done, self._steps, recipe.warmup_ratio))
            self.done += 1
            rows_seen += len(rows)
        return self._ranks.total(total).item() / rows_seen


def rate_factor(step: int, steps: int, warmup_ratio: float) -> float:
    """Share of the peak rate at ``step`` (counted from 0) of ``steps``; ``warmup_ratio`` is a share of them."""
    rising = round(warmup_ratio * steps)
    if step < rising:
        return (step + 1) / rising
    return max(0.0, (steps - step) / (steps - rising))
