"""Shards of a flow's stages by Dask and by Beam, and what is left of them when the run is cancelled."""

from __future__ import annotations

from pathlib import Path

import pytest
from prefect_service import BESIDE, Held, PrefectService, wait_for

pytestmark = pytest.mark.slow


def numbers(service: PrefectService, project: str) -> dict[str, bytes]:
    """The files that the shards of toy.write have made."""
    folder = Path(service.folder, "runs", project, "toy.write")
    return {path.name: path.read_bytes() for path in folder.glob("*/numbers/*.txt")}


def test_executors_make_the_same_and_a_cancelled_run_leaves_no_worker(service: PrefectService) -> None:
    runs = {
        executor: service.submit(
            BESIDE, project=executor, overrides=[f"run.executor={executor}", "run.workers=2", "run.until=toy"]
        )
        for executor in ("local", "dask", "beam")
    }
    for executor, run in runs.items():
        service.ended_as(run, "Completed")
        assert numbers(service, executor) == numbers(service, "local") != {}
    held = Held(service, "dask-cancelled")
    overrides = [f"toy.numbers.go_file={held.go}", "run.executor=dask", "run.workers=2"]
    run = service.submit(BESIDE, stages=["toy.write"], project=held.project, overrides=overrides)
    wait_for(lambda: len(held.marks()) >= 2, lambda: service.story(run))
    service.set_state(run, "CANCELLING")
    service.ended_as(run, "Cancelled")
    service.has_only_services()
