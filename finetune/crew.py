"""Fine-tuning by several ranks: rank 0 goes through ``xlmr``, the others take part in each run that it comes to.

    python -m finetune --ranks 2 run configs/finetune/xnli-transfer.yaml --only finetune.task
    torchrun --nproc-per-node 8 -m finetune run configs/finetune/xl-mlqa.yaml --only finetune.task

Stages of other rooms run on rank 0 alone; what an encoder is pretrained by is ``python -m pretrain``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cli import exit_code_of
from pipeline.cli import main as xlmr
from pipeline.errors import UsageError, XlmrError
from pipeline.notes import notes_to

if TYPE_CHECKING:
    from finetune.training.ranks import Ranks
    from finetune.training.run import RunShard
    from pipeline.context import Context
    from pretrain.ranks.crew import Crew

RANKS = "--ranks"


class FinetuneCrew:
    """The ranks of this launch, as rank 0 leads them."""

    def __init__(self, crew: Crew) -> None:
        self._crew, self._number = crew, 0

    def fine_tune(self, shards: Sequence[RunShard], context: Context) -> None:
        """Every run that is not there yet, by all ranks together. Errors: XlmrError, of whichever rank."""
        todo = [one for one in shards if not one.done]
        self._number += 1
        self._crew.send(self._number, {"shards": [_described(one) for one in todo]})
        with (
            self._crew.watch(context.stage),
            context.progress("runs", len(todo), "run") as bar,
            notes_to(lambda line: bar.advance(0, line)),
        ):
            try:
                for _ in _together(todo, self._crew):
                    bar.advance()
            except Exception as error:
                line = None if _is_own(error) else self._crew.first_trouble()
                if line is None:
                    raise
                raise XlmrError(*line.split("; ", 1)) from error


_LED: list[FinetuneCrew] = []


def current_crew() -> FinetuneCrew | None:
    """The ranks that this process leads; None where it is alone."""
    return _LED[0] if _LED else None


def main(words: list[str] | None = None, command: Callable[[list[str]], int] = xlmr) -> int:
    """``command`` on rank 0, and on the others what it asks for. Gives the exit code.

    ``--ranks N`` before everything else starts N ranks of it on this machine.
    """
    words = sys.argv[1:] if words is None else words
    if words[:1] == [RANKS]:
        return exit_code_of(lambda: _start(words), "python -m finetune --help")
    from pretrain.ranks.crew import Crew
    from pretrain.ranks.launch import take_slurm

    take_slurm(os.environ)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return command(words)
    crew = Crew.join()
    for name in ("RANK", "WORLD_SIZE"):
        del os.environ[name]  # so that a stage which knows nothing of this crew works alone
    if crew.rank:
        return _follow(crew)
    _LED.append(FinetuneCrew(crew))
    code = 1
    try:
        code = command(words)
    finally:
        crew.leave(code)
    return code


def _start(words: list[str]) -> int:
    from pretrain.ranks.local_ranks import command_without, start_ranks

    amount = words[1] if len(words) > 1 else ""
    if not amount.isdigit() or amount == "0":
        raise UsageError(f"{RANKS} {amount}: not a number of ranks", f"as in python -m finetune {RANKS} 2 run …")
    return start_ranks(int(amount), command_without(RANKS))


def _follow(crew: Crew) -> int:
    """Take part in whatever rank 0 comes to. Gives the exit code; rank 0 does the talking."""
    number = 1
    while (work := crew.receive(number)) is not None:
        with crew.watch("fine-tuning"):
            try:
                for _ in _together([_shard_of(one) for one in work["shards"]], crew):
                    pass
            except (Exception, KeyboardInterrupt) as error:
                line = str(error) if isinstance(error, XlmrError) else f"{type(error).__name__}: {error}"
                crew.failed(" ".join(line.split()), lost=not _is_own(error))
                return 1
        number += 1
    code = crew.code_of_rank_0()
    return code[0] if code else 1


def _together(shards: Sequence[RunShard], crew: Crew) -> Iterator[str]:
    """Each run by all ranks; its name when it is done."""
    from finetune.training.run import RUNS, fine_tune_run

    for shard in shards:
        fine_tune_run(shard, shard.folder / RUNS / shard.run.name, join_ranks(shard, crew.rank, crew.world))
        yield shard.run.name


def join_ranks(shard: RunShard, rank: int, world: int) -> Ranks:
    """This process's place among the ranks. Errors: XlmrError for a number that tensor_parallel does not divide."""
    import torch
    from torch import distributed

    from finetune.training.ranks import Ranks
    from pretrain.parallel import Layout

    recipe = shard.recipe
    if world % recipe.tensor_parallel:
        raise XlmrError(
            f"{world} ranks do not make groups of {recipe.tensor_parallel}",
            "start a multiple of finetune.recipe.tensor_parallel ranks",
        )
    if not distributed.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        distributed.init_process_group(backend, "env://", rank=rank, world_size=world)
    elif distributed.get_world_size() != world:
        raise XlmrError("this process has pretrained alone", "run the stages up to pretrain.export first")
    layout = Layout(rank, world, recipe.tensor_parallel)
    return Ranks(layout.tensor, layout.data, recipe.zero_stage)


def _described(shard: RunShard) -> dict[str, Any]:
    """Plain values that ``_shard_of`` makes the same shard of."""
    folders = {name: str(getattr(shard, name).absolute()) for name in ("encoder", "folder")}
    known = {"kind": shard.kind, "task": shard.task, "labels": list(shard.labels)}
    return {"run": asdict(shard.run), "recipe": shard.recipe.model_dump(mode="json"), **known, **folders} | {
        "by_language": shard.by_language
    }


def _shard_of(values: dict[str, Any]) -> RunShard:
    from finetune.protocol import Run
    from finetune.stages import Recipe
    from finetune.training.run import RunShard

    return RunShard(
        Run(**values["run"]),
        Recipe.model_validate(values["recipe"]),
        values["kind"],
        values["task"],
        tuple(values["labels"]),
        Path(values["encoder"]),
        Path(values["folder"]),
        values["by_language"],
    )


def _is_own(error: BaseException) -> bool:
    """Whether the error is this rank's, and not a collective's complaint about another."""
    from pretrain.ranks.stopping import LOST

    return not (isinstance(error, RuntimeError) and any(word in str(error) for word in LOST))
