"""What each epoch of a run came to, and which of them is the best: in the mean over languages, or for each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


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


def best_epoch(history: Sequence[Epoch]) -> Epoch:
    """The best of at least one; the first of equals."""
    return max(history, key=lambda epoch: epoch.rank)


def best_epoch_of(history: Sequence[Epoch], language: str) -> int:
    """The epoch, from 1, with the language's best dev score; the first of equals."""
    return max(history, key=lambda epoch: epoch.dev_scores[language]).epoch


def last_gain(history: Sequence[Epoch], by_language: bool) -> int:
    """The epoch, from 1, in which the mean, or any language, was last better than ever before; 0 without epochs."""
    if not history:
        return 0
    if not by_language:
        return best_epoch(history).epoch
    return max(best_epoch_of(history, language) for language in history[0].dev_scores)


def gained(history: Sequence[Epoch], last: Epoch) -> list[str]:
    """The languages in which ``last`` is better than every epoch before."""
    return [
        language
        for language, score in last.dev_scores.items()
        if all(score > epoch.dev_scores[language] for epoch in history)
    ]
