"""A model's steps: the gradient of each batch, clipped, and Adam, with linear warm-up and decay."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from finetune.heads.encoding import Encoded, Rows
from finetune.heads.losses import Loss
from finetune.stages import Recipe
from finetune.training.evaluation import batch_scores
from finetune.training.ranks import ALONE, Ranks


class Trainer:
    """A model under training, of which ``steps`` are to be made in all."""

    def __init__(
        self, model: nn.Module, recipe: Recipe, loss: Loss, learning_rate: float, steps: int, ranks: Ranks = ALONE
    ) -> None:
        self._model, self._recipe, self._loss, self._ranks = model, recipe, loss, ranks
        self.optimizer = adam(model, recipe, learning_rate, ranks)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda n: rate_factor(n, steps, recipe.warmup_ratio)
        )
        ranks.watch_gradients(model)

    def make(self, texts: Encoded, batches: Iterable[Rows]) -> float:
        """One step for each batch; the mean loss over their rows."""
        device = next(self._model.parameters()).device
        self._model.train()
        total, rows_seen = torch.zeros((), device=device), 0
        for rows in batches:
            self._model.zero_grad(set_to_none=True)
            for part, share in self._ranks.parts(texts, rows, self._recipe.micro_batch):
                scores = batch_scores(self._model, *texts.batch(part, device), self._recipe)
                loss = self._loss(scores, texts.batch_labels(part, device)) * share if share else 0.0 * scores.sum()
                loss.backward()
                total += loss.detach() * len(rows)
            self._step()
            rows_seen += len(rows)
        return self._ranks.total(total).item() / rows_seen

    def _step(self) -> None:
        self._ranks.join_gradients(self._model)
        self._ranks.clip_grad_norm(self._model, self._recipe.max_grad_norm)
        self.optimizer.step()
        self.schedule.step()
        self._ranks.spread(self._model)


def adam(model: nn.Module, recipe: Recipe, learning_rate: float, ranks: Ranks = ALONE) -> torch.optim.Optimizer:
    """Adam with decoupled decay on matrices, of the parameters that this rank steps."""
    own = ranks.owned(model, model.parameters())
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in own if parameter.dim() >= 2]},
        {"params": [parameter for parameter in own if parameter.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups,
        lr=learning_rate,
        betas=recipe.betas,
        eps=recipe.epsilon,
        weight_decay=recipe.weight_decay,
        fused=True,
    )


def rate_factor(step: int, steps: int, warmup_ratio: float) -> float:
    """Share of the peak rate at ``step`` (counted from 0) of ``steps``; ``warmup_ratio`` is a share of them."""
    rising = round(warmup_ratio * steps)
    if step < rising:
        return (step + 1) / rising
    return max(0.0, (steps - step) / (steps - rising))
