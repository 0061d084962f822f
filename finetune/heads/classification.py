"""Classes and values of texts: the head of RoBERTa and XLM-R on the vector of <s>, or on the mean of all."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pretrain.model import Encoder, ModelConfig

LAST_AROUND = 2
"""The last id of <s>, <pad> and </s>, which are no part of a text."""

HEAD_DEVIATION = 0.02
"""Of the head's first weights: RoBERTa's and XLM-R's practice."""


class ClassificationHead(nn.Module):
    """dropout → dense → tanh → dropout → out, on the vector of a text."""

    def __init__(self, config: ModelConfig, classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.out_proj = nn.Linear(config.hidden_size, classes)
        initialise(self.dense, self.out_proj)

    def forward(self, text: Tensor) -> Tensor:
        """[batch, width] -> scores [batch, classes]."""
        scores: Tensor = self.out_proj(self.dropout(torch.tanh(self.dense(self.dropout(text)))))
        return scores


class SequenceClassifier(nn.Module):
    """An encoder with the head. One class is a value: regression. ``pooling``: what makes the vector of a text."""

    def __init__(self, encoder: Encoder, classes: int, dropout: float, pooling: str = "first") -> None:
        super().__init__()
        self.encoder = encoder
        self.pool = POOLING[pooling]
        self.head = ClassificationHead(encoder.config, classes, dropout)

    def forward(self, ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Ids [batch, length] -> scores [batch, classes]; ``attention_mask`` is False at padding."""
        scores: Tensor = self.head(self.pool(self.encoder(ids, attention_mask), ids))
        return scores


def first_vector(hidden: Tensor, ids: Tensor) -> Tensor:
    """[batch, length, width] -> [batch, width]: that of <s>."""
    del ids
    return hidden[:, 0]


def mean_vector(hidden: Tensor, ids: Tensor) -> Tensor:
    """[batch, length, width] -> [batch, width]: the mean over the tokens of the text, <s>, </s> and <pad> left out.

    A text without any is the vector of <s>.
    """
    counted = ids > LAST_AROUND
    counted[:, 0] |= ~counted.any(1)
    weights = counted.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1)


POOLING = {"first": first_vector, "mean": mean_vector}
"""``finetune.recipe.pooling`` -> what makes a text's vector of its tokens'."""


class TokenHead(nn.Module):
    """dropout → out, on the vector of each token: tags, or the first and last token of an answer (no dropout there)."""

    def __init__(self, config: ModelConfig, classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(config.hidden_size, classes)
        initialise(self.out)

    def forward(self, hidden: Tensor) -> Tensor:
        """[batch, length, width] -> scores [batch, length, classes]."""
        scores: Tensor = self.out(self.dropout(hidden))
        return scores


class TokenClassifier(nn.Module):
    """An encoder with a head on every token. No CRF (XLM-R, section 5.2)."""

    def __init__(self, encoder: Encoder, classes: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = TokenHead(encoder.config, classes, dropout)

    def forward(self, ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Ids [batch, length] -> scores [batch, length, classes]; ``attention_mask`` is False at padding."""
        scores: Tensor = self.head(self.encoder(ids, attention_mask))
        return scores


def initialise(*layers: nn.Linear) -> None:
    """N(0, 0.02), and no bias."""
    for layer in layers:
        nn.init.normal_(layer.weight, std=HEAD_DEVIATION)
        nn.init.zeros_(layer.bias)
