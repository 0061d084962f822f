"""What is made small: the loss of each kind of task, from the scores of its head."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from finetune.heads.encoding import IGNORED

Scores = NDArray[np.float32]
"""[rows, classes], or [pieces, classes] in the order of ``Encoded.pieces``."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""(scores of a batch in fp32, its targets) -> the mean loss, a scalar."""


def class_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy, of texts [n, classes] or of pieces [n, length, classes]; IGNORED ones do not count."""
    return F.cross_entropy(scores.flatten(0, -2), targets.flatten(), ignore_index=IGNORED)


def value_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Squared error of [n, 1]."""
    return F.mse_loss(scores.squeeze(-1), targets)


def span_loss(scores: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy over the row's pieces, of an answer's first and last: [n, length, 2] and [n, 2] -> their mean."""
    return F.cross_entropy(scores, targets)
