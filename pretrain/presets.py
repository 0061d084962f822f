"""The shapes of the papers' models, as plain numbers: what ``pretrain.model.preset`` stands for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Shape:
    """An architecture but for what every model here shares. ``vocabulary_size`` is the paper's."""

    num_hidden_layers: int
    hidden_size: int
    num_attention_heads: int
    intermediate_size: int
    norm: Literal["post", "pre"] = "post"
    pad_vocab_to_multiple_of: int = 1
    vocabulary_size: int = 250_000

    @property
    def vocab_size(self) -> int:
        """Rows of the embedding table: the tokens, ``<pad>`` and ``<mask>``, up to the multiple."""
        return -(-(self.vocabulary_size + 2) // self.pad_vocab_to_multiple_of) * self.pad_vocab_to_multiple_of


BERT_BASE = Shape(12, 768, 12, 3072)

SHAPES = {
    "base": BERT_BASE,
    "large": Shape(24, 1024, 16, 4096),
    "xl": Shape(36, 2560, 32, 10240, "pre", 1024),
    "xxl": Shape(48, 4096, 32, 16384, "pre", 1024),
    # XLM-R paper, section 5: a vocabulary of 150k for XLM-7, -15, -30, -60 and -100, which have BERT-Base's shape;
    # and XLM-30 and XLM-100 wider (Figure 4). Heads and feed-forward of the wider ones are unpublished: BERT's
    # proportions, heads of 64 and four times the hidden size.
    "ablation-768": replace(BERT_BASE, vocabulary_size=150_000),
    "ablation-960": Shape(12, 960, 15, 3840, vocabulary_size=150_000),
    "ablation-1152": Shape(12, 1152, 18, 4608, vocabulary_size=150_000),
    # Section 5, "Importance of Capacity and Vocabulary", and Figure 6: XLM-100 with other vocabularies.
    "ablation-32k": replace(BERT_BASE, vocabulary_size=32_000),
    "ablation-64k": replace(BERT_BASE, vocabulary_size=64_000),
    "ablation-128k": replace(BERT_BASE, vocabulary_size=128_000),
    "ablation-256k": replace(BERT_BASE, vocabulary_size=256_000),
    "ablation-512k": replace(BERT_BASE, vocabulary_size=512_000),
}
"""XLM-R paper, sections 3 and 5 and appendix B; XL paper, section 2. The tokenizer sets the vocabulary's size."""


def parameters_of(shape: Shape, max_position_embeddings: int = 514) -> int:
    """Numbers to learn of the model with its tied head."""
    hidden_size, inner, rows = shape.hidden_size, shape.intermediate_size, shape.vocab_size
    layer = 4 * hidden_size * (hidden_size + 1) + 2 * hidden_size * inner + inner + hidden_size + 4 * hidden_size
    return (
        (rows + max_position_embeddings) * hidden_size
        + 2 * hidden_size
        + shape.num_hidden_layers * layer
        + hidden_size * (hidden_size + 1)
        + 2 * hidden_size
        + rows
    )


def at_capacity_of(shape: Shape, tokens: int) -> Shape:
    """The shape of another vocabulary with about as many parameters, by another hidden size (XLM-R paper, Figure 6).

    The widths that the authors took are unpublished; this is the multiple of 64 that comes nearest.
    """
    wanted = parameters_of(shape)
    counts = range(1, 2 * shape.hidden_size // 64 + 1)
    candidates = [
        Shape(shape.num_hidden_layers, 64 * n, n, 256 * n, shape.norm, shape.pad_vocab_to_multiple_of, tokens)
        for n in counts
    ]
    return min(candidates, key=lambda candidate: abs(parameters_of(candidate) - wanted))
