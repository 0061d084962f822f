"""Bytes that ranks exchange in a step, and the seconds in which they do nothing else.

Collectives go round a ring: of a sum of n ranks each sends 2(n-1)/n of it, of a scattered sum or a gathering (n-1)/n.
Between machines the GPUs of one use its network together.
"""

from __future__ import annotations

from dataclasses import dataclass

from pretrain.cost.flops import training_flops
from pretrain.cost.memory import Cluster, parameters_of_rank
from pretrain.cost.workload import Workload
from pretrain.exchange import overlaps
from pretrain.settings import largest_bucket

BACKWARD = 2 / 3
"""Share of the backward pass in a step's FLOPs."""


@dataclass(frozen=True)
class Network:
    """Bytes a second, each way: of a GPU inside a machine of ``gpus`` GPUs, and of a whole machine to others."""

    inside: float = 450e9
    """NVLink of an H100 or H200: 900 GB/s in both directions together (NVIDIA's data sheet)."""
    between: float = 50e9
    """One port of 400 Gb/s. A DGX H100 has eight."""
    gpus: int = 8


@dataclass(frozen=True)
class Communication:
    """Bytes that a GPU sends in a step, and the time."""

    gradients: float
    weights: float
    activations: float
    seconds: float
    """Exposed: in which nothing is computed."""
    hidden: float
    """Overlapped: in which the same GPU computes."""


def communication_of(work: Workload, how: Cluster, network: Network, compute_seconds: float) -> Communication:
    """What ranks exchange in a step whose arithmetic takes ``compute_seconds``."""
    train = work.train
    own = parameters_of_rank(work, how.tensor)
    rows = train.global_batch / how.data
    micro_batches = -(-rows // how.micro_batch)
    # ZeRO 2 and 3 exchange gradients in each micro-batch. Below 3 DeepSpeed sums whole gradients on all ranks.
    exchanges, rounds = (micro_batches if how.stage >= 2 else 1), (1 if how.stage == 3 else 2)
    gradients = rounds * own * (2 if train.gradient_dtype == "bf16" else 4) * exchanges
    # After the step each rank has a part of the new weights. ZeRO 3 gathers them for each pass instead.
    weights = own * how.stream * (2 * micro_batches if how.stage == 3 else min(how.stage, 1))
    sums = 2 * (3 if how.activation_checkpointing else 2) * work.shape.num_hidden_layers
    activations = 2 * rows * work.length * work.shape.hidden_size * how.number * sums
    exchange, gathering = (_among_data_ranks(size, how, network) for size in (gradients, weights))
    hidden = 0.0
    if overlaps(train, how.stage):
        beside = BACKWARD * compute_seconds / (micro_batches if how.stage < 2 else 1)
        hidden = min(exchange * (1 - _sent_last(work, how, own)), beside)
        if how.stage == 3:  # the weights of the next layer are gathered while one computes
            hidden += min(gathering, compute_seconds - hidden)
    seconds = exchange + gathering - hidden + _among_tensor_ranks(activations, how, network)
    data, tensor = ((ranks - 1) / ranks for ranks in (how.data, how.tensor))
    return Communication(data * gradients, data * weights, tensor * activations, seconds, hidden)


def _sent_last(work: Workload, how: Cluster, own: float) -> float:
    """Share of the gradients that cannot be sent before the backward pass has ended.

    The head and the embeddings have the same table, so its gradient is complete when the embeddings have theirs.
    """
    table = work.shape.vocab_size * work.shape.hidden_size / how.tensor
    return min(1.0, max(table, largest_bucket(work.train)) / own)


def _among_data_ranks(size: float, how: Cluster, network: Network) -> float:
    """Seconds of a ring of all data-parallel ranks, each of which has ``size`` bytes (twice that for a sum).

    Each tensor-parallel rank of a machine has a ring of its own, and all rings share the machine's network.
    """
    rings = min(how.tensor, network.gpus)
    members = network.gpus // rings  # ranks of a ring in the same machine
    machines = -(-how.data // members)
    inside = (how.data - 1) / how.data * size / network.inside if members > 1 else 0.0
    return max(inside, (machines - 1) / machines * size * rings / network.between)


def _among_tensor_ranks(size: float, how: Cluster, network: Network) -> float:
    """Seconds of a ring of ranks that share tensors; as many as fit are in the same machine."""
    machines = -(-how.tensor // network.gpus)
    inside = (how.tensor - 1) / how.tensor * size / network.inside
    return max(inside, (machines - 1) / machines * size / network.between)


def share_of_peak(work: Workload, how: Cluster, step_seconds: float, peak: float) -> float:
    """Useful FLOPs of a step, as a share of what the GPUs could do at their peak in its whole time.

    Recomputing is not useful, and communication makes the time longer.
    """
    useful = work.train.global_batch * work.length * training_flops(work.shape, work.length, work.mask_rate)
    return useful / (step_seconds * how.tensor * how.data * peak)
