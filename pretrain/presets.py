"""The shapes of the papers' models, as plain numbers: what ``pretrain.model.preset`` stands for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Shape:
    """An architecture but for what every model here shares. ``pieces``: the vocabulary that the paper used with it."""

    layers: int
    width: int
    heads: int
    feed_forward: int
    norm: Literal["post", "pre"] = "post"
    rows_multiple_of: int = 1
    pieces: int = 250_000

    @property
    def vocabulary_rows(self) -> int:
        """Rows of the embedding table: the pieces, ``<pad>`` and ``<mask>``, up to the multiple."""
        return -(-(self.pieces + 2) // self.rows_multiple_of) * self.rows_multiple_of


BERT_BASE = Shape(12, 768, 12, 3072)

SHAPES = {
    "base": BERT_BASE,
    "large": Shape(24, 1024, 16, 4096),
    "xl": Shape(36, 2560, 32, 10240, "pre", 1024),
    "xxl": Shape(48, 4096, 32, 16384, "pre", 1024),
    # XLM-R paper, section 5: a vocabulary of 150k for XLM-7, -15, -30, -60 and -100, which have BERT-Base's shape;
    # and XLM-30 and XLM-100 wider (Figure 4). Heads and feed-forward of the wider ones are unpublished: BERT's
    # proportions, heads of 64 and four times the width.
    "ablation-768": replace(BERT_BASE, pieces=150_000),
    "ablation-960": Shape(12, 960, 15, 3840, pieces=150_000),
    "ablation-1152": Shape(12, 1152, 18, 4608, pieces=150_000),
    # Section 5, "Importance of Capacity and Vocabulary", and Figure 6: XLM-100 with other vocabularies.
    "ablation-32k": replace(BERT_BASE, pieces=32_000),
    "ablation-64k": replace(BERT_BASE, pieces=64_000),
    "ablation-128k": replace(BERT_BASE, pieces=128_000),
    "ablation-256k": replace(BERT_BASE, pieces=256_000),
    "ablation-512k": replace(BERT_BASE, pieces=512_000),
}
"""XLM-R paper, sections 3 and 5 and appendix B; XL paper, section 2. Pieces are the tokenizer's to set."""


def parameters_of(shape: Shape, positions: int = 514) -> int:
    """Numbers to learn of the model with its tied head."""
    width, inner, rows = shape.width, shape.feed_forward, shape.vocabulary_rows
    layer = 4 * width * (width + 1) + 2 * width * inner + inner + width + 4 * width
    return (rows + positions) * width + 2 * width + shape.layers * layer + width * (width + 1) + 2 * width + rows


def at_capacity_of(shape: Shape, pieces: int) -> Shape:
    """The shape of another vocabulary with about as many parameters, by another width (XLM-R paper, Figure 6).

    The widths that the authors took are unpublished; this is the multiple of 64 that comes nearest.
    """
    wanted = parameters_of(shape)
    heads = range(1, 2 * shape.width // 64 + 1)
    candidates = [Shape(shape.layers, 64 * n, n, 256 * n, shape.norm, shape.rows_multiple_of, pieces) for n in heads]
    return min(candidates, key=lambda candidate: abs(parameters_of(candidate) - wanted))
