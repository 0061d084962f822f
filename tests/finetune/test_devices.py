"""Runs and GPUs: each worker its own, by turns; ranks keep their groups; all without a GPU, whose number is made up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import distributed

from finetune.protocol import Run
from finetune.stages import Encoders, Recipe
from finetune.training import collectives, comparison
from finetune.training.devices import own_device, runs_at_once
from finetune.training.run import RunShard
from pipeline.context import Context
from pipeline.executors.local import WORKER
from tests.finetune.finetune_ranks import tiny_task
from tests.finetune.reported_by_workers import tell_worker


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> list[torch.device]:
    """Two, which are not there; those that were made the current one."""
    chosen: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    return chosen


def test_workers_take_gpus_by_turns(gpus: list[torch.device], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.delenv(WORKER, raising=False)
    assert own_device() == torch.device("cuda", 0), "a run that is alone takes the first"
    for number in range(4):
        monkeypatch.setenv(WORKER, str(number))
        assert own_device() == torch.device("cuda", number % 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert own_device() == torch.device("cuda", 1), "what the launcher says goes before"
    assert gpus == [torch.device("cuda", number) for number in (0, 0, 1, 0, 1, 1)]


def test_cpu_runs_are_as_many_as_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert own_device() == torch.device("cpu")
    assert runs_at_once(1) is None


def test_workers_that_go_at_once_have_numbers_and_a_limit(tmp_path: Path, context_of: Callable[..., Context]) -> None:
    names = dict.fromkeys("abcde", "")
    found = context_of(tmp_path / "two", workers=3).map_shards(tell_worker, names, at_once=2)
    assert {counts["worker"] for counts in found.values()} == {0, 1}
    assert len({counts["process"] for counts in found.values()}) == 2


@pytest.mark.parametrize(("on_a_gpu", "limit"), [(1, 2), (2, 4)])
def test_no_more_runs_than_gpus(
    on_a_gpu: int,
    limit: int,
    gpus: list[torch.device],
    export: Path,
    tmp_path: Path,
    context_of: Callable[..., Context],
) -> None:
    class StopHereError(Exception):
        pass

    def asked(*given: Any, at_once: int) -> None:
        assert at_once == limit
        raise StopHereError

    context = context_of(tmp_path / "out", workers=8)
    context.map_shards = asked  # type: ignore[method-assign]
    recipe = Recipe(longest=24, runs_per_gpu=on_a_gpu)
    with pytest.raises(StopHereError):
        comparison.Comparison(tiny_task("tagging"), recipe, comparison.Protocol(), Encoders(export)).run(
            tmp_path / "out", context
        )
    assert gpus == [], "to count them is not to take one"


def test_all_runs_of_a_comparison_share_their_groups(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    begun: list[Any] = []
    groups: list[Any] = []
    done: list[Any] = []
    monkeypatch.setattr(distributed, "is_initialized", lambda: bool(begun))
    monkeypatch.setattr(distributed, "get_world_size", lambda: 4)
    monkeypatch.setattr(distributed, "init_process_group", lambda *given: begun.append(given))
    monkeypatch.setattr(distributed, "new_group", lambda ranks, timeout: groups.append((ranks, timeout)))
    monkeypatch.setattr(collectives, "fine_tune_run", lambda shard, folder, ranks: done.append(ranks))
    recipe = Recipe(tensor_parallel=2)
    shards = [
        RunShard(Run("random", 1e-3, seed), recipe, "span", "", (), Encoders(tmp_path), tmp_path, head=seed == 2)
        for seed in (1, 2, 3)
    ]
    again = [collectives._shard_of(collectives._described(one)) for one in shards]
    assert [one.head for one in again] == [False, True, False], "the other ranks get all of a run"
    collectives.take_part({"shards": [collectives._described(one) for one in shards]}, SimpleNamespace(rank=1, world=4))  # type: ignore[arg-type]
    assert len(done) == 3
    assert all(ranks is done[0] for ranks in done)
    assert [ranks for ranks, _ in groups] == [[0, 1], [2, 3], [0, 2], [1, 3]]
    waits = {begun[0][2], *(timeout for _, timeout in groups)}
    assert waits == {timedelta(minutes=60)}, "NCCL's own ten minutes are less than a large model takes to be written"
