"""XLM-R's encoder and masked language model: token ids in, hidden vectors or token scores out.

Post-LN is Base and Large (RoBERTa's layout), pre-LN is XL and XXL. This file is mathematics only: it knows no
process group, no optimiser and no file, and its shapes follow from the weights that it is given.
"""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pipeline.errors import XlmrError
from pipeline.plug_ins import calling
from pretrain.choices import LAYERS
from pretrain.cross_entropy import Scoring, loss_and_gradient, summed_cross_entropy
from pretrain.presets import SHAPES
from pretrain.rng import mix

PAD = 1
"""Id of ``<pad>``; the first position of a sequence has the row PAD + 1, as in fairseq."""

INITIAL_DEVIATION = 0.02
"""Of every matrix at the start."""

Values = Iterator[tuple[str, Callable[[], Tensor]]]
"""Each parameter's name, and what makes its value: whole, in fp32, on the CPU."""

TABLE = "encoder.embeddings.tokens.weight"
"""The parameter with a row a token, which the head shares."""

SEED_NAMES = {TABLE: "encoder.embeddings.pieces.weight"}
"""What the seed of a parameter is drawn from where it is not its name: it must not change, or every loss would."""

LIKENESS = 3.3
"""Score of a position for itself, in heads that begin mimetic: as much as twenty-seven strangers."""


@dataclass(frozen=True)
class ModelConfig:
    """The architecture. ``vocab_size`` counts the embedding table's rows, padding rows included."""

    vocab_size: int
    num_hidden_layers: int
    hidden_size: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int = 514
    norm: Literal["post", "pre"] = "post"
    dropout: float = 0.1
    attention_dropout: float = 0.1
    layer_norm_eps: float = 1e-5
    layer: str = "standard"

    @property
    def max_sequence_length(self) -> int:
        """Tokens that a sequence may have: two rows of the position table are not used."""
        return self.max_position_embeddings - PAD - 1


PRESETS = {
    name: ModelConfig(
        shape.vocab_size,
        shape.num_hidden_layers,
        shape.hidden_size,
        shape.num_attention_heads,
        shape.intermediate_size,
        norm=shape.norm,
    )
    for name, shape in SHAPES.items()
}
"""The papers' models, each with the vocabulary that its paper gave it."""


class Embeddings(nn.Module):
    """Token + position, normalised in post-LN models only. ``frozen``: the tokens' table gets no gradient."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=PAD)
        self.positions = nn.Embedding(config.max_position_embeddings, config.hidden_size, padding_idx=PAD)
        self.norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps) if config.norm == "post" else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        self.frozen = False

    def forward(self, ids: Tensor) -> Tensor:
        """[batch, length] -> [batch, length, hidden_size]."""
        present = ids.ne(PAD)
        position_ids = present.cumsum(1) * present + PAD  # padding keeps PAD's row, wherever it stands
        of_tokens = self.tokens(ids).detach() if self.frozen else self.tokens(ids)
        hidden: Tensor = self.dropout(self.norm(of_tokens + self.positions(position_ids)))
        return hidden


class ScaledDotProduct(nn.Module):
    """Each query's mean of the values, by how well their keys fit it; dropout on the weights."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout

    def forward(self, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None) -> Tensor:
        """Three of [batch, heads, length, head_dim] -> the same."""
        dropout = self.dropout if self.training else 0.0
        return F.scaled_dot_product_attention(query, key, value, attn_mask=attention_mask, dropout_p=dropout)


class Attention(nn.Module):
    """Multi-head self-attention. Query, key and value stand in one matrix: [3 × heads × head_dim, hidden_size]."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.head_dim = config.hidden_size // config.num_attention_heads
        self.query_key_value = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.scaled_dot_product = ScaledDotProduct(config.attention_dropout)
        self.out = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden: Tensor, attention_mask: Tensor | None) -> Tensor:
        """[batch, length, hidden_size] -> the same; ``attention_mask`` [batch, 1, 1, length] is False at padding."""
        by_head = self.query_key_value(hidden).unflatten(-1, (3, -1, self.head_dim)).permute(2, 0, 3, 1, 4)
        query, key, value = by_head.unbind(0)
        seen = self.scaled_dot_product(query, key, value, attention_mask)
        out: Tensor = self.out(seen.transpose(1, 2).flatten(2))
        return out


class FeedForward(nn.Module):
    """Two matrices with the exact (erf) GELU between them."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.up = nn.Linear(config.hidden_size, config.intermediate_size)
        self.down = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """[batch, length, hidden_size] -> the same."""
        out: Tensor = self.down(F.gelu(self.up(hidden)))
        return out


class PostNormLayer(nn.Module):
    """Base and Large: normalise after each residual sum."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.attention_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.feed_forward = FeedForward(config)
        self.feed_forward_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden: Tensor, attention_mask: Tensor | None) -> Tensor:
        """[batch, length, hidden_size] -> the same."""
        hidden = self.attention_norm(hidden + self.dropout(self.attention(hidden, attention_mask)))
        out: Tensor = self.feed_forward_norm(hidden + self.dropout(self.feed_forward(hidden)))
        return out


class PreNormLayer(PostNormLayer):
    """XL and XXL: the same parts, normalised before each branch; the residual stream is never normalised."""

    def forward(self, hidden: Tensor, attention_mask: Tensor | None) -> Tensor:
        """[batch, length, hidden_size] -> the same."""
        hidden = hidden + self.dropout(self.attention(self.attention_norm(hidden), attention_mask))
        return hidden + self.dropout(self.feed_forward(self.feed_forward_norm(hidden)))


def standard_layer(config: ModelConfig) -> nn.Module:
    """The layer of XLM-R, or of XLM-R XL and XXL."""
    return PostNormLayer(config) if config.norm == "post" else PreNormLayer(config)


def make_layer(config: ModelConfig) -> nn.Module:
    """A layer of the kind that ``config.layer`` names. Errors: XlmrError where that makes no layer."""
    with calling(LAYERS.import_string(config.layer)):
        layer = LAYERS.load(config.layer)(config)
    if not isinstance(layer, nn.Module):
        raise XlmrError(f"pretrain.model.layer: {config.layer} makes no nn.Module", "name a class of layers")
    return layer


class Encoder(nn.Module):
    """The Transformer without any head. ``activation_checkpointing`` trades a second forward pass for memory."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.activation_checkpointing = False
        self.embeddings = Embeddings(config)
        self.layers = nn.ModuleList(make_layer(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps) if config.norm == "pre" else nn.Identity()
        self.apply(_initialise)

    def forward(self, ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """[batch, length] int64 -> [batch, length, hidden_size].

        ``attention_mask`` [batch, length] is False at padding; None where there is no padding.
        """
        hidden = self.embeddings(ids)
        spread = attention_mask[:, None, None, :] if attention_mask is not None else None
        for layer in self.layers:
            if self.activation_checkpointing and self.training:
                hidden = checkpoint(layer, hidden, spread, use_reentrant=False)
            else:
                hidden = layer(hidden, spread)
        out: Tensor = self.norm(hidden)
        return out


class Head(nn.Module):
    """Dense -> GELU -> LayerNorm -> scores of all tokens, by the embedding table itself."""

    def __init__(self, config: ModelConfig, tokens: nn.Embedding) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.weight = tokens.weight
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.frozen = False
        self.scoring = Scoring()
        _initialise(self.dense)

    def forward(self, hidden: Tensor, labels: Tensor | None = None) -> Tensor:
        """[…, hidden_size] -> scores […, rows]; with ``labels`` [n], [n, hidden_size] -> their summed cross-entropy."""
        hidden = self.norm(F.gelu(self.dense(hidden)))
        weight = self.weight.detach() if self.frozen else self.weight
        if labels is None:
            return F.linear(hidden, weight, self.bias)
        return summed_cross_entropy(hidden, weight, self.bias, labels, self.scoring)


class MaskedLanguageModel(nn.Module):
    """Encoder and tied head."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.head = Head(config, self.encoder.embeddings.tokens)

    def forward(
        self,
        ids: Tensor,
        attention_mask: Tensor | None = None,
        masked_positions: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> Tensor:
        """Scores [n, vocab_size] at ``masked_positions``, or with ``labels`` [n] their summed cross-entropy.

        ``masked_positions`` [n] int64 indexes the flattened [batch × length]; None means all, [batch, length, rows].
        The head costs more than the encoder of Base, so training asks for the masked positions alone.
        """
        hidden = self.encoder(ids, attention_mask)
        if masked_positions is not None:
            hidden = hidden.flatten(0, 1).index_select(0, masked_positions)
        elif labels is not None:
            hidden, labels = hidden.flatten(0, 1), labels.flatten()
        out: Tensor = self.head(hidden, labels)
        return out

    def freeze_tokens(self) -> None:
        """Let the tokens' table, which is the head's too, be as it is: no gradient is worked out for it."""
        self.encoder.embeddings.frozen = self.head.frozen = True

    def compile_parts(self, backend: str = "inductor") -> None:
        """Let torch.compile make each layer, all by the same code, and the softmax of the head, at their first use."""
        for layer in self.encoder.layers:
            layer.compile(backend=backend)
        self.head.scoring.softmax = torch.compile(loss_and_gradient, dynamic=True, backend=backend)


def build(config: ModelConfig) -> MaskedLanguageModel:
    """The model without its numbers, on the meta device: for ``initial_values``, which may then make a part of them."""
    with torch.device("meta"):
        return MaskedLanguageModel(config)


def count_parameters(module: nn.Module) -> int:
    """Numbers to learn, a tied one once."""
    return sum(parameter.numel() for parameter in module.parameters())


def initial_values(model: nn.Module, seed: int, *, mimetic: bool = False) -> Values:
    """Each parameter's name and what makes its initial value, whole, in fp32 on the CPU.

    A value follows from the seed and the name alone, so that any rank can make any of them. A parameter that has been
    given a value is its own. ``mimetic``: each head has one matrix for queries and keys, so that alike looks at alike.
    """
    for prefix, module in model.named_modules():
        for kind, parameter in module.named_parameters(recurse=False):
            name = f"{prefix}.{kind}" if prefix else kind
            if name == "head.weight":  # the tokens' table
                continue
            make = _made_by(
                module, kind, parameter, int(mix(seed, zlib.crc32(SEED_NAMES.get(name, name).encode())) >> np.uint64(1))
            )
            if mimetic and name.endswith(".query_key_value.weight") and parameter.is_meta:
                make = _alike(make, model.get_submodule(prefix.rpartition(".")[0]).head_dim)  # type: ignore[arg-type]
            yield name, make


def _made_by(module: nn.Module, kind: str, parameter: Tensor, seed: int) -> Callable[[], Tensor]:
    shape, matrix = parameter.shape, kind == "weight" and isinstance(module, nn.Linear | nn.Embedding)
    padding = module.padding_idx if isinstance(module, nn.Embedding) else None
    ones = kind == "weight" and isinstance(module, nn.LayerNorm)
    ours = isinstance(module, nn.Linear | nn.Embedding | nn.LayerNorm | Head)

    def make() -> Tensor:
        if not parameter.is_meta:
            return parameter.detach()
        if not ours:
            return _reset(module, kind, seed)
        if not matrix:
            return torch.full(shape, float(ones), device="cpu")
        value = torch.empty(shape, device="cpu")
        value.normal_(std=INITIAL_DEVIATION, generator=torch.Generator().manual_seed(seed))
        if padding is not None:
            value[padding] = 0.0
        return value

    return make


def _reset(module: nn.Module, kind: str, seed: int) -> Tensor:
    """What a module of a user's layer makes itself. Errors: XlmrError where it has no ``reset_parameters``."""
    if not hasattr(module, "reset_parameters"):
        raise XlmrError(
            f"{type(module).__name__} has a parameter {kind} and no way to make its first value",
            "give the class a method reset_parameters, as PyTorch's own have",
        )
    own = copy.deepcopy(module).to_empty(device="cpu")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        own.reset_parameters()  # type: ignore[operator]
    return own.get_parameter(kind).detach()


def _alike(make: Callable[[], Tensor], head_dim: int) -> Callable[[], Tensor]:
    """Keys begin as queries do: W_Q W_K^T is near a multiple of I (Trockman and Kolter 2023, section 4)."""

    def make_alike() -> Tensor:
        value = make()
        hidden_size = value.shape[1]
        value[:hidden_size] *= (LIKENESS / (hidden_size * head_dim**0.5)) ** 0.5 / INITIAL_DEVIATION
        value[hidden_size : 2 * hidden_size] = value[:hidden_size]
        return value

    return make_alike


def _initialise(module: nn.Module) -> None:
    """N(0, 0.02) for matrices, zero for biases and for the padding rows (RoBERTa, section 2; fairseq)."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=INITIAL_DEVIATION)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
    if isinstance(module, nn.Embedding) and module.padding_idx is not None:
        with torch.no_grad():
            module.weight[module.padding_idx].zero_()
