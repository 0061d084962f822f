"""The summed cross-entropy of hidden vectors against the table of tokens, with never more than a chunk of the scores.

Hidden vectors and targets in, one number out. A vocabulary of 250k makes the scores of a micro-batch gigabytes in fp32;
here a chunk of positions is scored, its gradient is worked out at once, and its scores are forgotten. So each matrix
product is made once, as in the plain form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

ALIGNED = 64
"""Numbers to which a row of scores is padded: a GPU multiplies rows that begin at odd places several times slower."""


class TableRows(Protocol):
    """The part of the table's rows that this rank has, and the sums and maxima over the ranks that have the others."""

    @property
    def first(self) -> int:
        """Number of the first row here."""

    @property
    def world(self) -> int:
        """Ranks that have a part."""

    def total(self, tensor: Tensor) -> Tensor:
        """The sum over the ranks; the tensor itself may be overwritten."""

    def maximum(self, tensor: Tensor) -> Tensor:
        """The maximum over the ranks; the tensor itself may be overwritten."""


class AllRows:
    """The whole table on this rank."""

    first, world = 0, 1

    def total(self, tensor: Tensor) -> Tensor:
        """The tensor."""
        return tensor

    def maximum(self, tensor: Tensor) -> Tensor:
        """The tensor."""
        return tensor


ALL_ROWS = AllRows()


def loss_and_gradient(scores: Tensor, labels: Tensor, inside: Tensor, rows: TableRows) -> Tensor:
    """The summed loss of ``scores`` [n, rows], which are overwritten by their gradient.

    ``labels`` are rows of this rank where ``inside`` is true, and any row where it is not.
    """
    logs = F.log_softmax(scores, 1, dtype=torch.float32)
    if rows.world > 1:
        own = scores[:, 0].float() - logs[:, 0]  # ln of the sum over this rank's rows
        largest = rows.maximum(own.clone())
        whole = largest + rows.total((own - largest).exp_()).log_()
        logs += (own - whole)[:, None]
    loss = -(logs.gather(1, labels[:, None])[:, 0] * inside).sum()
    logs.exp_().scatter_add_(1, labels[:, None], -inside[:, None].float())
    scores.copy_(logs)
    return loss


@dataclass
class Scoring:
    """How scores are worked out: positions at a time (0: all), rows of the table here, the softmax, maybe compiled."""

    chunk: int = 0
    rows: TableRows = ALL_ROWS
    softmax: Callable[[Tensor, Tensor, Tensor, TableRows], Tensor] = loss_and_gradient


def summed_cross_entropy(hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, how: Scoring) -> Tensor:
    """Summed cross-entropy of ``hidden`` [n, hidden_size] @ ``weight`` [rows, hidden_size] + ``bias``, at ``labels``.

    fp32 wherever numbers are added up; the products have the type of ``hidden``, or autocast's. With a part of the
    rows on each rank, sums and maxima of positions cross, never scores.
    """
    with_gradient = torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad)
    device = hidden.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
    loss: Tensor = _SummedCrossEntropy.apply(hidden, weight, bias, labels, how, dtype, with_gradient)
    return loss


class _SummedCrossEntropy(torch.autograd.Function):
    """Gradients are made in ``forward``; ``backward`` scales them."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor, how: Scoring, dtype: torch.dtype,
        with_gradient: bool,
    ) -> Tensor:  # fmt: skip
        rows = how.rows
        loss = torch.zeros((), device=hidden.device)
        gradients = _Gradients(hidden, bias, dtype, of_table=ctx.needs_input_grad[1]) if with_gradient else None
        parts = max(1, -(-len(labels) // (how.chunk or max(len(labels), 1))))
        size = -(-len(labels) // parts)
        with torch.autocast(hidden.device.type, enabled=False):
            table, addend, vectors = weight.to(dtype), bias.to(dtype), hidden.to(dtype)
            local = labels - rows.first
            inside = (local >= 0) & (local < len(table))
            local = local.clamp(0, len(table) - 1)
            buffer = vectors.new_empty(size, -(-len(table) // ALIGNED) * ALIGNED)
            for part in range(parts):
                chosen = slice(part * size, min((part + 1) * size, len(labels)))
                padded = buffer[: chosen.stop - chosen.start]
                padded[:, len(table) :] = -torch.inf  # tokens that nobody says
                scores = padded[:, : len(table)]
                torch.addmm(addend, vectors[chosen], table.t(), out=scores)
                loss += how.softmax(padded, local[chosen], inside[chosen], rows)  # whole: a part would be copied
                if gradients is not None:
                    gradients.add(chosen, scores, vectors[chosen], table)
        if gradients is not None:
            rows.total(gradients.hidden)
            ctx.save_for_backward(*gradients.as_types(hidden.dtype, weight.dtype, bias.dtype))
        return rows.total(loss)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        return (*(None if gradient is None else gradient.mul_(scale) for gradient in ctx.saved_tensors), *[None] * 4)


class _Gradients:
    """What the chunks add up to. Sums over chunks are in fp32 whatever the products are in."""

    def __init__(self, hidden: Tensor, bias: Tensor, dtype: torch.dtype, *, of_table: bool) -> None:
        """``of_table``: whether the table's is wanted, which is a matrix product more."""
        self.hidden = torch.empty_like(hidden, dtype=dtype)
        self._of_table = of_table
        self._weight: Tensor | None = None
        self._bias = torch.zeros_like(bias, dtype=torch.float32)

    def add(self, chosen: slice, scores: Tensor, vectors: Tensor, table: Tensor) -> None:
        """Take in a chunk; ``scores`` holds their gradient."""
        torch.mm(scores, table, out=self.hidden[chosen])
        self._bias += scores.sum(0, dtype=torch.float32)
        if not self._of_table:
            return
        if self._weight is None:
            self._weight = torch.mm(scores.t(), vectors)
        elif scores.dtype is torch.float32:
            self._weight.addmm_(scores.t(), vectors)
        else:
            self._weight = self._weight.float().add_(torch.mm(scores.t(), vectors))

    def as_types(
        self, hidden: torch.dtype, weight: torch.dtype, bias: torch.dtype
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """The gradients of the hidden vectors, of the table (None where it is not wanted) and of the bias."""
        of_table = None if self._weight is None else self._weight.to(weight)
        return self.hidden.to(hidden), of_table, self._bias.to(bias)
