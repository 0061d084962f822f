"""Several ranks, one command. Rank 0 goes through ``xlmr``: it alone has the lease, the manifest and the log.

The others wait until it comes to the training, take part in that with the same settings and folders, and wait again.

    python -m pretrain --ranks 8 run configs/xlmr-xl.yaml --only pretrain.train
    torchrun --nproc-per-node 8 -m pretrain run configs/xlmr-xl.yaml --only pretrain.train
    deepspeed --hostfile HOSTS --no_local_rank --module pretrain run configs/xlmr-xl.yaml --only pretrain.train
    srun --kill-on-bad-exit=1 python -m pretrain run configs/xlmr-xl.yaml --only pretrain.train
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, MutableMapping
from pathlib import Path
from types import TracebackType

from pipeline.cli import exit_code_of
from pipeline.cli import main as xlmr
from pipeline.context import Context
from pipeline.counts import Counts
from pipeline.errors import UsageError, XlmrError
from pipeline.log import EventLog
from pipeline.progress import Progress
from pipeline.stage import Inputs
from pretrain.ranks.crew import Crew
from pretrain.stages import PretrainConfig

RANKS = "--ranks"


class _Launch:
    """The crew that this process belongs to, and how many trainings it has begun."""

    crew: Crew | None = None
    number = 0


def main(words: list[str] | None = None, command: Callable[[list[str]], int] = xlmr) -> int:
    """``command`` on rank 0, its helper on the others. Gives the exit code.

    ``--ranks N`` before everything else starts N ranks of it on this machine.
    """
    words = sys.argv[1:] if words is None else words
    if words[:1] == [RANKS]:
        return _start(words)
    take_slurm(os.environ)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return command(words)
    crew = _Launch.crew = Crew.join()
    if crew.rank:
        return follow(crew)
    code = 1
    try:
        code = command(words)
    finally:
        crew.leave(code)
    return code


def _start(words: list[str]) -> int:
    from pretrain.ranks.local_ranks import command_without, start_ranks

    def work() -> int:
        amount = words[1] if len(words) > 1 else ""
        if not amount.isdigit() or amount == "0":
            raise UsageError(f"{RANKS} {amount}: not a number of ranks", f"as in python -m pretrain {RANKS} 2 run …")
        return start_ranks(int(amount), command_without(RANKS))

    return exit_code_of(work, "python -m pretrain --help")


def take_slurm(environment: MutableMapping[str, str]) -> None:
    """Where srun started us with several tasks, say so by the names that PyTorch asks for.

    The first node's name and a port come from the batch script, which knows them: MASTER_ADDR and MASTER_PORT.
    """
    names = {"RANK": "SLURM_PROCID", "WORLD_SIZE": "SLURM_STEP_NUM_TASKS", "LOCAL_RANK": "SLURM_LOCALID"}
    if "RANK" in environment or int(environment.get("SLURM_STEP_NUM_TASKS", "1")) == 1:
        return
    for ours, theirs in names.items():
        environment[ours] = environment[theirs]


def run(config: PretrainConfig, inputs: Inputs, output: Path, context: Context) -> Counts:
    """The stage pretrain.train on rank 0, or on a process by itself. Errors: XlmrError, of whichever rank."""
    from pretrain.train import run as train

    crew = _Launch.crew
    if crew is None:
        return train(config, inputs, output, context)
    _Launch.number += 1
    folders = {name: str(folder.absolute()) for name, folder in inputs.items()}
    work = {"config": config.model_dump(mode="json"), "inputs": folders, "output": str(output.absolute())}
    crew.send(_Launch.number, work)
    with crew.watch("pretrain.train"):
        try:
            return train(config, inputs, output, context)
        except Exception as error:
            if _is_own(error):
                raise
            raise _named(crew, error) from error


def follow(crew: Crew) -> int:
    """Take part in each training that rank 0 comes to. Gives the exit code; rank 0 does the talking."""
    from pretrain.train import run as train

    number = 1
    while (work := crew.receive(number)) is not None:
        config = PretrainConfig.model_validate(work["config"])
        inputs = {name: Path(folder) for name, folder in work["inputs"].items()}
        with crew.watch("pretrain.train"):
            try:
                train(config, inputs, Path(work["output"]), QuietContext(Path(work["output"])))
            except (Exception, KeyboardInterrupt) as error:
                line = str(error) if isinstance(error, XlmrError) else f"{type(error).__name__}: {error}"
                crew.failed(" ".join(line.split()), lost=not _is_own(error))
                return 1
        number += 1
    code = crew.code_of_rank_0()
    return code[0] if code else 1


def _is_own(error: BaseException) -> bool:
    """Whether the error is this rank's, and not a collective's complaint about another."""
    from pretrain.ranks.stopping import LOST

    said = error.__cause__ if isinstance(error, XlmrError) else error
    return not (isinstance(said, RuntimeError) and any(word in str(said) for word in LOST))


def _named(crew: Crew, error: Exception) -> Exception:
    """What is behind a collective's complaint, if it shows soon."""
    line = crew.first_trouble()
    return XlmrError(*line.split("; ", 1)) if line else error


class QuietContext(Context):
    """The context of a rank that owns nothing: what it says goes nowhere."""

    def __init__(self, output: Path) -> None:
        super().__init__("pretrain.train", output, 1, EventLog(Path(os.devnull)))

    def progress(self, label: str, total: float | None = None, unit: str = "") -> Progress:
        """A bar that nobody sees."""
        return _NoBar(label, total, unit, self.log)


class _NoBar(Progress):
    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to end."""

    def advance(self, amount: float = 1, note: str = "") -> None:
        """Nothing to show."""
