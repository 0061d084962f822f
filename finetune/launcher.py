"""Fine-tuning by several ranks: rank 0 goes through ``xlmr``, the others take part in each run that it comes to.

    python -m finetune --ranks 2 run configs/finetune/xnli-transfer.yaml --only finetune.task
    torchrun --nproc-per-node 8 -m finetune run configs/finetune/xl-mlqa.yaml --only finetune.task

Stages of other packages run on rank 0 alone; what an encoder is pretrained by is ``python -m pretrain``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pipeline.cli import main as xlmr
from pretrain.ranks.collectives import Shared, launched

if TYPE_CHECKING:
    from pretrain.ranks.rank_group import RankGroup


def main(words: list[str] | None = None, command: Callable[[list[str]], int] = xlmr) -> int:
    """``command`` on rank 0, its fine-tuning on the others too. Gives the exit code."""

    def by_itself(words: list[str]) -> int:
        for name in ("RANK", "WORLD_SIZE"):  # so that a stage which knows nothing of the rank group works alone
            os.environ.pop(name, None)
        return command(words)

    return launched(words, Shared("finetune", "fine-tuning", take_part), by_itself)


def take_part(work: dict[str, Any], rank_group: RankGroup) -> None:
    """The same runs on another rank."""
    from finetune.training import collectives

    collectives.take_part(work, rank_group)
