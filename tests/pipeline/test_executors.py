"""The same shards by every executor: the same bytes, whoever is killed and whatever is full."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psutil
import pytest
from beam_servers import portable, worker_pool
from test_faults import PATIENCE, RUN, die_always, die_once, digest, fill, small_disk, wait_for
from test_partitions import TASK

from pipeline.context import documents_in
from pipeline.errors import UnreachableError, UsageError, XlmrError
from pipeline.executors import bundles, deaths, make_executor, worker_folders
from pipeline.executors.beam import BeamExecutor, beam_options
from pipeline.executors.deaths import describe_death
from pipeline.executors.local import LocalExecutor
from pipeline.manifest import MANIFEST, read_manifest
from pipeline.run_settings import RunConfig
from pipeline.shards import MARKS, Shard, ShardFailure, ShardFolder, ShardReport, ShardWork, as_one_error
from pipeline.storage import write_json

__all__ = ["portable", "small_disk", "worker_pool"]

IN_MEMORY = BeamExecutor(2, ("--direct_running_mode=in_memory",))
PROCESSES = BeamExecutor(2)
SLOW_PROCESSES = pytest.param(PROCESSES, marks=pytest.mark.slow)


def family(pid: int) -> list[int]:
    """A process and what it has started."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def gone(pids: list[int]) -> bool:
    alive = (psutil.Process(pid) for pid in pids if psutil.pid_exists(pid))
    return all(process.status() == psutil.STATUS_ZOMBIE for process in alive)


@pytest.mark.parametrize(
    "executor", [IN_MEMORY, SLOW_PROCESSES, LocalExecutor(3)], ids=["in memory", "processes", "local"]
)
def test_every_executor_gives_the_same_bytes(toy, executor):
    words = ("--toy.numbers.count", "9")
    toy.run(*words, "--run.workers", "1")
    other: tuple[str, ...] = ("--run.project", "other", *words, "--run.workers", str(executor.workers))
    if isinstance(executor, BeamExecutor):
        other += ("--run.executor", "beam", "--run.beam.options", json.dumps(executor.options))
    toy.run(*other)
    assert toy.ran() == ["toy.write", "toy.sum", "toy.power"]
    one, two = toy.output("toy.write", *words), toy.output("toy.write", *other)
    assert digest(one) == digest(two)
    assert read_manifest(one).counts == read_manifest(two).counts
    assert read_manifest(one).warnings == read_manifest(two).warnings == ["seven is odd"]
    toy.run(*words, "--run.executor", "beam")
    assert toy.ran() == [], "who does it is not part of the result"


@pytest.mark.parametrize("executor", [IN_MEMORY, SLOW_PROCESSES], ids=["in memory", "processes"])
def test_beam_names_a_failing_shard_and_keeps_the_others(toy, executor):
    words: tuple[str, ...] = ("--toy.numbers.count", "4", "--toy.numbers.bad", "2", "--run.executor", "beam")
    words += ("--run.beam.options", json.dumps(executor.options))
    with pytest.raises(XlmrError, match=r"toy.write: 1 of 4 shards failed \(number-2\): number 2 is bad; take another"):
        toy.run(*words)
    output = toy.output("toy.write", *words)
    assert sorted(path.name for path in (output / "numbers").iterdir()) == ["0.txt", "1.txt", "3.txt"]
    assert not (output / MANIFEST).exists()


@pytest.mark.parametrize(
    "executor", [IN_MEMORY, SLOW_PROCESSES, LocalExecutor(2)], ids=["in memory", "processes", "local"]
)
def test_a_worker_that_is_killed_is_replaced_and_leaves_nothing_behind(tmp_path, map_shards, monkeypatch, executor):
    shards = {f"s{i}": tmp_path / f"flag{i}" for i in range(3)}
    (tmp_path / "flag2").touch()
    (temporary := tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    counts = map_shards(die_once, shards, tmp_path / "out", executor=executor)
    assert counts == {name: {"done": 1} for name in shards}
    assert not list(temporary.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("executor", [PROCESSES, LocalExecutor(2)], ids=["processes", "local"])
def test_a_shard_that_kills_its_worker_each_time_falls_alone(tmp_path, map_shards, executor):
    line = r"1 of 3 shards failed \(s1\): its worker was killed \(SIGKILL.*\), 3 times; fix"
    with pytest.raises(XlmrError, match=line):
        map_shards(die_always, {f"s{i}": i for i in range(3)}, tmp_path / "out", executor=executor)
    assert sorted(path.name for path in (tmp_path / "out").glob("*.txt")) == ["0.txt", "2.txt"]


def die_or_take_long(name: str, workspace: Path) -> ShardReport:
    """The one dies each time, at first not before the other is under way; the other has not ended by then."""
    begun, died = (workspace.parents[3] / flag for flag in ("begun", "died"))
    if name == "s1":
        wait_for(begun.exists)
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if not died.exists():
        begun.touch()
        time.sleep(PATIENCE)
    (workspace / f"{name}.txt").write_text("done")
    return ShardReport({"done": 1})


@pytest.mark.slow
def test_a_shard_that_was_under_way_when_another_killed_its_worker_is_not_blamed(tmp_path, map_shards):
    with pytest.raises(XlmrError, match=r"1 of 2 shards failed \(s1\): its worker was killed"):
        map_shards(die_or_take_long, {"s1": "s1", "s0": "s0"}, tmp_path / "out", executor=PROCESSES)
    assert (tmp_path / "out" / "s0.txt").exists()


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["beam", "dask", "local"])
def test_kill_of_the_whole_run_leaves_no_worker_and_resumes(toy, in_child, executor):
    """Only the run itself is killed: whatever it started must die of that, and spoil nothing."""
    go_file = toy.folder / "go_file"
    slow = ["--toy.numbers.count", "8", "--toy.numbers.go_file", str(go_file), "--toy.numbers.free", "2"]
    slow += ["--run.executor", executor, "--run.workers", "2"]
    child = subprocess.Popen(in_child(RUN.format(yaml=str(toy.yaml), words=slow)), stderr=subprocess.DEVNULL)
    output = toy.output("toy.write", *slow)
    wait_for(lambda: len(list((output / MARKS).glob("*.json"))) >= 2)
    started = family(child.pid)
    assert len(started) > 2
    child.kill()
    child.wait()
    wait_for(lambda: gone(started))
    assert not (output / MANIFEST).exists()
    done = {path.name: path.stat().st_mtime_ns for path in (output / MARKS).glob("*.json")}
    assert 2 <= len(done) < 8
    go_file.touch()
    toy.run(*slow)
    assert done.items() <= {p.name: p.stat().st_mtime_ns for p in (output / MARKS).glob("*.json")}.items()
    undisturbed = ("--run.project", "other", "--toy.numbers.count", "8")
    toy.run(*undisturbed)
    assert digest(output) == digest(toy.output("toy.write", *undisturbed))
    assert not (output / ".work").exists()


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["beam", "dask", "local"])
def test_an_interrupt_gets_one_line(toy, in_child, executor):
    """As ctrl-C does it: every process in the terminal's group is reported."""
    go_file = toy.folder / "never"
    slow = ["--toy.numbers.count", "4", "--toy.numbers.go_file", str(go_file), "--run.executor", executor]
    slow += ["--run.workers", "2"]
    code = TASK.format(yaml=str(toy.yaml), words=slow, late=60)
    child = subprocess.Popen(in_child(code), stderr=subprocess.PIPE, text=True, start_new_session=True)
    output = toy.output("toy.write", *slow)
    wait_for(lambda: len(list(output.glob(".work/*/number-*"))) == 2)
    started = family(child.pid)
    os.killpg(child.pid, signal.SIGINT)
    said = [line for line in child.communicate(timeout=PATIENCE)[1].splitlines() if "dashboard" not in line]
    assert child.returncode == 1
    assert said[1:] == ["xlmr: stopped; the same command resumes from here"]
    wait_for(lambda: gone(started))
    assert not [path for path in output.parent.iterdir() if path.suffix == ".lease"]


@pytest.mark.slow
def test_a_full_disk_under_beam_gets_one_line(small_disk, map_shards):
    small = {"small": 1000}  # alone: beside the others it may find no memory either
    map_shards(fill, small, small_disk / "out", workers=1)
    before = (small_disk / "out" / "1000.bin").stat().st_mtime_ns
    line = r"2 of 3 shards failed \(large, larger\): the output: the disk is full; free some space"
    with pytest.raises(XlmrError, match=line):
        map_shards(fill, small | {"large": 5_000_000, "larger": 6_000_000}, small_disk / "out", executor=PROCESSES)
    assert (small_disk / "out" / "1000.bin").stat().st_mtime_ns == before
    assert not (small_disk / "out" / "5000000.bin").exists()


def test_a_failure_is_written_down_once_there_is_space(tmp_path, monkeypatch):
    """Another shard may take all that the failed one has left, until it fails too."""
    work = ShardWork(fail_for_want_of_package, ShardFolder(tmp_path), tmp_path / "work")
    (tmp_path / "work" / worker_folders.FAILED).mkdir(parents=True)
    tries = []

    def write_when_there_is_package(path, values):
        tries.append(path)
        if len(tries) < 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_json(path, values)

    monkeypatch.setattr(bundles, "write_json", write_when_there_is_package)
    monkeypatch.setattr(bundles, "SPACE_SECONDS", (0.0,) * 4)
    monkeypatch.chdir(tmp_path)
    bundles.do_shards(work, [Shard("a", 1)], str(tmp_path), 1)
    reported = json.loads((tmp_path / "work" / worker_folders.FAILED / "a.json").read_text())
    assert reported["problem"].startswith("the output: the disk is full")
    assert len(tries) == 4
    monkeypatch.setattr(bundles, "SPACE_SECONDS", (0.0,) * 2)
    tries.clear()
    with pytest.raises(OSError, match="No space"):
        bundles.do_shards(work, [Shard("a", 1)], str(tmp_path), 1)


def fail_for_want_of_package(value: int, workspace: Path) -> ShardReport:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_the_failures_are_in_the_log_one_by_one(tmp_path, map_shards):
    with pytest.raises(XlmrError):
        map_shards(die_always, {f"s{i}": 1 for i in range(2)}, tmp_path / "out")
    events = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    failed = {event["shard"]: event["problem"] for event in events if event["event"] == "shard_failed"}
    assert sorted(failed) == ["s0", "s1"]
    assert all("killed" in problem for problem in failed.values())


def test_one_cause_is_reported_once():
    full = {f"shard-{i:05}": ShardFailure(f"shard-{i:05}.npy: no space left") for i in range(5)}
    line = str(as_one_error(full, 8))
    assert line.startswith("5 of 8 shards failed (shard-00000, shard-00001, shard-00002, …): *.npy: no space left; fix")
    line = str(as_one_error({**full, "shard-00007": ShardFailure("shard-00007: is cut")}, 8))
    assert line.startswith(
        "6 of 8 shards failed: 5 (shard-00000, shard-00001, shard-00002, …): *.npy: no space left; "
        "1 (shard-00007): shard-00007: is cut; fix"
    )
    different = {f"s{i}": ShardFailure(f"problem {i}") for i in range(9)}
    assert "; and 4 other causes; fix" in str(as_one_error(different, 9))


def test_shards_that_a_later_try_can_do_differ_from_bad_ones():
    unreachable = {f"s{i}": ShardFailure("https://h/x: 503", passing=True) for i in range(3)}
    assert isinstance(as_one_error(unreachable, 9), UnreachableError)
    assert not isinstance(as_one_error({**unreachable, "s9": ShardFailure("s9: is cut")}, 9), UnreachableError)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-9, "was killed (SIGKILL; by hand, or by a scheduler or a container for want of memory)"),
        (137, "was killed (SIGKILL; by hand, or by a scheduler or a container for want of memory)"),
        (-11, "crashed (SIGSEGV)"),
        (-15, "was ended (SIGTERM)"),
        (3, "ended with exit code 3"),
        (None, "was lost"),
    ],
)
def test_deaths_in_words(code, words):
    assert describe_death(code, deaths.kills_for_memory()) == words


def test_a_kill_for_memory_is_distinguished_from_another(monkeypatch):
    monkeypatch.setattr(deaths, "kills_for_memory", lambda: 8)
    assert describe_death(-9, 7) == "was killed by the system for want of memory (SIGKILL)"


def test_beams_options():
    assert beam_options((), 3) == [
        "--runner=FnApiRunner", "--direct_running_mode=multi_processing", "--direct_num_workers=3",
        "--default_sdk_harness_log_level=WARNING",
    ]  # fmt: skip
    assert "--direct_running_mode=in_memory" in beam_options((), 1)
    assert beam_options(("--parallelism=9",), 3, "flink")[:2] == ["--parallelism=9", "--runner=FlinkRunner"]
    assert not [option for option in beam_options((), 3, "FlinkRunner") if "direct" in option]
    assert "--dask_npartitions=7" in beam_options((), 3, "dask", 7)
    for given in (("--direct_running_mode=multi_threading",), ("--direct_running_mode", "multi_threading")):
        with pytest.raises(UsageError, match="multi_threading loses elements; use in_memory or multi_processing"):
            beam_options(given, 2)
    with pytest.raises(UsageError, match=r"--runner is not among them; name it by run.beam.runner"):
        beam_options(("--runner=FlinkRunner",), 2)


def test_the_old_form_of_beams_options_is_refused(toy):
    with pytest.raises(UsageError, match=r"run.beam: it is a section now: write run.beam.runner and run.beam.options"):
        toy.run("--run.beam", '["--runner=FlinkRunner"]')


def test_beams_options_are_checked_before_anything_runs(toy):
    with pytest.raises(UsageError, match="multi_threading loses elements"):
        toy.run("--run.executor", "beam", "--run.beam.options", '["--direct_running_mode=multi_threading"]')
    assert not toy.output("toy.write").exists()


def test_a_pipeline_that_cannot_start_says_why(tmp_path, map_shards):
    executor = BeamExecutor(2, runner="NoSuchRunner")
    with pytest.raises(XlmrError, match=r"2 of 2 shards failed \(a, b\): the Beam pipeline failed: .*NoSuchRunner"):
        map_shards(fill, {"a": 1, "b": 2}, tmp_path / "out", executor=executor)


def test_executors_by_name():
    assert make_executor(RunConfig(workers=3)) == LocalExecutor(3)
    assert make_executor(RunConfig(workers=3, executor="slurm")) == LocalExecutor(3)
    assert make_executor(RunConfig(workers=3, executor="beam")) == BeamExecutor(3)


@pytest.mark.slow
def test_beams_portable_path_with_workers_from_outside(toy, portable):
    words: tuple[str, ...] = ("--toy.numbers.count", "5", "--run.executor", "beam", "--run.beam.runner", "portable")
    words += ("--run.beam.options", json.dumps(portable))
    toy.run(*words)
    other = ("--run.project", "other", "--toy.numbers.count", "5")
    toy.run(*other)
    assert digest(toy.output("toy.write", *words)) == digest(toy.output("toy.write", *other))
    bad = ("--toy.numbers.bad", "3", *words)
    with pytest.raises(XlmrError, match=r"1 of 5 shards failed \(number-3\): number 3 is bad"):
        toy.run(*bad)


def slow_documents(value: int, workspace: Path) -> ShardReport:
    time.sleep(0.05)
    (workspace / f"{value}.txt").write_text("done")
    return ShardReport({"documents": {"read": 1000, "kept": 10}})


def test_progress_tells_documents_a_second(tmp_path, map_shards, capsys, monkeypatch):
    monkeypatch.setattr("pipeline.progress.PLAIN_SECONDS", 0.0)
    map_shards(slow_documents, {f"s{i}": i for i in range(3)}, tmp_path / "out", workers=1)
    lines = capsys.readouterr().err.splitlines()
    assert "toy.test: 3 of 3 shards · " in lines[-1]
    assert " · 3,000 documents, " in lines[-1]
    rate = float(lines[-1].rpartition(" ")[2].removesuffix("/s").replace(",", ""))
    assert 0 < rate <= 1000 / 0.05
    (tmp_path / "out" / MARKS / "s1.json").unlink()
    map_shards(slow_documents, {f"s{i}": i for i in range(3)}, tmp_path / "out", workers=1)
    lines = capsys.readouterr().err.splitlines()
    assert " 2 of 3 shards · 0.0/s · 2 were complete" in lines[0], "what was there is not counted into the rate"
    assert " · 1,000 documents, " in lines[-1]


def test_documents_in_counts():
    assert documents_in({"documents": 7}) == 7
    assert documents_in({"documents": {"read": 5, "kept": 2}}) == 5
    assert documents_in({"documents": {"de": {"head": 1}}}) == 0
    assert documents_in({"lines": 3}) == 0


def test_two_calls_of_one_stage_keep_their_shards_apart(tmp_path, map_shards):
    map_shards(fill, {"a": 10, "b": 20}, tmp_path / "out", workers=1)
    map_shards(fill, {"a": 30, "c": 40}, tmp_path / "out", workers=1, call=2)
    assert sorted(path.name for path in (tmp_path / "out").glob("*.bin")) == ["10.bin", "20.bin", "30.bin", "40.bin"]
    before = (tmp_path / "out" / "10.bin").stat().st_mtime_ns
    map_shards(fill, {"a": 10}, tmp_path / "out", workers=1)
    assert sorted(path.name for path in (tmp_path / "out").glob("*.bin")) == ["10.bin", "30.bin", "40.bin"]
    assert (tmp_path / "out" / "10.bin").stat().st_mtime_ns == before


def threads_of(value: int, workspace: Path) -> ShardReport:
    return ShardReport({"openmp": os.environ.get("OMP_NUM_THREADS", ""), "blas": os.environ["OPENBLAS_NUM_THREADS"]})


@pytest.mark.parametrize("executor", [LocalExecutor(2), IN_MEMORY], ids=["local", "beam"])
def test_a_worker_has_one_thread_unless_the_environment_says_otherwise(tmp_path, map_shards, monkeypatch, executor):
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    counts = map_shards(threads_of, {"a": 1, "b": 2}, tmp_path / "out", executor=executor)
    assert counts == {"a": {"openmp": "3", "blas": "1"}, "b": {"openmp": "3", "blas": "1"}}
    assert "OPENBLAS_NUM_THREADS" not in os.environ
