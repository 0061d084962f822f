"""Beam's runners on a cluster: jobs that fail, wait or lose a worker; several shards at once in one worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from beam_servers import portable, worker_pool
from test_dask import scheduler
from test_faults import PATIENCE, RUN, die_once, digest, wait_for

from pipeline.errors import XlmrError
from pipeline.executors.beam import BeamExecutor
from pipeline.shards import ShardReport

__all__ = ["portable", "scheduler", "worker_pool"]


@pytest.fixture
def runner_folder(tmp_path, monkeypatch):
    (tmp_path / "runner").mkdir()
    monkeypatch.setenv("XLMR_TEST_RUNNER", str(tmp_path / "runner"))
    return tmp_path / "runner"


def write(number: int, workspace: Path) -> ShardReport:
    """A file that says how often the shard was begun stands beside the output."""
    with (workspace.parents[3] / f"begun-{number}").open("a") as begun:
        begun.write("x")
    (workspace / f"{number}.txt").write_text(str(number))
    return ShardReport({"numbers": 1})


@pytest.mark.parametrize(("fails", "again"), [(["1", "z"], 1), (["z"], 0)])
def test_a_failed_pipeline_is_run_again_with_what_is_missing(tmp_path, map_shards, runner_folder, capsys, fails, again):
    for name in fails:
        (runner_folder / f"fail-{name}").touch()
    executor = BeamExecutor(1, runner="beam_runners.FailingRunner")
    shards = {f"s{number}": number for number in range(3)}
    assert map_shards(write, shards, tmp_path / "out", executor=executor) == {name: {"numbers": 1} for name in shards}
    assert [len((tmp_path / f"begun-{number}").read_text()) for number in range(3)] == [1, 1, 1]
    said = [line for line in capsys.readouterr().err.splitlines() if " of 3" in line and "try" in line]
    assert len(said) == again
    assert all("RuntimeError: the cluster went away; running it again with 3 shards" in line for line in said)
    assert not list(runner_folder.iterdir())


def never(number: int, workspace: Path) -> ShardReport:
    """Ends the process of the pipeline itself as a runner does that gives up: an exit code, no signal."""
    with (workspace.parents[3] / "begun").open("a") as begun:
        begun.write("x")
    os._exit(1)


def test_three_tries_in_all(tmp_path, map_shards, capsys):
    executor = BeamExecutor(1)
    with pytest.raises(XlmrError, match=r"1 of 1 shards failed \(s\): the Beam pipeline failed: "):
        map_shards(never, {"s": 1}, tmp_path / "out", executor=executor)
    assert (tmp_path / "begun").read_text() == "xxx"
    lines = [line for line in capsys.readouterr().err.splitlines() if "try" in line]
    assert [line.partition("; ")[2] for line in lines] == [
        "running it again with 1 shards, try 2 of 3",
        "running it again with 1 shards, try 3 of 3",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_silence_is_said_and_the_job_is_cancelled_when_the_run_ends(toy, in_child, runner_folder, number):
    words: tuple[str, ...] = ("--run.executor", "beam", "--run.beam.runner", "beam_runners.WaitingRunner")
    words += ("--run.silence_minutes", "0.02")
    code = RUN.format(yaml=str(toy.yaml), words=words)
    child = subprocess.Popen(in_child(code), stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_for((runner_folder / "waits").exists)
    line = ""
    while "no shard" not in line:
        line = child.stderr.readline()
        assert line
    assert "toy.write: no shard has been completed for" in line
    while "waiting for resources" not in line:  # it was said before, or will be when the runner says it
        line = child.stderr.readline()
        assert line
    assert "the last lines of Beam's runner: " in line
    os.kill(child.pid, number)
    child.communicate(timeout=PATIENCE)
    wait_for((runner_folder / "cancelled").exists)


def meet(number: int, workspace: Path) -> ShardReport:
    """Two at once, or none."""
    (workspace.parents[3] / f"begun-{number}").touch()
    wait_for((workspace.parents[3] / f"begun-{1 - number}").exists, 60)
    (workspace / f"{number}.txt").write_text("done")
    return ShardReport({"done": 1})


@pytest.mark.slow
def test_several_shards_at_once_in_one_worker_from_outside(tmp_path, map_shards, portable):
    executor = BeamExecutor(2, portable, "portable")
    counts = map_shards(meet, {"a": 0, "b": 1}, tmp_path / "out", executor=executor)
    assert counts == {"a": {"done": 1}, "b": {"done": 1}}


@pytest.mark.slow
def test_beam_on_dask_with_a_worker_killed(toy, tmp_path, map_shards, scheduler):
    address, start_worker = scheduler
    start_worker()
    start_worker()
    options = (f"--dask_client_address={address}",)
    shards = {f"s{i}": tmp_path / f"flag{i}" for i in range(6)}
    for number in (1, 2, 3, 4, 5):
        (tmp_path / f"flag{number}").touch()
    executor = BeamExecutor(2, options, "dask")
    assert map_shards(die_once, shards, tmp_path / "out", executor=executor) == {name: {"done": 1} for name in shards}
    words: tuple[str, ...] = ("--toy.numbers.count", "9", "--run.executor", "beam", "--run.beam.runner", "dask")
    words += ("--run.beam.options", json.dumps(options))
    toy.run(*words)
    other = ("--run.project", "other", "--toy.numbers.count", "9")
    toy.run(*other)
    assert digest(toy.output("toy.write", *words)) == digest(toy.output("toy.write", *other))


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["killed", "without Beam"])
def test_a_worker_from_outside_that_is_lost_is_said(toy, in_child, request, tmp_path, lost, monkeypatch):
    """Beam's job service waits for it for ever; who watches learns that nothing is completed, and can stop the run."""
    if lost == "without Beam":
        bare = tmp_path / "bin"
        bare.mkdir()
        (bare / "python").write_text("#!/bin/sh\necho no module apache_beam >&2\nexit 1\n")
        (bare / "python").chmod(0o755)
        monkeypatch.setattr("beam_servers.PROGRAMS", bare)
    options = request.getfixturevalue("portable")
    words: tuple[str, ...] = ("--run.executor", "beam", "--run.beam.runner", "portable")
    words += ("--run.beam.options", json.dumps(options), "--run.silence_minutes", "0.05")
    words += ("--toy.numbers.go_file", str(tmp_path / "go"))
    code = RUN.format(yaml=str(toy.yaml), words=words)
    child = subprocess.Popen(in_child(code), stderr=subprocess.PIPE, text=True, start_new_session=True)
    if lost == "killed":
        wait_for(lambda: list(toy.output("toy.write", *words).glob(".work/*/number-*")))
        (harness,) = harnesses()
        harness.kill()
    line = ""
    while "no shard has been completed" not in line:
        line = child.stderr.readline()
        assert line
    assert "the last lines of Beam's runner: " in line
    os.kill(child.pid, signal.SIGINT)
    child.communicate(timeout=PATIENCE)
    assert child.returncode not in (0, None)


def harnesses() -> list[psutil.Process]:
    """The processes that the pool has started."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any("SdkHarness" in word for word in process.info["cmdline"] or ())
    ]
