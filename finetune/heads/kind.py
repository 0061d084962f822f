"""What a kind of task is: the loop, the stages, the folders and the tools use this interface.

A kind says how examples become rows, which head reads them, and how its scores are read and judged.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from torch import nn

from finetune.choices import METRICS, USUAL, metric_name
from finetune.heads.encoding import Encoded
from finetune.heads.losses import Loss, Scores
from finetune.scoring.own_metric import OwnMetric
from finetune.stages import Recipe
from pipeline.errors import UsageError
from pretrain.model import Encoder
from tokenizer.pieces import Tokenizer

Prediction = dict[str, Any]
"""``predicted`` and what is known besides, as plain JSON values."""


@dataclass(frozen=True)
class Kind(ABC):
    """``labels`` in the order of the scores; empty where there are none."""

    labels: tuple[str, ...]
    recipe: Recipe
    task: str = ""
    """Its name: some tasks are scored by a rule of their own."""
    chosen_metric: str = USUAL
    """``finetune.task.metric``."""

    name: ClassVar[str]
    suffix: ClassVar[str]
    """Of Hugging Face's class."""

    @property
    def metric(self) -> str:
        """The score that epochs and learning rates are chosen by, and that the report shows.

        Errors: UsageError for one that this kind of task does not have.
        """
        if self.chosen_metric == USUAL:
            return self.score_names[0]
        if METRICS.is_own(self.chosen_metric) and self.chosen_metric not in self.score_names:
            raise UsageError(
                f"finetune.task.metric: this task has no {self.chosen_metric}",
                f"choose {', '.join(self.score_names)}, or an import string, as my_metric:score",
            )
        return metric_name(self.chosen_metric)

    @cached_property
    def own_metric(self) -> OwnMetric | None:
        """The user's; None where a score of ours is chosen. Errors: UsageError, XlmrError for one that is not found."""
        return None if METRICS.is_own(self.chosen_metric) else OwnMetric(self.chosen_metric)

    @property
    @abstractmethod
    def score_names(self) -> tuple[str, ...]:
        """The scores that can be chosen as ``metric``; the first is the usual one."""

    @property
    def outputs(self) -> int:
        """Scores of a row or token."""
        return len(self.labels)

    @property
    @abstractmethod
    def loss(self) -> Loss:
        """The loss function."""

    @abstractmethod
    def model(self, encoder: Encoder, dropout: float) -> nn.Module:
        """The encoder with a new head."""

    @abstractmethod
    def encode(self, examples: Sequence[Any], tokenizer: Tokenizer, threads: int = 1) -> Encoded:
        """Rows and labels."""

    @abstractmethod
    def predictions(self, scores: Scores, encoded: Encoded, examples: Sequence[Any]) -> list[Prediction]:
        """The prediction for each example."""

    def score(self, examples: Sequence[Any], predictions: Sequence[Prediction], language: str) -> dict[str, float]:
        """The scores of the kind, and of the user's metric; ``metric`` is among them."""
        found = self.usual_scores(examples, predictions, language)
        if self.own_metric is not None:
            gold, predicted = map(self.gold, examples), (one["predicted"] for one in predictions)
            found[self.metric] = self.own_metric.score([*gold], [*predicted])
        return found

    @abstractmethod
    def usual_scores(
        self, examples: Sequence[Any], predictions: Sequence[Prediction], language: str
    ) -> dict[str, float]:
        """From 0 to 1 each, ``score_names`` among them."""

    @abstractmethod
    def gold(self, example: Any) -> Any:
        """What the example's file says, as a plain JSON value."""

    @abstractmethod
    def text(self, example: Any) -> dict[str, Any]:
        """What the example is about, for the file of predictions."""
