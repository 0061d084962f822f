"""Several ranks as one: each run of a comparison is sent to all, and all of them work on it.

Rank 0 comes to it as it goes through the stage; the others wait for what it sends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

from torch import distributed

from finetune.protocol import Run
from finetune.stages import Encoders, Recipe
from finetune.training.ranks import Ranks
from finetune.training.run import RUNS, RunShard, fine_tune_run
from pipeline.context import Context
from pipeline.errors import XlmrError
from pipeline.shards.notes import notes_to
from pretrain.parallel import Layout
from pretrain.ranks.collectives import sent_to_all
from pretrain.ranks.device import device_of_rank
from pretrain.ranks.rank_group import RankGroup

PATIENCE = timedelta(minutes=60)
"""For which a rank waits in a collective. The first one judges, encodes and writes models alone: one of XXL's size to a
slow disk takes longer than the ten minutes after which NCCL ends a run by itself."""


def fine_tune_by_all_ranks(rank_group: RankGroup, shards: Sequence[RunShard], context: Context) -> None:
    """Every run that is not there yet, by all ranks. Errors: XlmrError, of whichever rank."""
    todo = [one for one in shards if not one.done]
    with (
        sent_to_all(rank_group, {"shards": [_described(one) for one in todo]}, context.stage),
        context.progress("runs", len(todo), "run") as bar,
        notes_to(lambda line: bar.advance(0, line)),
    ):
        for _ in _by_all_ranks(todo, rank_group):
            bar.advance()


def take_part(work: dict[str, Any], rank_group: RankGroup) -> None:
    """The same runs on another rank."""
    for _ in _by_all_ranks([_shard_of(one) for one in work["shards"]], rank_group):
        pass


def _by_all_ranks(shards: Sequence[RunShard], rank_group: RankGroup) -> Iterator[str]:
    """Each run by all ranks; its name when it is done. They are of one comparison, and so of one recipe."""
    if not shards:
        return
    ranks = join_ranks(shards[0].recipe, rank_group.rank, rank_group.world)  # once: NCCL keeps what every group takes
    for shard in shards:
        fine_tune_run(shard, shard.folder / RUNS / shard.run.name, ranks)
        yield shard.run.name


def join_ranks(recipe: Recipe, rank: int, world: int) -> Ranks:
    """This process's place among the ranks.

    Errors: XlmrError for a number that tensor_parallel does not divide, or that are more than there are GPUs.
    """
    if world % recipe.tensor_parallel:
        raise XlmrError(
            f"{world} ranks do not make groups of {recipe.tensor_parallel}",
            "start a multiple of finetune.recipe.tensor_parallel ranks",
        )
    if not distributed.is_initialized():
        backend = "nccl" if device_of_rank().type == "cuda" else "gloo"
        distributed.init_process_group(backend, "env://", PATIENCE, world, rank)
    elif distributed.get_world_size() != world:
        raise XlmrError("this process has pretrained alone", "run the stages up to pretrain.export first")
    return Ranks.of(Layout(rank, world, recipe.tensor_parallel, PATIENCE))


def _described(shard: RunShard) -> dict[str, Any]:
    """Plain values that ``_shard_of`` makes the same shard of."""
    others = {name: str(folder.absolute()) for name, folder in shard.encoders.others.items()}
    folders = {"encoder": str(shard.encoders.pretrained.absolute()), "folder": str(shard.folder.absolute())}
    known = {"kind": shard.kind, "task": shard.task, "labels": list(shard.labels)}
    return {"run": asdict(shard.run), "recipe": shard.recipe.model_dump(mode="json"), **known, **folders} | {
        "others": others,
        "by_language": shard.by_language,
        "head": shard.head,
    }


def _shard_of(values: dict[str, Any]) -> RunShard:
    return RunShard(
        Run(**values["run"]),
        Recipe.model_validate(values["recipe"]),
        values["kind"],
        values["task"],
        tuple(values["labels"]),
        Encoders(Path(values["encoder"]), {name: Path(folder) for name, folder in values["others"].items()}),
        Path(values["folder"]),
        values["by_language"],
        values["head"],
    )
