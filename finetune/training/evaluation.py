"""What a model says of encoded texts, and how good that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from finetune.heads.encoding import Encoded, Rows
from finetune.heads.losses import Loss, Scores
from finetune.metrics import mean
from finetune.stages import Recipe
from finetune.training.batches import evaluation_batches
from finetune.training.ranks import ALONE, Ranks
from pretrain.engine import choose_dtype

EVALUATION_BATCH = 64

PADDING = -1e4
"""Score of a token that is padding. Not −∞, whose gradient is no number."""

Judge = Callable[[str, Scores], float]
"""(language of dev, scores of its rows) -> how good they are; higher is better."""


@dataclass(frozen=True)
class Objective:
    """What is learnt, and what an epoch is chosen by."""

    loss: Loss
    judge: Judge
    at_best: Callable[[str], None] | None = None
    """Called with each language of dev whose score is better than in all epochs before, while the model is so. The
    run then continues as long as any language gains; without, as long as the mean does."""


def evaluate(
    model: nn.Module, dev: Mapping[str, Encoded], recipe: Recipe, objective: Objective, ranks: Ranks = ALONE
) -> tuple[float, float, dict[str, float]]:
    """Loss and score, means over the languages of ``dev``, and the score by language."""
    losses, scores = [], {}
    for language, texts in dev.items():
        found, loss = scores_of(model, texts, recipe, objective.loss, ranks)
        losses.append(loss)
        scores[language] = objective.judge(language, found)
    return mean(losses), mean(list(scores.values())), scores


def scores_of(
    model: nn.Module, texts: Encoded, recipe: Recipe, loss: Loss | None = None, ranks: Ranks = ALONE
) -> tuple[Scores, float]:
    """The model's scores, fp32, in the order of ``texts``: of each row, or of each token. And the mean loss, or 0."""
    device = next(model.parameters()).device
    model.eval()
    found: Scores | None = None
    lost = judged = 0.0
    batches = list(evaluation_batches(texts.lengths, EVALUATION_BATCH))
    with torch.no_grad():  # not inference_mode: ZeRO-3 keeps what it gathers here, and trains with it
        for rows, counts in ranks.batches(batches):
            ids, attention_mask = texts.batch(rows, device)
            scores = batch_scores(model, ids, attention_mask, recipe)
            found = _empty(texts, scores) if found is None else found
            if not counts:
                continue
            if loss is not None:
                units = texts.units(rows)
                lost += loss(scores, texts.batch_labels(rows, device)).item() * units if units else 0.0
                judged += units
            _put(found, texts, rows, scores.cpu().numpy())
    assert found is not None, "there are texts"
    scores_found, sums = ranks.joined(device, found, np.array([lost, judged]))
    return scores_found, float(sums[0] / max(sums[1], 1))


def batch_scores(model: nn.Module, ids: Tensor, attention_mask: Tensor | None, recipe: Recipe) -> Tensor:
    """Scores of a padded batch, in fp32; those of padding are so low that no softmax over tokens sees them."""
    with _arithmetic(recipe, ids.device):
        scores: Tensor = model(ids, attention_mask).float()
    if scores.dim() == 3 and attention_mask is not None:
        scores = scores.masked_fill(~attention_mask[..., None], PADDING)
    return scores


def _empty(texts: Encoded, scores: Tensor) -> Scores:
    return np.zeros((len(texts.tokens) if scores.dim() == 3 else len(texts), scores.shape[-1]), np.float32)


def _put(found: Scores, texts: Encoded, rows: Rows, scores: Scores) -> None:
    if scores.ndim != 3:
        found[rows] = scores
    else:
        present, index = texts.grid(rows)
        found[index] = scores[present]


def _arithmetic(recipe: Recipe, device: torch.device) -> AbstractContextManager[object]:
    dtype = choose_dtype(recipe.dtype, device)
    return torch.autocast(device.type, dtype) if dtype is torch.bfloat16 else nullcontext()
