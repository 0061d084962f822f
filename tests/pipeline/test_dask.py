"""Shards on Dask's clusters: several worker processes, some of which die, are slow, or lack the package."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import pytest
from test_faults import PATIENCE, RUN, die_always, die_once, digest, wait_for

from pipeline.errors import UsageError, XlmrError
from pipeline.executors import dask_cluster, make_executor
from pipeline.executors.dask import DaskExecutor
from pipeline.executors.dask_cluster import connect, disconnect
from pipeline.executors.local import WORKER, LocalExecutor
from pipeline.manifest import read_manifest
from pipeline.run_settings import DaskConfig, RunConfig
from pipeline.shards import MARKS, WORKSPACES, ShardReport

WORDS = ("--run.executor", "dask", "--run.workers", "3")


@pytest.fixture(scope="module")
def workers():
    """A cluster of three processes that these tests share, as the stages of a run do."""
    executor = DaskExecutor(3)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("OMP_NUM_THREADS")  # a worker has one thread by default
        cluster = connect(executor.settings, 3).client.cluster
    processes = [psutil.Process(worker.pid) for worker in cluster.workers.values()]
    yield executor
    disconnect(executor.settings, 3)
    wait_for(lambda: not any(process.is_running() for process in processes))


def write_slowly(folder: Path, number: int, workspace: Path) -> ShardReport:
    """A tenth of a second, but one for who is worker 0; says beside the output who it was."""
    (folder / f"{number}-of-{os.environ[WORKER]}").touch()
    time.sleep(1.0 if os.environ[WORKER] == "0" else 0.05)
    return write(folder, number, workspace)


def write(folder: Path, number: int, workspace: Path) -> ShardReport:
    (workspace / f"{number}.txt").write_text(str(number))
    return ShardReport({"documents": number})


def test_workers_keep_their_memory_and_are_not_profiled(workers):
    """Both took a part of the work that does not show in the bytes."""

    def seen() -> tuple[str | None, bool]:
        import dask

        return os.environ.get("MALLOC_TRIM_THRESHOLD_"), dask.config.get("distributed.worker.profile.enabled")

    here = os.environ.get("MALLOC_TRIM_THRESHOLD_")
    assert set(connect(workers.settings, 3).client.run(seen).values()) == {(here, False)}


def test_the_bytes_of_a_local_run_though_a_worker_is_slow(tmp_path, map_shards, workers):
    """Shards that wait for the slow worker are moved to the others."""
    (who := tmp_path / "who").mkdir()
    shards = {f"s{number:02}": number for number in range(40)}
    function = partial(write_slowly, who)
    counts = map_shards(function, shards, tmp_path / "one" / "out", executor=workers)
    did = Counter(path.name.rpartition("-")[2] for path in who.iterdir())
    assert sum(did.values()) == 40, "none twice"
    assert did["0"] < 8
    assert min(did["1"], did["2"]) > 10
    assert counts == map_shards(partial(write, who), shards, tmp_path / "two" / "out", executor=LocalExecutor(2))
    assert digest(tmp_path / "one" / "out") == digest(tmp_path / "two" / "out")


def test_a_worker_that_dies_is_replaced_and_leaves_nothing_behind(tmp_path, map_shards, workers):
    shards = {f"s{i}": tmp_path / f"flag{i}" for i in range(6)}
    for number in (2, 3, 4, 5):
        (tmp_path / f"flag{number}").touch()
    assert map_shards(die_once, shards, tmp_path / "out", executor=workers) == {name: {"done": 1} for name in shards}
    assert not (tmp_path / "out" / WORKSPACES).exists()


def test_a_shard_that_kills_its_worker_each_time_fails_alone(tmp_path, map_shards, workers):
    line = r"1 of 3 shards failed \(s1\): its worker was lost \(tcp://127.0.0.1:\d+\), 3 times; fix"
    with pytest.raises(XlmrError, match=line):
        map_shards(die_always, {f"s{i}": i for i in range(3)}, tmp_path / "out", executor=workers)
    assert sorted(path.name for path in (tmp_path / "out").glob("*.txt")) == ["0.txt", "2.txt"]


def dask_workers(run: subprocess.Popen[str]) -> list[psutil.Process]:
    """Those that a run has started."""
    found = []
    for child in psutil.Process(run.pid).children():
        with suppress(psutil.Error):  # some other child has just ended
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


@pytest.mark.slow
def test_a_run_whose_worker_is_killed_from_outside_has_the_same_bytes(toy, in_child):
    go_file = toy.folder / "go_file"
    words = ("--toy.numbers.count", "12", "--toy.numbers.go_file", str(go_file), "--toy.numbers.free", "3", *WORDS)
    code = RUN.format(yaml=str(toy.yaml), words=words)
    child = subprocess.Popen(in_child(code), stderr=subprocess.PIPE, text=True)
    output = toy.output("toy.write", *words)
    wait_for(lambda: len(list((output / MARKS).glob("*.json"))) >= 3)
    workers = dask_workers(child)
    assert len(workers) == 3
    workers[0].kill()
    wait_for(lambda: not workers[0].is_running() or workers[0].status() == psutil.STATUS_ZOMBIE)
    go_file.touch()
    said = child.communicate(timeout=PATIENCE)[1]
    assert child.returncode == 0, said
    assert "toy.write: Dask: scheduler tcp://127.0.0.1:" in said
    assert "dashboard http://127.0.0.1:" in said
    logged = "".join(path.read_text() for path in (toy.folder / "runs" / "t" / "log").glob("*.jsonl"))
    assert "dashboard http://127.0.0.1:" in logged
    other = ("--run.project", "other", "--toy.numbers.count", "12")
    toy.run(*other)
    assert digest(output) == digest(toy.output("toy.write", *other))
    assert read_manifest(output).counts == read_manifest(toy.output("toy.write", *other)).counts


def wait_long(go_file: Path, workspace: Path) -> ShardReport:
    wait_for(go_file.exists)
    return ShardReport({"done": 1})


def test_silence_is_said(tmp_path, map_shards, workers, capsys, monkeypatch):
    monkeypatch.setattr("pipeline.executors.dask.LOOK_SECONDS", 0.05)
    cluster = connect(workers.settings, 3)
    wait_for(cluster.threads)  # else the line that the first is waited for is the one that comes
    said = []

    def describe(self):
        said.append("asked")
        (tmp_path / "go").touch()
        return "3 workers are connected"

    monkeypatch.setattr(dask_cluster.DaskCluster, "describe", describe)
    quick = DaskExecutor(3, silence_minutes=0.2 / 60)
    map_shards(wait_long, {"s": tmp_path / "go"}, tmp_path / "out", executor=quick)
    lines = capsys.readouterr().err.splitlines()
    assert any(
        line.startswith("  toy.test: no shard has been completed for ") and line.endswith("; 3 workers are connected")
        for line in lines
    ), lines
    events = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [e["line"] for e in events if e["event"] == "executor" and "no shard" in e["line"]]


def test_what_the_workers_do_in_words(workers):
    cluster = connect(workers.settings, 3)
    wait_for(lambda: cluster.describe() == "3 workers are connected, 0 have work")  # they come one by one


def environment(value: int, workspace: Path) -> ShardReport:
    return ShardReport({"openmp": os.environ["OMP_NUM_THREADS"], "folder": str(Path.cwd())})


def test_a_worker_has_one_thread_and_the_folder_of_the_run(tmp_path, map_shards, workers, monkeypatch):
    monkeypatch.chdir(tmp_path)
    counts = map_shards(environment, {"a": 1}, tmp_path / "out", executor=workers.at_most(1))
    assert counts == {"a": {"openmp": "1", "folder": str(tmp_path)}}


def without(folder: Path | None) -> list[str]:
    """What starts a command for which a folder is empty; nothing where there is none to hide."""
    mount = 'mount -t tmpfs none "$0" && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", mount, str(folder)] if folder else []


def why_not_hidden() -> str:
    """Why no folder can be hidden from a process here; '' where it can."""
    done = subprocess.run([*without(Path("/mnt")), "true"], capture_output=True, text=True, check=False)
    return f"a process cannot be given mounts of its own: {done.stderr.strip()}" if done.returncode else ""


@pytest.fixture
def scheduler():
    """A scheduler of its own, and a function that starts a worker of it; gives (address, start).

    ``packages`` is whether the worker has ours; ``hidden`` is a folder that is empty for it, as on another machine.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    started = []

    def start(module: str, *words: str, packages: bool = True, hidden: Path | None = None) -> None:
        paths = sys.path if packages else [path for path in sys.path if path.endswith("site-packages")]
        code = f"import sys; sys.path[:0] = {paths!r}; from distributed.cli.{module} import main; main({list(words)!r})"
        flags = [] if packages else ["-S"]  # no .pth file brings the checkout then
        environment = {**os.environ, "PYTHONPATH": ""}
        started.append(
            subprocess.Popen(
                [*without(hidden), sys.executable, "-P", *flags, "-c", code],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, cwd="/",
            )
        )  # fmt: skip

    start("dask_scheduler", "--host", "127.0.0.1", "--port", address.rpartition(":")[2], "--no-dashboard")
    yield address, partial(start, "dask_worker", address, "--no-dashboard", "--nthreads", "1")
    for process in started:
        process.kill()
        process.wait()
    for settings, workers in [known for known in dask_cluster._connected if known[0].scheduler == address]:
        disconnect(settings, workers)


def test_a_scheduler_of_others(toy, scheduler):
    address, start_worker = scheduler
    start_worker()
    words = ("--toy.numbers.count", "5", "--run.executor", "dask", "--run.dask.scheduler", address)
    toy.run(*words)
    other = ("--run.project", "other", "--toy.numbers.count", "5")
    toy.run(*other)
    assert digest(toy.output("toy.write", *words)) == digest(toy.output("toy.write", *other))


def test_a_worker_without_the_package_gets_one_line(toy, scheduler):
    address, start_worker = scheduler
    start_worker(packages=False)
    line = r"^toy.write: Dask: tcp://127\S+ on \S+ \(\S+\) has no package pipeline, toy_package; install there what "
    with pytest.raises(XlmrError, match=line):
        toy.run("--run.executor", "dask", "--run.dask.scheduler", address)


def test_no_scheduler_is_one_line(toy, monkeypatch):
    monkeypatch.setattr(dask_cluster, "CONNECT_SECONDS", 0.5)
    words = ("--run.executor", "dask", "--run.dask.scheduler")
    with pytest.raises(
        XlmrError, match=r"run.dask.scheduler: no scheduler answers at tcp://127.0.0.1:1 .*dask scheduler"
    ):
        toy.run(*words, "tcp://127.0.0.1:1")
    with pytest.raises(XlmrError, match=r"run.dask.scheduler: here.json: no such file; give the address"):
        toy.run(*words, "here.json")


def test_a_cluster_by_name(toy, monkeypatch):
    assert make_executor(RunConfig(workers=3, executor="dask")) == DaskExecutor(3)
    with pytest.raises(UsageError, match=r"cluster should be one of local, slurm, pbs, sge, lsf, kubernetes, or an im"):
        toy.run("--run.dask.cluster", "cloud")
    with pytest.raises(XlmrError, match=r"no_such_module:Cluster"):
        toy.run("--run.executor", "dask", "--run.dask.cluster", "no_such_module:Cluster")
    made = []

    class Cluster:
        def scale(self, workers):
            made.append(workers)

        def adapt(self, minimum, maximum):
            made.append((minimum, maximum))

    monkeypatch.setattr(type(dask_cluster.CLUSTERS), "load", lambda self, name: Cluster)
    dask_cluster._start(DaskConfig(cluster="slurm"), 7)
    dask_cluster._start(DaskConfig(cluster="slurm", minimum=2), 7)
    assert made == [7, (2, 7)]
