"""What ``xlmr pretrain benchmark`` can be asked for: its options, and the workload that they make. Light: no torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pipeline.errors import UsageError
from pipeline.options import Flag
from pretrain.cost.workload import DEMO, Workload, of_config, of_size


@dataclass(frozen=True)
class Options:
    """The flags of the command. What is not given is as in the configuration, or as the size has it.

    Attributes
    ----------
    size
        demo, base, large, xl, xxl or an ablation's size; not with a configuration.
    length
        Tokens of a sequence.
    batch
        Sequences that go through the model at once on a rank.
    micro_batches
        How many of these make a step, on each rank.
    steps
        Steps of each round.
    rounds
        Rounds of which the median is taken, after one that is not counted.
    dtype
        Arithmetic of the matrix products; auto is bf16 where the processor has it.
    zero_stage
        DeepSpeed's ZeRO stage.
    tensor_parallel
        Ranks that share each matrix.
    loss_chunk_size
        Masked positions whose scores are held at once; 0 is all.
    compile
        torch.compile for our layers.
    activation_checkpointing
        Recompute activations, in theirs too.
    alone
        Leave Hugging Face's loop out.
    compile_theirs
        torch.compile for their model too, which its loop does not do by itself.
    """

    size: str = DEMO
    length: int | None = None
    batch: int | None = None
    micro_batches: int = 1
    steps: int = 8
    rounds: int = 5
    dtype: Literal["auto", "fp32", "bf16"] | None = None
    zero_stage: Literal[0, 1, 2, 3] | None = None
    tensor_parallel: int | None = None
    loss_chunk_size: int | None = None
    compile: Flag = False
    activation_checkpointing: Flag = False
    alone: Flag = False
    compile_theirs: Flag = False

    def workload(self, config: Path | None, settings: Sequence[str]) -> Workload:
        """What is measured: a configuration's or a size's training, with what is given here. Errors: UsageError."""
        if settings and config is None:
            raise UsageError(f"{settings[0]}: not understood", "settings of a run need its YAML file before them")
        if min(self.micro_batches, self.steps, self.rounds, 1 if self.batch is None else self.batch) < 1:
            raise UsageError("--batch, --micro-batches, --steps and --rounds are 1 at least", "give larger numbers")
        given = of_config(config, settings) if config is not None else of_size(self.size)
        changes = {
            "micro_batch": self.batch, "dtype": self.dtype, "zero_stage": self.zero_stage,
            "tensor_parallel": self.tensor_parallel, "loss_chunk_size": self.loss_chunk_size,
            "compile": self.compile or None, "activation_checkpointing": self.activation_checkpointing or None,
        }  # fmt: skip
        return with_settings(given, changes, self.micro_batches, self.length)


def with_settings(work: Workload, changes: dict[str, Any], micro_batches: int, length: int | None) -> Workload:
    """The workload with what the command line says, its global batch made of whole micro-batches of every rank."""
    wanted = {name: value for name, value in changes.items() if value is not None}
    train = work.train.model_copy(update=wanted)
    ranks = int(os.environ.get("WORLD_SIZE", "1")) // train.tensor_parallel
    train = train.model_copy(update={"global_batch": train.micro_batch * micro_batches * max(ranks, 1)})
    length = length or work.length
    return replace(
        work, length=length, max_position_embeddings=max(work.max_position_embeddings, length + 2), train=train
    )
