"""The loss of each kind of task, from the scores of its head."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from finetune.heads.encoding import IGNORED

Scores = NDArray[np.float32]
"""[rows, classes], or [tokens, classes] in the order of ``Encoded.tokens``."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""(scores of a batch in fp32, its targets) -> the mean loss, a scalar."""


def class_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy, of texts [n, classes] or of tokens [n, length, classes]; IGNORED ones do not count."""
    return F.cross_entropy(scores.flatten(0, -2), labels.flatten(), ignore_index=IGNORED)


def value_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """Squared error of [n, 1]."""
    return F.mse_loss(scores.squeeze(-1), labels)


def span_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy over the row's tokens, of an answer's first and last: [n, length, 2] and [n, 2] -> their mean."""
    return F.cross_entropy(scores, labels)
