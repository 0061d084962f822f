"""Arithmetic of a training, counted from the architecture alone: a shape in, operations out. Light: no torch.

An operation is a multiplication or an addition. Only matrix products count, a backward pass is twice its forward one,
and what is recomputed is not counted again, so that a share of the peak means the same on every setting.
"""

from __future__ import annotations

from typing import Protocol

TRAINING, FORWARD = 3, 1
"""Passes that each product of matrices is worth: one forward, two backward (towards the input and the weight)."""

MASK_RATE = 0.15


class Architecture(Protocol):
    """What is asked of an architecture: ``pretrain.presets.Shape`` and ``pretrain.model.ModelConfig`` both have it."""

    @property
    def layers(self) -> int:
        """Transformer layers."""

    @property
    def width(self) -> int:
        """Of the hidden vectors."""

    @property
    def feed_forward(self) -> int:
        """Inner size of the feed-forward layers."""

    @property
    def vocabulary_rows(self) -> int:
        """Rows of the table of pieces."""


def encoder_flops(shape: Architecture, length: int, passes: int = TRAINING) -> float:
    """Operations for a piece of a sample of ``length`` in the layers.

    The matrices of a layer are 4·width² + 2·width·inner numbers, each multiplied and added once a piece; attention
    makes length scores and length sums of ``width`` each.
    """
    matrices = 4 * shape.width**2 + 2 * shape.width * shape.feed_forward
    attention = 2 * length * shape.width
    return 2.0 * passes * shape.layers * (matrices + attention)


def head_flops(shape: Architecture, passes: int = TRAINING) -> float:
    """Operations for a position that the head scores: its dense layer, and every row of the table."""
    return 2.0 * passes * (shape.width**2 + shape.width * shape.vocabulary_rows)


def training_flops(shape: Architecture, length: int = 512, scored: float = MASK_RATE) -> float:
    """Operations for a piece in training, where the head scores the share ``scored`` of the positions (1: all)."""
    return encoder_flops(shape, length) + scored * head_flops(shape)
