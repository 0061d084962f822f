"""A worker on the login node of a real Slurm: its flow waits, jobs do the shards, and Cancel ends them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect_service import BESIDE, Held, PrefectService, wait_for
from slurm_node import SlurmNode, describe_job_of_dask, slurm_node, why_no_slurm

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(why_no_slurm()), reason=why_no_slurm() or "there is Slurm")]

WORKERS = 2


@pytest.fixture
def node(tmp_path: Path) -> Iterator[SlurmNode]:
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    (tmp_path / "slurm").mkdir()
    with slurm_node(tmp_path / "slurm") as made:
        yield made


@pytest.fixture
def login_node(node: SlurmNode, tmp_path: Path) -> Iterator[PrefectService]:
    (tmp_path / "service").mkdir()
    service = PrefectService(tmp_path / "service")
    service.environment |= {name: node.environment[name] for name in ("PATH", "SLURM_CONF")}
    service.environment |= describe_job_of_dask(tmp_path / "dask")
    with service.running():
        yield service


def running(node: SlurmNode) -> int:
    """How many jobs of the node run."""
    return sum(state == "RUNNING" for state in node.states().values())


def test_jobs_do_the_shards_of_a_flow_and_end_with_it(login_node: PrefectService, node: SlurmNode) -> None:
    overrides = ["run.executor=dask", "run.dask.cluster=slurm", f"run.dask.workers={WORKERS}"]
    done, cancelled = Held(login_node, "done"), Held(login_node, "cancelled")
    for held, end in ((done, "Completed"), (cancelled, "Cancelled")):
        own = [*overrides, f"toy.numbers.go_file={held.go}"]
        run = login_node.submit(BESIDE, stages=["toy.write"], project=held.project, overrides=own)
        wait_for(lambda: len(held.marks()) >= 2, lambda: login_node.story(run))  # noqa: B023
        assert running(node) == WORKERS
        if end == "Completed":
            held.go.touch()
        else:
            login_node.set_state(run, "CANCELLING")
        login_node.ended_as(run, end)
        login_node.has_only_services()
        wait_for(lambda: running(node) == 0)
