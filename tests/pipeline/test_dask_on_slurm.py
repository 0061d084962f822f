"""Shards as Dask futures whose workers are jobs of a real Slurm, as dask-jobqueue starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from slurm_node import SlurmNode, describe_job_of_dask, slurm_node, why_no_slurm
from test_faults import wait_for

from pipeline.shards import MARKS

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(why_no_slurm()), reason=why_no_slurm() or "there is Slurm")]

ROOT = Path(__file__).parents[2]
WORKERS = 2
SHARDS = 12


@pytest.fixture
def node(tmp_path: Path) -> Iterator[SlurmNode]:
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    (tmp_path / "slurm").mkdir()
    with slurm_node(tmp_path / "slurm") as made:
        made.environment.update(
            describe_job_of_dask(tmp_path / "dask"),
            PYTHONPATH=os.pathsep.join([str(ROOT), str(ROOT / "tests" / "pipeline")]),
            XLMR_PACKAGES="toy_package:PACKAGE",
            OMP_NUM_THREADS="1",
        )
        yield made


def test_jobs_are_the_workers_and_a_lost_one_costs_its_shard_alone(node: SlurmNode, tmp_path: Path) -> None:
    go, runs = tmp_path / "go", tmp_path / "runs"
    (tmp_path / "run.yaml").write_text(
        yaml.safe_dump(
            {
                "run": {
                    "directory": str(runs),
                    "project": "by-jobs",
                    "until": "toy",
                    "executor": "dask",
                    "dask": {"cluster": "slurm", "workers": WORKERS},
                },
                "toy": {"numbers": {"count": SHARDS, "free": 4, "go_file": str(go)}},
            }
        )
    )
    words = [sys.executable, "-m", "pipeline", "run", str(tmp_path / "run.yaml")]
    with (tmp_path / "said").open("w") as said:
        run = subprocess.Popen(words, cwd=tmp_path, env=node.environment, stdout=said, stderr=subprocess.STDOUT)
    try:
        marks = runs / "by-jobs" / "toy.write"
        wait_for(lambda: len(list(marks.glob(f"*/{MARKS}/number-*.json"))) >= 4)
        jobs = [job for job, state in node.states().items() if state == "RUNNING"]
        assert len(jobs) == WORKERS
        node.command("scancel", jobs[0])
        wait_for(lambda: node.states()[jobs[0]] == "CANCELLED")
        go.touch()
        assert run.wait(300) == 0, (tmp_path / "said").read_text()
    finally:
        run.kill()
        run.wait()
    written = {path.name: path.read_text() for path in marks.glob("*/numbers/*.txt")}
    assert len(written) == SHARDS
    states = node.wait_for_end()  # the jobs end with the run
    assert "RUNNING" not in states.values()
