"""The fine-tuning loop: batches by length, Adam, linear warm-up and decay, dev after each epoch, the best epoch kept.

The same seed gives the same weights on the same machine and number of threads, interrupted or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from finetune.metrics import mean
from finetune.stages import Recipe
from finetune.training.batches import evaluation_batches, training_batches
from finetune.training.checkpoint import State, epochs_in, load_state, save_state
from finetune.training.encoding import IGNORED, Encoded, Rows
from finetune.training.ranks import ALONE, Ranks
from pipeline.errors import XlmrError
from pipeline.notes import note
from pretrain.engine import choose_dtype

EVALUATION_BATCH = 64

PADDING = -1e4
"""Score of a piece that is padding. Not −∞, whose gradient is no number."""

Scores = NDArray[np.float32]
"""[rows, classes], or [pieces, classes] in the order of ``Encoded.pieces``."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""(scores of a batch in fp32, its targets) -> the mean loss, a scalar."""

Steps = tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]

Judge = Callable[[str, Scores], float]
"""(language of dev, scores of its rows) -> how good they are; higher is better."""


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to: mean training loss, and loss and score on dev (means over its languages)."""

    epoch: int
    train_loss: float
    dev_loss: float
    dev_score: float
    dev_scores: dict[str, float] = field(default_factory=dict)
    """By language."""

    @property
    def rank(self) -> tuple[float, float]:
        """Higher is better: the score, and the lower loss where a small dev set gives the same score twice."""
        return self.dev_score, -self.dev_loss

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Outcome:
    """The epochs, and the one whose weights the model was left with."""

    history: list[Epoch]
    best: Epoch


@dataclass(frozen=True)
class Objective:
    """What is learnt, and what an epoch is chosen by."""

    loss: Loss
    judge: Judge
    at_best: Callable[[str], None] | None = None
    """Called with each language of dev whose score is better than in all epochs before, while the model is so. The
    run then goes on as long as any language gains; without, as long as the mean does."""


@dataclass(frozen=True)
class Setting:
    """What one run has of its own, besides where its weights come from."""

    learning_rate: float
    seed: int
    name: str = ""
    """What it is called where it says how far it is."""
    checkpoint: Path | None = None
    """Where an interrupted run goes on from, epoch by epoch; nothing is kept without."""


def fine_tune(
    model: nn.Module,
    train: Encoded,
    dev: Mapping[str, Encoded],
    recipe: Recipe,
    objective: Objective,
    setting: Setting,
    ranks: Ranks = ALONE,
) -> Outcome:
    """Train ``model`` in place and leave it with the weights of the epoch that was best on ``dev``.

    Errors: XlmrError when the loss is no number.
    """
    torch.manual_seed(ranks.seed(setting.seed))  # dropout
    updates = recipe.updates_an_epoch or -(-len(train) // recipe.batch)
    optimizer, schedule = make_steps(model, recipe, setting.learning_rate, recipe.epochs * updates, ranks)
    alike = ranks.agree(epochs_in(setting.checkpoint), next(model.parameters()).device)
    state = load_state(setting.checkpoint, model, optimizer, schedule) if alike else State()
    ranks.watch_gradients(model)
    history, weights = [Epoch(**epoch) for epoch in state.history], state.weights
    best = max(history, key=lambda epoch: epoch.rank, default=None)
    batches = islice(_batches(train.lengths, recipe.batch, setting.seed), len(history) * updates, None)
    while len(history) < recipe.epochs and len(history) - last_gain(history, objective) < recipe.patience:
        train_loss = train_updates(
            model,
            train,
            _told(islice(batches, updates), updates, setting, history),
            recipe,
            objective.loss,
            (optimizer, schedule),
            ranks,
        )
        last = Epoch(len(history) + 1, train_loss, *evaluate(model, dev, recipe, objective, ranks))
        if not np.isfinite([last.train_loss, last.dev_loss]).all():
            raise XlmrError(
                f"the loss is {last.train_loss} in epoch {last.epoch}",
                "try a lower finetune.recipe.learning_rates",
            )
        if objective.at_best is not None:
            for language in _improved(history, last):
                objective.at_best(language)
        history.append(last)
        if best is None or last.rank > best.rank:
            best, weights = last, on_the_cpu(model)
        if setting.checkpoint is not None:
            save_state(setting.checkpoint, model, optimizer, [epoch.as_json() for epoch in history], weights)
    assert best is not None
    model.load_state_dict(weights)
    return Outcome(history, best)


def on_the_cpu(model: nn.Module) -> dict[str, Tensor]:
    """A copy of the weights, where it takes none of a GPU's memory."""
    return {name: value.detach().to("cpu", copy=True) for name, value in model.state_dict().items()}


def last_gain(history: list[Epoch], objective: Objective) -> int:
    """The epoch, from 1, that was the last to be better than those before; their number where there is none."""
    if not history:
        return 0
    if objective.at_best is None:
        return max(history, key=lambda epoch: epoch.rank).epoch
    return max(best_epoch_of(history, language) for language in history[0].dev_scores)


def best_epoch_of(history: list[Epoch], language: str) -> int:
    """The epoch, from 1, with the language's best dev score; the first of equals."""
    return max(history, key=lambda epoch: epoch.dev_scores[language]).epoch


def _improved(history: list[Epoch], last: Epoch) -> list[str]:
    return [
        language
        for language, score in last.dev_scores.items()
        if all(score > epoch.dev_scores[language] for epoch in history)
    ]


def train_updates(
    model: nn.Module,
    train: Encoded,
    batches: Iterable[Rows],
    recipe: Recipe,
    loss_of: Loss,
    steps: Steps,
    ranks: Ranks = ALONE,
) -> float:
    """One update for each batch; the mean loss over their rows."""
    device = next(model.parameters()).device
    optimizer, schedule = steps
    model.train()
    total, rows_seen = torch.zeros((), device=device), 0
    for rows in batches:
        model.zero_grad(set_to_none=True)
        for part, share in ranks.parts(train, rows, recipe.micro_batch):
            scores = _scores(model, *train.batch(part, device), recipe)
            loss = loss_of(scores, train.batch_targets(part, device)) * share if share else 0.0 * scores.sum()
            loss.backward()
            total += loss.detach() * len(rows)
        ranks.join_gradients(model)
        ranks.clip(model, recipe.clip)
        optimizer.step()
        schedule.step()
        ranks.spread(model)
        rows_seen += len(rows)
    return ranks.total(total).item() / rows_seen


def _told(batches: Iterator[Rows], updates: int, setting: Setting, history: list[Epoch]) -> Iterator[Rows]:
    """The same batches; each says how far the run is."""
    best = f", best dev {max(epoch.dev_score for epoch in history):.3g}" if history else ""
    for number, rows in enumerate(batches, 1):
        note(f"{setting.name} epoch {len(history) + 1}, update {number:,} of {updates:,}{best}")
        yield rows


def _batches(lengths: Rows, size: int, seed: int) -> Iterator[Rows]:
    """Pass after pass over the rows, without an end."""
    for passed in count(1):
        yield from training_batches(lengths, size, seed, passed)


def scores_of(
    model: nn.Module, texts: Encoded, recipe: Recipe, loss: Loss | None = None, ranks: Ranks = ALONE
) -> tuple[Scores, float]:
    """The model's scores, fp32, in the order of ``texts``: of each row, or of each piece. And the mean loss, or 0."""
    device = next(model.parameters()).device
    model.eval()
    found: Scores | None = None
    lost = judged = 0.0
    batches = list(evaluation_batches(texts.lengths, EVALUATION_BATCH))
    with torch.inference_mode():
        for rows in ranks.batches(batches):
            ids, keep = texts.batch(rows, device)
            scores = _scores(model, ids, keep, recipe)
            if loss is not None:
                units = texts.units(rows)
                lost += loss(scores, texts.batch_targets(rows, device)).item() * units if units else 0.0
                judged += units
            found = _put(found, texts, rows, scores.cpu().numpy())
    assert found is not None, "there are texts"
    scores_found, sums = ranks.joined(batches, device, found, np.array([lost, judged]))
    return scores_found, float(sums[0] / max(sums[1], 1))


def _scores(model: nn.Module, ids: Tensor, keep: Tensor | None, recipe: Recipe) -> Tensor:
    """In fp32; those of padding are so low that no softmax over pieces sees them."""
    with _arithmetic(recipe, ids.device):
        scores: Tensor = model(ids, keep).float()
    if scores.dim() == 3 and keep is not None:
        scores = scores.masked_fill(~keep[..., None], PADDING)
    return scores


def _put(found: Scores | None, texts: Encoded, rows: Rows, scores: Scores) -> Scores:
    by_piece = scores.ndim == 3
    if found is None:
        found = np.zeros((len(texts.pieces) if by_piece else len(texts), scores.shape[-1]), np.float32)
    if not by_piece:
        found[rows] = scores
    else:
        keep, where = texts.grid(rows)
        found[where] = scores[keep]
    return found


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


def class_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy, of texts [n, classes] or of pieces [n, length, classes]; IGNORED ones do not count."""
    return F.cross_entropy(scores.flatten(0, -2), targets.flatten(), ignore_index=IGNORED)


def value_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Squared error of [n, 1]."""
    return F.mse_loss(scores.squeeze(-1), targets)


def span_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy over the row's pieces, of an answer's first and last: [n, length, 2] and [n, 2] -> their mean."""
    return F.cross_entropy(scores, targets)


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """PyTorch works with so many threads inside the block, and without denormal numbers.

    Adam's means of pieces that are seen seldom become such, and they take a CPU a hundred times longer.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(before)


def make_steps(model: nn.Module, recipe: Recipe, learning_rate: float, updates: int, ranks: Ranks = ALONE) -> Steps:
    """Adam with decoupled decay on matrices; linear from 0 to the peak over the warm-up, then to 0 at the end."""
    own = ranks.owned(model, model.parameters())
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in own if parameter.dim() >= 2]},
        {"params": [parameter for parameter in own if parameter.dim() < 2], "weight_decay": 0.0},
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
