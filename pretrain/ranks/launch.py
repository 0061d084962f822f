"""Pretraining by several ranks: rank 0 goes through ``xlmr``, the others take part in each training that it comes to.

python -m pretrain --ranks 8 run configs/xlmr-xl.yaml --from pretrain --until pretrain.train
torchrun --nproc-per-node 8 -m pretrain run configs/xlmr-xl.yaml --from pretrain --until pretrain.train
deepspeed --hostfile HOSTS --no_local_rank --module pretrain run CONFIG --from pretrain --until pretrain.train
srun --kill-on-bad-exit=1 python -m pretrain run configs/xlmr-xl.yaml --from pretrain --until pretrain.train
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.cli import main as xlmr
from pipeline.context import Context
from pipeline.counts import Counts
from pipeline.log import EventLog
from pipeline.progress import ProgressBar
from pipeline.stage import Inputs
from pretrain.ranks.collectives import Shared, current_rank_group, launched, sent_to_all
from pretrain.ranks.rank_group import RankGroup
from pretrain.settings import PretrainConfig

STAGE = "pretrain.train"


def main(words: list[str] | None = None, command: Callable[[list[str]], int] = xlmr) -> int:
    """``command`` on rank 0, its trainings on the others too. Gives the exit code."""
    return launched(words, Shared("pretrain", STAGE, take_part), command)


def run(config: PretrainConfig, inputs: Inputs, output: Path, context: Context) -> Counts:
    """The stage pretrain.train on rank 0, or on a process by itself. Errors: XlmrError, of whichever rank."""
    from pretrain.train import run as train

    rank_group = current_rank_group()
    if rank_group is None:
        return train(config, inputs, output, context)
    folders = {name: str(folder.absolute()) for name, folder in inputs.items()}
    values = config.model_dump(mode="json")
    if config.train.init_from:
        values["train"]["init_from"] = str(Path(config.train.init_from).absolute())
    work = {"config": values, "inputs": folders, "output": str(output.absolute())}
    with sent_to_all(rank_group, work, STAGE):
        return train(config, inputs, output, context)


def take_part(work: dict[str, Any], rank_group: RankGroup) -> None:
    """The same training on another rank."""
    from pretrain.train import run as train

    del rank_group  # the launcher's environment says which rank this is
    config = PretrainConfig.model_validate(work["config"])
    inputs = {name: Path(folder) for name, folder in work["inputs"].items()}
    train(config, inputs, Path(work["output"]), QuietContext(Path(work["output"])))


class QuietContext(Context):
    """The context of a rank that owns nothing: what it says goes nowhere."""

    def __init__(self, output: Path) -> None:
        super().__init__(STAGE, output, 1, EventLog(Path(os.devnull)))

    def progress(self, label: str, total: float | None = None, unit: str = "") -> ProgressBar:
        """A bar that nobody sees."""
        return _NoBar(label, total, unit, self.log)


class _NoBar(ProgressBar):
    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to end."""

    def advance(self, amount: float = 1, note: str = "") -> None:
        """Nothing to show."""
