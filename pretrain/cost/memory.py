"""Bytes that training takes on one rank, from the architecture and the settings alone. Light: no torch.

What is kept for the backward pass was counted tensor by tensor, what DeepSpeed holds was measured at every ZeRO stage
(docs/pretrain.md says how far off the sum is).
"""

from __future__ import annotations

from dataclasses import dataclass

from pretrain.cost.workload import Workload
from pretrain.exchange import Precision
from pretrain.settings import TrainSettings, largest_bucket

GATHERED = 1_000_000_000
"""Numbers of whole layers that ZeRO-3 has at once at most: DeepSpeed's default."""


@dataclass(frozen=True)
class Cluster:
    """How a training is spread. ``tensor`` ranks share each matrix, ``data`` ranks the batch."""

    tensor: int = 1
    data: int = 1
    stage: int = 0
    precision: Precision = "bf16"
    activation_checkpointing: bool = False
    compiled: bool = False
    micro_batch: int = 8
    on_gpu: bool = True
    """A CPU keeps dropout masks as numbers, and makes the softmax of bf16 scores from a copy in fp32."""

    @property
    def number(self) -> int:
        """Bytes of a number that matrices are multiplied in."""
        return 4 if self.precision == "fp32" else 2

    @property
    def stream(self) -> int:
        """Bytes of a number of the residual stream."""
        return 2 if self.precision == "bf16" else 4


@dataclass(frozen=True)
class States:
    """Bytes of weights, of Adam, of gradients and DeepSpeed's buffers that are there all the time, and of gradients
    that come during the backward pass.
    """

    weights: float
    optimiser: float
    gradients: float
    buffers: float
    coming: float

    @property
    def held(self) -> float:
        """What is there all the time."""
        return self.weights + self.optimiser + self.gradients + self.buffers


@dataclass(frozen=True)
class Memory:
    """Bytes of one rank: what is held, what the forward pass leaves, what the head needs then, and what backward needs
    besides if it recomputes layers.
    """

    states: States
    activations: float
    head: float
    recomputed: float

    @property
    def total(self) -> float:
        """The most at any moment: in the head, where backward begins, or where it ends."""
        begins = self.activations + max(self.head, self.recomputed)
        return self.states.held + max(begins, self.states.coming)


def memory_of(work: Workload, how: Cluster) -> Memory:
    """What one rank needs at its worst moment."""
    own = parameters_of_rank(work, how.tensor)
    accumulating = work.train.global_batch > how.data * how.micro_batch
    layer, ends, casts = _of_a_layer(work, how)
    tokens, num_hidden_layers = how.micro_batch * work.length, work.shape.num_hidden_layers
    recomputed = 0.0
    if how.activation_checkpointing:
        table = work.shape.vocab_size * work.shape.hidden_size / how.tensor
        recomputed = tokens * (layer + 6 * work.shape.hidden_size * how.stream) + table * how.stream
        layer = work.shape.hidden_size * how.stream  # its input alone
    kept = tokens * (num_hidden_layers * layer + ends) + casts
    return Memory(_states(own, how, work.train, accumulating), kept, _head(work, how), recomputed)


def parameters_of_rank(work: Workload, tensor: int) -> float:
    """Numbers that one of ``tensor`` ranks has."""
    shape = work.shape
    hidden_size, inner, rows = shape.hidden_size, shape.intermediate_size, shape.vocab_size
    divided = (
        shape.num_hidden_layers * (4 * hidden_size**2 + 3 * hidden_size + 2 * hidden_size * inner + inner)
        + rows * hidden_size
        + rows
    )
    return work.parameters - divided + divided / tensor


def _states(own: float, how: Cluster, train: TrainSettings, accumulating: bool) -> States:
    """What DeepSpeed holds of ``own`` numbers at each stage.

    Where the optimiser is offloaded, gradients are counted as if they stayed on the GPU: the estimate is too high.
    """
    number = how.stream
    bucket = min(largest_bucket(train), own) * (2 if how.stage in (1, 2) and train.overlap_comm else 1)
    if how.stage == 0:  # AdamW itself; the ranks' gradients are summed in a bucket
        return States(4 * own, 8 * own, 4 * own * accumulating, 0, 4 * own * (not accumulating) + 4 * bucket)
    optimiser = 0.0 if train.offload_optimizer else 12 * own / how.data  # masters, and two moments
    copy = 4 * bucket * (number == 2)  # ranks add up in fp32
    if how.stage == 3:  # everything in parts; what a layer needs is gathered for it
        coming = 1.15 * number * min(own, GATHERED) + number * bucket + copy
        return States(number * own / how.data, optimiser, 4 * own / how.data, bucket * 4, coming)
    if how.precision != "bf16":
        return States(4 * own, optimiser, 4 * own * accumulating, bucket * 4, (3.1 if accumulating else 5.6) * own)
    if how.stage == 1:  # gradients whole in fp32, and in bf16 as they come; the latter stay until all have come
        coming = max(2 * own, copy * (how.data > 1)) - 2 * own * accumulating
        return States(2 * own, optimiser, (4 + 2 * accumulating) * own, 0, coming)
    return States(2 * own, optimiser, 4 * own / how.data, 0, bucket * 4 + copy)  # in a bucket, beside it, in fp32


def _of_a_layer(work: Workload, how: Cluster) -> tuple[float, float, float]:
    """Bytes kept for backward: a token's in a layer, a token's before and after the layers, and copies of matrices.

    A layer keeps its input, the first norm's input and output and the second's input (4 widths, whole on each rank);
    query, key, value, what attention saw (4 widths) and both sides of GELU (2 inner sizes), shared out.
    """
    shape, number = work.shape, how.number
    hidden_size, inner = shape.hidden_size, shape.intermediate_size
    mask = (1 if how.on_gpu else how.number) * hidden_size * bool(work.dropout)
    shared = (4 * hidden_size + 2 * inner) * number / how.tensor
    whole = 2 * hidden_size * (number + how.stream)
    statistics = 16 + 4 * shape.num_attention_heads / how.tensor
    casts = 0.0
    if how.precision == "autocast":
        casts = 2 * shape.num_hidden_layers * (4 * hidden_size**2 + 2 * hidden_size * inner) / how.tensor
    return whole + shared + 2 * mask + statistics, 2 * hidden_size * how.stream + mask + 8, casts


def _head(work: Workload, how: Cluster) -> float:
    """Bytes of the head at work: its vectors, a chunk of scores and their logarithms, the table's gradient."""
    shape, number = work.shape, how.number
    masked = work.mask_rate * how.micro_batch * work.length
    chunk = min(work.train.loss_chunk_size or masked, masked)
    rows = shape.vocab_size / how.tensor
    table = rows * shape.hidden_size
    vectors = 5 * masked * shape.hidden_size * number
    cast = table * 2 if how.precision == "autocast" else 0
    scores = chunk * rows * number
    copy = 0 if how.compiled or how.on_gpu or number == 4 else chunk * rows * 4
    softmax = scores + copy + 4 * chunk * rows
    if masked <= chunk:
        return vectors + cast + max(softmax, scores + table * number)
    summed = table * 4  # over the chunks, in fp32
    product = 0 if number == 4 else table * (2 * number + (0 if how.on_gpu else 4))
    return vectors + cast + summed + max(softmax, scores + product)
