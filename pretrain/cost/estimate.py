"""What pretraining of a configuration will take: operations, memory and time on so many GPUs, for ``xlmr study``."""

from __future__ import annotations

from typing import Any

from pipeline.formatting import duration, short_number
from pipeline.study.cost import Estimate
from pretrain.cost.flops import training_flops
from pretrain.cost.memory import memory_of
from pretrain.cost.plan import precision_of, speed_of, spread, suggest
from pretrain.cost.workload import of_settings

GPU_MEMORY = 80e9 * 0.9
"""Bytes of a GPU that can be used: an A100's or H100's, as in ``xlmr pretrain plan``."""

WORTH_A_CLUSTER = 60
"""Seconds on GPUs from which they are spoken of: what takes less is meant for processors."""


def estimate(config: Any, gpus: int) -> dict[str, Estimate]:
    """Of pretrain.train, on ``gpus`` GPUs, by the layout that ``xlmr pretrain plan`` would suggest."""
    work = of_settings(config, config.run.project)
    how = suggest(work, gpus, GPU_MEMORY, precision_of(work)) or spread(work, gpus)
    speed = speed_of(None, None, None)
    seconds = speed.step_seconds(work, how) * work.train.steps
    tokens = work.train.global_batch * work.length * work.train.steps
    operations = tokens * training_flops(work.shape, work.length, work.mask_rate)
    words = f"{work.parameters:,} parameters, {short_number(tokens)} tokens, {operations:.2g} operations"
    if seconds >= WORTH_A_CLUSTER:
        memory = memory_of(work, how).total / 1e9
        words += f": {duration(seconds)} on {gpus} GPU{'s' * (gpus != 1)} with {memory:.0f} GB on each"
    return {"pretrain.train": Estimate(operations, words, seconds)}
