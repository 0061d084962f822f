"""The embedded crawl by every executor, by several tasks, and with a file added later: the bytes of a run by itself."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from beam_servers import flink, portable, why_no_flink, worker_pool
from slurm_node import SlurmNode, slurm_node, why_no_slurm
from test_dask import dask_workers, scheduler
from test_faults import wait_for
from test_rerun import checksums

from pipeline.manifest import read_manifest

__all__ = ["flink", "portable", "scheduler", "worker_pool"]

ROOT = Path(__file__).parents[2]
SHARDS = 8
"""Of the embedded crawl."""
PATIENCE = 500
"""Seconds for a run that takes 15 on a quiet machine."""

TASK = """
import sys; sys.path.insert(0, sys.argv[1])
from dataclasses import replace
from pathlib import Path
import pipeline.shards.partitions
from corpus.stages import PACKAGE
from pipeline.dag import Dag
from pipeline.runner import Selection, run
pipeline.shards.partitions.LOOK_SECONDS = 0.1
CALLS = {"corpus.hash": 1, "corpus.duplicates": 1, "corpus.language_models": 1, "corpus.mine": 1, "corpus.regroup": 2}
if __name__ == "__main__":
    stages = tuple(replace(stage, sharded=CALLS.get(stage.name, 0)) for stage in PACKAGE.stages)
    dag = Dag([replace(PACKAGE, stages=stages)])
    run(dag, dag.load_config(Path(sys.argv[2]), sys.argv[3:]), Selection(until="corpus"))
"""


@pytest.mark.slow
def test_dask_of_three_workers_one_killed_and_one_slow(embedded_done, embedded_fresh):
    command = [sys.executable, "-m", "pipeline", "run", str(embedded_fresh.yaml), "--run.until", "corpus"]
    command += ["--run.executor", "dask", "--run.workers", "3"]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: len(dask_workers(child)) == 3)
    killed, slow, _ = dask_workers(child)
    marks = embedded_fresh.output("corpus.mine") / ".shards"
    with slowed(slow):
        wait_for(lambda: list(marks.glob("*.json")))
        killed.kill()
        assert len(list(marks.glob("*.json"))) < SHARDS
        stderr = child.communicate(timeout=PATIENCE)[1]
    assert child.returncode == 0, stderr
    assert checksums(embedded_fresh) == checksums(embedded_done)


@contextmanager
def slowed(process: psutil.Process) -> Iterator[None]:
    """It computes a fifth of the time."""
    over = threading.Event()

    def stop_and_go() -> None:
        with suppress(psutil.NoSuchProcess):  # the run has ended
            while not over.wait(0.05):
                process.suspend()
                over.wait(0.2)
                process.resume()

    thread = threading.Thread(target=stop_and_go)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


needs_flink = pytest.mark.skipif(bool(why_no_flink()), reason=why_no_flink() or "there is Flink")


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["in_memory", "dask", "portable", pytest.param("flink", marks=needs_flink)])
def test_beam_gives_identical_bytes(embedded_done, embedded_fresh, request, runner):
    words = ["--run.executor", "beam", "--run.workers", "2"]
    if runner == "dask":
        address, start_worker = request.getfixturevalue("scheduler")
        start_worker()
        start_worker()
        options = [f"--dask_client_address={address}"]
    elif runner in ("portable", "flink"):
        options = request.getfixturevalue(runner)
    else:
        options = ["--direct_running_mode=in_memory"]
    words += ["--run.beam.options", json.dumps(options)]
    embedded_fresh.run(*words, "--run.beam.runner", "local" if runner == "in_memory" else runner)
    assert checksums(embedded_fresh) == checksums(embedded_done)


@pytest.mark.slow
def test_three_tasks_give_identical_bytes(done, fresh):
    tasks = [
        subprocess.Popen(
            [sys.executable, "-c", TASK, str(ROOT), str(fresh.yaml), "--run.partition", f"{number}/3"],
            stderr=subprocess.PIPE, text=True,
        )
        for number in range(3)
    ]  # fmt: skip
    errors = [task.communicate(timeout=500)[1] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0, 0], errors
    assert checksums(fresh) == checksums(done)


def test_a_file_that_is_added_leaves_the_hashes_of_the_others(small, fresh, tmp_path):
    crawl = tmp_path / "crawl"
    crawl.mkdir()
    first, second, third = sorted((small / "crawl").iterdir())
    shutil.copy(first, crawl)
    shutil.copy(second, crawl)
    words = ("--corpus.fetch.crawl", f"{crawl}/*.gz")
    fresh.run(*words, until="corpus.hash")
    before = fresh.output("corpus.hash", *words)
    shutil.copy(third, crawl)
    fresh.run(*words, until="corpus.hash")
    after = fresh.output("corpus.hash", *words)
    assert after != before
    for name in ("shard-00000", "shard-00001"):
        for kind in ("lines", "sorted"):
            assert (after / kind / f"{name}.npy").samefile(before / kind / f"{name}.npy")
    alone = ("--run.project", "alone", *words)
    fresh.run(*alone, until="corpus.hash")
    one, two = read_manifest(after), read_manifest(fresh.output("corpus.hash", *alone))
    assert {n: r.sha256 for n, r in one.files.items()} == {n: r.sha256 for n, r in two.files.items()}
    assert one.counts == two.counts
    assert one.warnings == two.warnings
    first_copy = crawl / first.name
    first_copy.write_bytes(second.read_bytes())
    fresh.run(*words, until="corpus.hash")
    changed = fresh.output("corpus.hash", *words)
    assert not (changed / "lines/shard-00000.npy").samefile(after / "lines/shard-00000.npy"), "another content"
    assert (changed / "lines/shard-00001.npy").samefile(after / "lines/shard-00001.npy")


needs_slurm = pytest.mark.skipif(bool(why_no_slurm()), reason=why_no_slurm() or "there is Slurm")


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmNode]:
    with slurm_node(tmp_path_factory.mktemp("slurm")) as made:
        made.environment.update(PYTHONPATH=str(ROOT), XLMR_VENV=sys.prefix, OMP_NUM_THREADS="1")
        yield made


def submit(node: SlurmNode, fresh) -> dict[str, str]:
    """The ids of the jobs by the first stage of each: fetch, language_models, near_duplicates, regroup."""
    words = ["slurm", str(fresh.yaml), "--run.until", "corpus", "--submit", "--scripts", str(ROOT / "infra/slurm")]
    words += ["--tasks", "2", "--cpus", "1", "--memory", "2G"]
    lines = node.command(sys.executable, "-m", "pipeline", *words).splitlines()
    return {name.removeprefix("corpus."): number for number, name in map(str.split, lines)}


def process_of(task: str, word: str) -> psutil.Process | None:
    """The command of a task of an array that has ``word`` among its own."""
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if "run" in words and word in words and process.environ().get("SLURM_ARRAY_TASK_ID") == task:
                return process
        except psutil.Error:
            continue
    return None


@pytest.mark.slow
@needs_slurm
def test_a_killed_task_of_slurm_requeues_itself_and_the_bytes_are_those_of_a_local_run(
    node, embedded_done, embedded_fresh
):
    jobs = submit(node, embedded_fresh)
    assert list(jobs) == ["fetch", "language_models", "near_duplicates", "regroup"]
    task = f"{jobs['language_models']}_0"
    wait_for(lambda: process_of("0", "corpus.hash"))
    process_of("0", "corpus.hash").kill()
    wait_for(lambda: node.states()[task] == "PENDING")
    node.command("scontrol", "update", f"JobId={task}", "StartTime=now+3")  # else two minutes later
    arrays = [f"{jobs[name]}_{task}" for name in ("language_models", "regroup") for task in (0, 1)]
    completed = dict.fromkeys([jobs["fetch"], jobs["near_duplicates"], *arrays], "COMPLETED")
    states = node.wait_for_end()
    logs = {path.name: path.read_text() for path in node.folder.glob("xlmr-*.log")}
    assert states == completed, logs
    assert (
        "corpus.hash: killed by signal 9; requeued" in logs[f"xlmr-corpus.language_models-{task.replace('_', '-')}.log"]
    )
    assert f"xlmr-corpus.fetch-{jobs['fetch']}.log" in logs
    assert checksums(embedded_fresh) == checksums(embedded_done)


@pytest.mark.slow
@needs_slurm
def test_a_cancelled_array_ends_all_that_depends_on_it(node, fresh):
    jobs = submit(node, fresh)
    wait_for(lambda: process_of("0", "corpus.language_models"))
    node.command("scancel", jobs["language_models"])
    states = {number: node.wait_for_end()[number] for number in node.states() if number.split("_")[0] in jobs.values()}
    assert states.pop(jobs["fetch"]) == "COMPLETED"
    assert set(states.values()) == {"CANCELLED"}
    assert process_of("0", str(fresh.yaml)) is process_of("1", str(fresh.yaml)) is None
