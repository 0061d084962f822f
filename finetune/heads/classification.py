"""Classes and values of texts: the head of RoBERTa and XLM-R on the vector of <s>. A value is a single score."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pretrain.model import Encoder, ModelConfig

HEAD_DEVIATION = 0.02
"""Of the head's first weights: RoBERTa's and XLM-R's practice."""


class ClassificationHead(nn.Module):
    """dropout → dense → tanh → dropout → out, on the vector of <s>."""

    def __init__(self, config: ModelConfig, classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.out_proj = nn.Linear(config.hidden_size, classes)
        initialise(self.dense, self.out_proj)

    def forward(self, hidden: Tensor) -> Tensor:
        """[batch, length, width] -> scores [batch, classes]."""
        first = self.dropout(hidden[:, 0])
        scores: Tensor = self.out_proj(self.dropout(torch.tanh(self.dense(first))))
        return scores


class SequenceClassifier(nn.Module):
    """An encoder with the head. One class is a value: regression."""

    def __init__(self, encoder: Encoder, classes: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = ClassificationHead(encoder.config, classes, dropout)

    def forward(self, ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Ids [batch, length] -> scores [batch, classes]; ``attention_mask`` is False at padding."""
        scores: Tensor = self.head(self.encoder(ids, attention_mask))
        return scores


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
