"""Settings of how ranks exchange gradients: which ones would have no effect on a given cluster. Light: no torch."""

from __future__ import annotations

from typing import Literal

from pipeline.errors import XlmrError
from pretrain.settings import TrainSettings

Precision = Literal["fp32", "autocast", "bf16"]
"""fp32; bf16 products over fp32 weights; bf16 weights beside fp32 masters."""


def overlaps(train: TrainSettings, stage: int) -> bool:
    """Whether gradients are sent during the backward pass. DeepSpeed does so at ZeRO 3 by default."""
    return stage == 3 if train.overlap_comm is None else train.overlap_comm


def check_exchange(train: TrainSettings, stage: int, precision: Precision, data_ranks: int, *, on_gpu: bool) -> None:
    """Errors: XlmrError for the first setting that would have no effect. ``stage`` is the one that is used."""
    found = no_effect(train, stage, precision, data_ranks, on_gpu=on_gpu)
    if found is not None:
        name, reason, fix = found
        raise XlmrError(f"pretrain.train.{name} has no effect: {reason}", fix)


def no_effect(
    train: TrainSettings, stage: int, precision: Precision, data_ranks: int, *, on_gpu: bool
) -> tuple[str, str, str] | None:
    """The first setting that would have no effect, the reason, and what to do; None if there is none."""
    # DeepSpeed has an optimiser of its own for this case, which sums all gradients after the last backward pass.
    one_sum = precision == "bf16" and stage == 1 and not train.offload_optimizer
    reason = "with bf16 weights and zero_stage 1 all gradients are sent as one sum after the last backward pass"
    other_stage = "set zero_stage to 2 or 3"
    leave_out = "remove it for this machine"
    if train.overlap_comm:
        if not on_gpu:
            return "overlap_comm", "only GPUs send gradients during the backward pass", leave_out
        if data_ranks == 1:
            return "overlap_comm", "one data-parallel rank sends no gradients", leave_out
        if one_sum:
            return "overlap_comm", reason, other_stage
    if train.reduce_bucket_size and one_sum:
        return "reduce_bucket_size", reason, other_stage
    if train.gradient_dtype == "bf16" and precision == "autocast" and stage:
        reason = "under ZeRO, gradients of fp32 weights are sent in fp32 where products are bf16"
        return "gradient_dtype", reason, "set weights to bf16, or zero_stage to 0"
    if train.offload_optimizer and not on_gpu:
        return "offload_optimizer", "the optimiser of a CPU rank is in the machine's memory already", leave_out
    return None
