"""Tensor parallelism: which ranks share a model's tensors, how each tensor is cut, and the layers that work on a part.

A whole model on the meta device goes in; the same model with this rank's part of it comes out. After Megatron-LM
(Shoeybi and others 2019, section 3). With one rank in the group nothing is changed, so there is one model file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.errors import XlmrError
from pretrain.model import PAD, TABLE, Attention, FeedForward, MaskedLanguageModel, ModelConfig, ScaledDotProduct
from pretrain.rng import mix


@dataclass(frozen=True)
class Group:
    """Ranks that work together, and this one's place among them. Alone, every collective gives back what it got."""

    rank: int = 0
    world: int = 1
    ranks: tuple[int, ...] = (0,)
    handle: Any = field(default=None, repr=False)

    @torch.compiler.disable
    def total(self, tensor: Tensor) -> Tensor:
        """The sum over the ranks, in place."""
        if self.world > 1:
            dist.all_reduce(tensor, group=self.handle)
        return tensor

    @torch.compiler.disable
    def maximum(self, tensor: Tensor) -> Tensor:
        """The maximum over the ranks, in place."""
        if self.world > 1:
            dist.all_reduce(tensor, op=dist.ReduceOp.MAX, group=self.handle)
        return tensor

    def parts(self, tensor: Tensor, shapes: list[torch.Size]) -> list[Tensor] | None:
        """On the group's first rank, every rank's tensor, of these shapes; None on the others."""
        if self.world == 1:
            return [tensor]
        size = max(shape.numel() for shape in shapes)
        padded = tensor.new_zeros(size)
        padded[: tensor.numel()] = tensor.flatten()
        buffers = [torch.empty_like(padded) for _ in shapes] if self.rank == 0 else None
        dist.gather(padded, buffers, dst=self.ranks[0], group=self.handle)
        if buffers is None:
            return None
        return [flat[: shape.numel()].view(shape) for flat, shape in zip(buffers, shapes, strict=True)]


class Layout:
    """Tensor-parallel groups of neighbouring ranks, and data-parallel groups across them. DeepSpeed's ``mpu``.

    Rank = data rank × tensor world + tensor rank, so that a group stays inside a machine.
    """

    def __init__(self, rank: int, world: int, tensor_world: int, timeout: timedelta | None = None) -> None:
        """``timeout``: how long a rank waits for the others of its groups; PyTorch's own, ten minutes on GPUs, if None.

        Errors: XlmrError where ``tensor_world`` does not divide ``world``.
        """
        if world % tensor_world:
            raise XlmrError(
                f"{world} ranks do not make groups of {tensor_world}",
                "start a multiple of pretrain.train.tensor_parallel ranks",
            )
        neighbours = [range(first, first + tensor_world) for first in range(0, world, tensor_world)]
        self.tensor = _join(neighbours, rank, timeout)
        self.data = _join([range(first, world, tensor_world) for first in range(tensor_world)], rank, timeout)

    # The names by which DeepSpeed asks, Megatron's.

    def get_model_parallel_rank(self) -> int:
        """Rank among those that share the tensors."""
        return self.tensor.rank

    def get_model_parallel_world_size(self) -> int:
        """How many share the tensors."""
        return self.tensor.world

    def get_model_parallel_group(self) -> Any:
        """Those that share the tensors."""
        return self.tensor.handle

    def get_data_parallel_rank(self) -> int:
        """Rank among those that have the same part of the tensors."""
        return self.data.rank

    def get_data_parallel_world_size(self) -> int:
        """How many have the same part of the tensors."""
        return self.data.world

    def get_data_parallel_group(self) -> Any:
        """Those that have the same part of the tensors."""
        return self.data.handle

    def get_data_parallel_group_ranks(self) -> list[int]:
        """Their ranks."""
        return list(self.data.ranks)


def _join(groups: list[range], rank: int, timeout: timedelta | None) -> Group:
    """The group that has ``rank``. Every rank makes all groups, in the same order, as collectives ask."""
    found = Group()
    whole = len(groups) == 1
    for ranks in groups:
        handle = dist.group.WORLD if whole else dist.new_group(list(ranks), timeout=timeout)
        if rank in ranks:
            found = Group(ranks.index(rank), len(ranks), tuple(ranks), handle)
    return found


@dataclass(frozen=True)
class Cut:
    """How a tensor is divided over the ranks of a group: along ``dim``, each of ``blocks`` equal blocks by itself.

    ``dim`` None: not at all. A length that the ranks do not divide leaves the first ones a row more.
    """

    dim: int | None = None
    blocks: int = 1

    def part(self, whole: Tensor, group: Group) -> Tensor:
        """This rank's part, as a view where that is possible."""
        if self.dim is None or group.world == 1:
            return whole
        blocks = whole.chunk(self.blocks, self.dim)
        parts = [block.tensor_split(group.world, self.dim)[group.rank] for block in blocks]
        return parts[0] if self.blocks == 1 else torch.cat(parts, self.dim)

    def join(self, parts: list[Tensor]) -> Tensor:
        """The whole, from every rank's part."""
        if self.dim is None or len(parts) == 1:
            return parts[0]
        blocks = zip(*(part.chunk(self.blocks, self.dim) for part in parts), strict=True)
        return torch.cat([part for block in blocks for part in block], self.dim)

    def shapes(self, whole: torch.Size, world: int) -> list[torch.Size]:
        """The shape of each rank's part."""
        if self.dim is None or world == 1:
            return [whole] * world
        length = whole[self.dim] // self.blocks
        sizes = [self.blocks * (length // world + (rank < length % world)) for rank in range(world)]
        return [torch.Size([*whole[: self.dim], size, *whole[self.dim + 1 :]]) for size in sizes]


WHOLE = Cut()


class _ToParts(torch.autograd.Function):
    """Where a whole tensor enters layers that hold parts: nothing forward, the sum of the gradients backward."""

    @staticmethod
    def forward(ctx: Any, whole: Tensor, group: Group) -> Tensor:
        ctx.group = group
        return whole.view_as(whole)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.group.total(gradient.contiguous()), None


class _FromParts(torch.autograd.Function):
    """Where such layers end: the sum of what the ranks have forward, nothing backward."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, group: Group) -> Tensor:
        del ctx
        return group.total(part.detach())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        del ctx
        return gradient, None


class ColumnLinear(nn.Linear):
    """A part of a linear layer's outputs: [hidden_size] -> [outputs / ranks]."""

    group = Group()

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - nn.Linear's name
        """[…, hidden_size], the same on all ranks -> […, outputs / ranks]."""
        out: Tensor = super().forward(_ToParts.apply(input, self.group))
        return out


class RowLinear(nn.Linear):
    """A part of a linear layer's inputs: [inputs / ranks] -> [hidden_size], summed over ranks. The bias is whole."""

    group = Group()

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - nn.Linear's name
        """[…, inputs / ranks] -> […, hidden_size], the same on all ranks."""
        # Each rank adds its share of the bias inside its product, where sums are in fp32: added after the collective it
        # would be a rounding more in bf16, and under autocast an output in fp32. The gradient is the whole bias's.
        share = self.bias + self.bias.detach() * (1 / self.group.world - 1)
        out: Tensor = _FromParts.apply(F.linear(input, self.weight, share), self.group)
        return out


class RowsEmbedding(nn.Embedding):
    """A part of an embedding table's rows; what another rank has is zero here, and summed in."""

    group = Group()
    first = 0

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - nn.Embedding's name
        """[batch, length] -> [batch, length, hidden_size], the same on all ranks."""
        local = input - self.first
        inside = (local >= 0) & (local < len(self.weight))
        found = F.embedding(local.where(inside, 0), self.weight, self.padding_idx)
        out: Tensor = _FromParts.apply(found * inside.unsqueeze(-1), self.group)
        return out


class OwnDropout(ScaledDotProduct):
    """Attention over this rank's heads, whose dropout is another on each rank.

    The seed is drawn from the chance that all ranks share, so that recomputing a layer draws the same masks again.
    """

    group = Group()

    @torch.compiler.disable  # seeds and generators are nothing that can be traced
    def forward(self, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None) -> Tensor:
        """Three of [batch, heads / ranks, length, head_dim] -> the same."""
        if not (self.training and self.dropout):
            return super().forward(query, key, value, attention_mask)
        with _own_rng(self.group.rank, query.device):
            return super().forward(query, key, value, attention_mask)


@contextmanager
def _own_rng(rank: int, device: torch.device) -> Iterator[None]:
    seed = int(mix(int(torch.randint(2**62, ())), rank) >> np.uint64(1))
    generator = torch.cuda.default_generators[device.index or 0] if device.type == "cuda" else torch.default_generator
    before = generator.get_state()
    generator.manual_seed(seed)
    try:
        yield
    finally:
        generator.set_state(before)


@dataclass(frozen=True)
class RankRows:
    """The rows of the token table on this rank, for the cross-entropy over all of them."""

    first: int
    group: Group

    @property
    def world(self) -> int:
        """Ranks that have a part."""
        return self.group.world

    def total(self, tensor: Tensor) -> Tensor:
        """The sum over the ranks, in place."""
        return self.group.total(tensor)

    def maximum(self, tensor: Tensor) -> Tensor:
        """The maximum over the ranks, in place."""
        return self.group.maximum(tensor)


def check_divides(config: ModelConfig, ranks: int) -> None:
    """Errors: XlmrError naming the setting that the ranks of a tensor-parallel group do not divide."""
    for name in ("num_attention_heads", "intermediate_size"):
        value = getattr(config, name)
        if value % ranks:
            raise XlmrError(
                f"pretrain.model.{name} {value} is not a multiple of pretrain.train.tensor_parallel {ranks}",
                "change one of them",
            )
    if config.vocab_size < 2 * ranks:
        raise XlmrError(
            f"a vocabulary of {config.vocab_size} rows is too small for pretrain.train.tensor_parallel {ranks}",
            "use fewer ranks",
        )


def cuts_of(model: MaskedLanguageModel) -> dict[str, Cut]:
    """How each parameter is divided, by name."""
    cuts = {name: WHOLE for name, _ in model.named_parameters()}
    for prefix, module in model.named_modules():
        if isinstance(module, Attention):
            cuts[f"{prefix}.query_key_value.weight"] = cuts[f"{prefix}.query_key_value.bias"] = Cut(0, blocks=3)
            cuts[f"{prefix}.out.weight"] = Cut(1)
        if isinstance(module, FeedForward):
            cuts[f"{prefix}.up.weight"] = cuts[f"{prefix}.up.bias"] = Cut(0)
            cuts[f"{prefix}.down.weight"] = Cut(1)
    return {**cuts, TABLE: Cut(0), "head.bias": Cut(0)}


def divide(model: MaskedLanguageModel, group: Group) -> None:
    """Let the model's layers work on this rank's part; their numbers are put in afterwards (``put``)."""
    if group.world == 1:
        return
    check_divides(model.config, group.world)
    for module in model.modules():
        if isinstance(module, Attention):
            _become(module.query_key_value, ColumnLinear, group)
            _become(module.out, RowLinear, group)
            _become(module.scaled_dot_product, OwnDropout, group)
        if isinstance(module, FeedForward):
            _become(module.up, ColumnLinear, group)
            _become(module.down, RowLinear, group)
    tokens = model.encoder.embeddings.tokens
    rows = Cut(0).shapes(tokens.weight.shape, group.world)
    first = sum(shape[0] for shape in rows[: group.rank])
    _become(tokens, RowsEmbedding, group)
    tokens.first = first  # type: ignore[assignment]
    tokens.padding_idx = PAD - first if first <= PAD < first + rows[group.rank][0] else None
    model.head.scoring.rows = RankRows(first, group)


def _become(module: nn.Module, kind: type[nn.Module], group: Group) -> None:
    """The module, its names and hooks kept, doing what ``kind`` does."""
    module.__class__ = kind
    module.group = group  # type: ignore[assignment]


def put(model: MaskedLanguageModel, values: Mapping[str, Tensor], cuts: Mapping[str, Cut], group: Group) -> None:
    """Give parameters their values: this rank's parts, already cut. The table of tokens is the head's too."""
    modules = dict(model.named_modules())
    for name, value in values.items():
        prefix, _, kind = name.rpartition(".")
        parameter = nn.Parameter(value)
        if group.world > 1 and cuts[name].dim is not None:
            parameter.tensor_model_parallel = True  # type: ignore[attr-defined]
        setattr(modules[prefix], kind, parameter)
    model.head.weight = model.encoder.embeddings.tokens.weight
