"""Arithmetic of a training, counted from the architecture alone: a shape in, operations out. Light: no torch.

An operation is a multiplication or an addition. Only matrix products count, a backward pass is twice its forward one,
and what is recomputed is not counted again, so that a share of the peak means the same on every setting.
"""

from __future__ import annotations

from typing import Protocol

TRAINING, FORWARD = 3, 1
"""Passes that each product of matrices is worth: one forward, two backward (towards the input and the weight)."""

MASK_RATE = 0.15


class ArchitectureSizes(Protocol):
    """What is asked of an architecture: ``pretrain.presets.Shape`` and ``pretrain.model.ModelConfig`` both have it."""

    @property
    def num_hidden_layers(self) -> int:
        """Transformer layers."""

    @property
    def hidden_size(self) -> int:
        """Of the hidden vectors."""

    @property
    def intermediate_size(self) -> int:
        """Inner size of the feed-forward layers."""

    @property
    def vocab_size(self) -> int:
        """Rows of the table of tokens."""


def encoder_flops(shape: ArchitectureSizes, length: int, passes: int = TRAINING) -> float:
    """Operations for a token of a sequence of ``length`` in the layers.

    The matrices of a layer are 4·hidden_size² + 2·hidden_size·inner numbers, each multiplied and added once a
    token; attention makes length scores and length sums of ``hidden_size`` each.
    """
    matrices = 4 * shape.hidden_size**2 + 2 * shape.hidden_size * shape.intermediate_size
    attention = 2 * length * shape.hidden_size
    return 2.0 * passes * shape.num_hidden_layers * (matrices + attention)


def head_flops(shape: ArchitectureSizes, passes: int = TRAINING) -> float:
    """Operations for a position that the head scores: its dense layer, and every row of the table."""
    return 2.0 * passes * (shape.hidden_size**2 + shape.hidden_size * shape.vocab_size)


def training_flops(shape: ArchitectureSizes, length: int = 512, scored: float = MASK_RATE) -> float:
    """Operations for a token in training, where the head scores the share ``scored`` of the positions (1: all)."""
    return encoder_flops(shape, length) + scored * head_flops(shape)
