"""Processes at one run at object storage that share no folder, and whose requests fail or that are killed."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from test_faults import PATIENCE, wait_for
from test_partitions import TASK
from test_stored_runs import files_of

from pipeline.store.path import StoredPath

if TYPE_CHECKING:
    from conftest import Toy
    from s3_server import S3Server

Start = Callable[..., subprocess.Popen]
NUMBERS = ("--toy.numbers.count", "8")
KILLS = 3


@pytest.fixture
def start(toy: Toy, start_code: Callable[[str], subprocess.Popen], bucket: StoredPath, tmp_path: Path) -> Start:
    """Start a process at the toy run, with a cache that is its own."""
    toy.yaml.write_text(f"run: {{directory: {bucket}/runs, project: t, workers: 1}}\n")
    numbers = itertools.count()

    def start_task(*words: str) -> subprocess.Popen:
        given = ["--run.cache", str(tmp_path / f"cache-{next(numbers)}"), *NUMBERS, *words]
        return start_code(TASK.format(yaml=str(toy.yaml), words=given, late=2))

    return start_task


@pytest.fixture
def expected(toy: Toy, tmp_path: Path) -> dict[str, bytes]:
    """The files of the run in a folder of this machine."""
    toy.run(*NUMBERS)
    return files_of(tmp_path / "runs" / "t")


@pytest.mark.slow
def test_two_machines_share_the_shards(
    expected: dict[str, bytes], start: Start, bucket: StoredPath, s3: S3Server, tmp_path: Path
) -> None:
    s3.faults = {"busy": 0.02, "cut": 0.02, "lost": 0.02}
    tasks = [start("--run.partition", f"{number}/2", "--toy.numbers.seconds", "0.2") for number in range(2)]
    said = [task.communicate(timeout=PATIENCE)[1] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], said
    s3.faults = {}
    assert files_of(bucket / "runs" / "t") == expected
    for number in range(2):
        assert list((tmp_path / f"cache-{number}").rglob("[0-9].txt")), "each did some"
    marks = [path for _, path in s3.requests if "/.shards/number-" in path]
    assert len(set(marks)) == 8
    assert not [path for path in (bucket / "runs" / "t" / "toy.write").iterdir() if "lease" in path.name]


@pytest.mark.slow
def test_run_that_is_killed_at_any_request_resumes(
    expected: dict[str, bytes], start: Start, bucket: StoredPath, s3: S3Server
) -> None:
    """Each next process is on another machine, with no copy of what the one before had."""
    rng = random.Random(11)
    for _ in range(KILLS):
        until = len(s3.requests) + rng.randrange(10, 90)
        task = start()
        wait_for(lambda until=until, task=task: len(s3.requests) >= until or task.poll() is not None)
        os.killpg(task.pid, signal.SIGKILL)
        task.wait()
    last = start()
    said = last.communicate(timeout=PATIENCE)[1]
    assert last.returncode == 0, said
    assert files_of(bucket / "runs" / "t") == expected
    again = start()
    assert "nothing to do" in again.communicate(timeout=PATIENCE)[1]
