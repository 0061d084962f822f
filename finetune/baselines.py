"""What a model has to beat: always saying the commonest class, and the same network with weights never trained."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch

from finetune.metrics import Classes, score
from pretrain.folder import load_encoder
from pretrain.model import Encoder

Initialisation = Literal["pretrained", "random"]


def majority_class(train: Classes) -> int:
    """The commonest class; the first of those that are equally common."""
    return int(np.bincount(train).argmax())


def majority_scores(train: Classes, test: Classes) -> dict[str, float]:
    """Scores of always saying the training texts' commonest class."""
    return score(test, np.full_like(test, majority_class(train)))


def starting_encoder(folder: Path, initialisation: Initialisation, seed: int) -> Encoder:
    """The pretrained encoder of ``folder``, or one of the same shape with fresh weights drawn from ``seed``."""
    pretrained = load_encoder(folder)
    if initialisation == "pretrained":
        return pretrained
    torch.manual_seed(seed)
    return Encoder(pretrained.config)
