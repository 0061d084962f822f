"""The fine-tuning loop: batches by length, Adam, linear warm-up and decay, dev after each epoch, the best epoch kept.

The same seed gives the same weights on the same machine and number of threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from finetune.batches import evaluation_batches, training_batches
from finetune.encoding import Encoded
from finetune.metrics import Classes, mean, score
from finetune.stages import Recipe
from pipeline.errors import XlmrError
from pretrain.engine import choose_dtype

EVALUATION_BATCH = 64


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to: mean training loss, and loss and accuracy on dev (means over its languages)."""

    epoch: int
    train_loss: float
    dev_loss: float
    dev_accuracy: float

    @property
    def rank(self) -> tuple[float, float]:
        """Higher is better: accuracy, and the lower loss where a small dev set gives the same accuracy twice."""
        return self.dev_accuracy, -self.dev_loss

    def as_json(self) -> dict[str, float]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Outcome:
    """The epochs, and the one whose weights the model was left with."""

    history: list[Epoch]
    best: Epoch


def fine_tune(
    model: nn.Module,
    train: Encoded,
    dev: Mapping[str, Encoded],
    recipe: Recipe,
    learning_rate: float,
    seed: int,
) -> Outcome:
    """Train ``model`` in place and leave it with the weights of the epoch that was best on ``dev``.

    Errors: XlmrError when the loss is no number.
    """
    torch.manual_seed(seed)  # dropout
    device = next(model.parameters()).device
    batches = -(-len(train) // recipe.batch)
    optimizer, schedule = _optimizer(model, recipe, learning_rate, recipe.epochs * batches)
    history: list[Epoch] = []
    best: Epoch | None = None
    weights: dict[str, Tensor] = {}
    for epoch in range(1, recipe.epochs + 1):
        model.train()
        total = 0.0
        for rows in training_batches(train.lengths, recipe.batch, seed, epoch):
            classes = torch.from_numpy(train.classes[rows]).to(device)
            with _arithmetic(recipe, device):
                scores = model(*train.batch(rows, device))
            loss = F.cross_entropy(scores.float(), classes)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
        last = Epoch(epoch, total / len(train), *_evaluate(model, dev, recipe))
        if not np.isfinite([last.train_loss, last.dev_loss]).all():
            raise XlmrError(
                f"the loss is {last.train_loss} in epoch {epoch}",
                "try a lower finetune.recipe.learning_rates",
            )
        history.append(last)
        if best is None or last.rank > best.rank:
            best, weights = last, {name: value.detach().clone() for name, value in model.state_dict().items()}
        elif epoch - best.epoch >= recipe.patience:
            break
    assert best is not None
    model.load_state_dict(weights)
    return Outcome(history, best)


def scores_of(model: nn.Module, texts: Encoded, recipe: Recipe) -> Tensor:
    """The model's scores of each text, in the order of ``texts``: [texts, classes] fp32 on the CPU."""
    device = next(model.parameters()).device
    model.eval()
    order, found = [], []
    with torch.inference_mode(), _arithmetic(recipe, device):
        for rows in evaluation_batches(texts.lengths, EVALUATION_BATCH):
            order.append(rows)
            found.append(model(*texts.batch(rows, device)).float().cpu())
    scores = torch.cat(found)
    ordered = torch.empty_like(scores)
    ordered[torch.from_numpy(np.concatenate(order))] = scores
    return ordered


def predict_classes(model: nn.Module, texts: Encoded, recipe: Recipe) -> Classes:
    """The class that the model says for each text: [texts]."""
    classes: Classes = scores_of(model, texts, recipe).argmax(1).numpy()
    return classes


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """PyTorch works with so many threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _evaluate(model: nn.Module, dev: Mapping[str, Encoded], recipe: Recipe) -> tuple[float, float]:
    """(loss, accuracy), means over the languages of ``dev``."""
    losses, accuracies = [], []
    for texts in dev.values():
        scores = scores_of(model, texts, recipe)
        losses.append(F.cross_entropy(scores, torch.from_numpy(texts.classes)).item())
        accuracies.append(score(texts.classes, scores.argmax(1).numpy())["accuracy"])
    return mean(losses), mean(accuracies)


def _optimizer(
    model: nn.Module, recipe: Recipe, learning_rate: float, updates: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Adam with decoupled decay on matrices; linear from 0 to the peak over the warm-up, then to 0 at the end."""
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in model.parameters() if parameter.dim() >= 2]},
        {
            "params": [parameter for parameter in model.parameters() if parameter.dim() < 2],
            "weight_decay": 0.0,
        },
    ]
    optimizer = torch.optim.AdamW(
        groups,
        lr=learning_rate,
        betas=recipe.betas,
        eps=recipe.epsilon,
        weight_decay=recipe.weight_decay,
        fused=True,
    )
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: rate_factor(n, updates, recipe.warmup))


def rate_factor(update: int, updates: int, warmup: float) -> float:
    """Share of the peak rate at ``update`` (counted from 0) of ``updates``; ``warmup`` is a share of them."""
    rising = round(warmup * updates)
    if update < rising:
        return (update + 1) / rising
    return max(0.0, (updates - update) / (updates - rising))


def _arithmetic(recipe: Recipe, device: torch.device) -> AbstractContextManager[object]:
    dtype = choose_dtype(recipe.dtype, device)
    return torch.autocast(device.type, dtype) if dtype is torch.bfloat16 else nullcontext()
