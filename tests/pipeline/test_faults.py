"""Killed runs, two runs at once, failing shards, killed workers, full disks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.errors import XlmrError
from pipeline.lease import Lease
from pipeline.log import EventLog
from pipeline.manifest import MANIFEST
from pipeline.shards import MARKS, WORKSPACES, ShardReport

RUN = """
from pathlib import Path
from pipeline.dag import Dag
from pipeline.runner import Selection, run
import toy_package
if __name__ == "__main__":
    dag = Dag([toy_package.PACKAGE])
    run(dag, dag.load_config(Path({yaml!r}), {words!r}), Selection(until="toy"))
"""


def digest(folder: Path) -> dict[str, bytes]:
    """The bytes of the output files, without what tells of the run itself."""
    files = (p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != MANIFEST)
    return {str(p.relative_to(folder)): p.read_bytes() for p in files if not any(s.startswith(".") for s in p.parts)}


PATIENCE = 240
"""Seconds for what takes some on a quiet machine; who waits so long waits for what will never be."""


def wait_for(condition, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


@pytest.mark.parametrize("workers", ["1", "3"])
def test_kill_and_resume_gives_the_same_bytes(toy, in_child, workers):
    go_file = toy.folder / "go_file"
    slow = ["--toy.numbers.count", "8", "--toy.numbers.go_file", str(go_file), "--toy.numbers.free", "3"]
    slow += ["--run.workers", workers]
    child = subprocess.Popen(in_child(RUN.format(yaml=str(toy.yaml), words=slow)), start_new_session=True)
    output = toy.output("toy.write", *slow)
    wait_for(lambda: len(list((output / MARKS).glob("*.json"))) >= 3)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    assert not (output / MANIFEST).exists()
    done = {path.name: path.stat().st_mtime_ns for path in (output / MARKS).glob("*.json")}
    assert 3 <= len(done) < 8
    assert toy.plan(*slow)["toy.write"].startswith("missing because another run has begun it; ")
    go_file.touch()

    toy.run(*slow)

    assert toy.ran() == ["toy.write", "toy.sum", "toy.power"]
    kept = {name: (output / MARKS / name).stat().st_mtime_ns for name in done}
    assert kept == done, "what was complete was not done again"
    undisturbed = ("--run.project", "other", *slow)
    toy.run(*undisturbed)
    assert digest(output) == digest(toy.output("toy.write", *undisturbed))


def test_two_runs_at_once_exclude_each_other(toy, in_child):
    go_file = toy.folder / "go_file"
    slow = ["--toy.numbers.count", "5", "--toy.numbers.go_file", str(go_file), "--run.workers", "1"]
    child = subprocess.Popen(in_child(RUN.format(yaml=str(toy.yaml), words=slow)), start_new_session=True)
    output = toy.output("toy.write", *slow)
    wait_for(lambda: list(output.glob(f"{WORKSPACES}/*/number-0")))
    with pytest.raises(XlmrError, match=f"{output} is being written by process {child.pid} on .*; wait for it"):
        toy.run(*slow)
    go_file.touch()
    assert child.wait(PATIENCE) == 0, "the first run continues undisturbed"
    toy.run(*slow)
    assert toy.ran() == []


def test_a_dead_owners_lease_is_taken_over(tmp_path):
    path = tmp_path / "output.lease"
    path.write_text(json.dumps({"host": os.uname().nodename, "pid": os.getpid(), "born": 0.0, "token": "x"}))
    with Lease(path):
        assert json.loads(path.read_text())["token"] != "x"
        with pytest.raises(XlmrError, match="is being written by process"), Lease(path):
            pass
    assert not path.exists()


def test_a_lease_of_another_machine_expires(tmp_path):
    path = tmp_path / "output.lease"
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "born": 0.0, "token": "x"}))
    with pytest.raises(XlmrError, match="on elsewhere"), Lease(path):
        pass
    os.utime(path, (0, 0))
    with Lease(path):
        pass


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_failing_shard_is_named_and_the_others_are_kept(toy, workers):
    words = ("--toy.numbers.count", "4", "--run.workers", workers)
    with pytest.raises(XlmrError, match=r"toy.write: 1 of 4 shards failed \(number-2\): number 2 is bad; take another"):
        toy.run(*words, "--toy.numbers.bad", "2")
    output = toy.output("toy.write", *words, "--toy.numbers.bad", "2")
    assert sorted(path.name for path in (output / "numbers").iterdir()) == ["0.txt", "1.txt", "3.txt"]
    assert not (output / MANIFEST).exists()


def die_once(flag: Path, workspace: Path) -> ShardReport:
    if not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    (workspace / f"{flag.name}.txt").write_text("done")
    return ShardReport({"done": 1})


def die_always(value: int, workspace: Path) -> ShardReport:
    if value == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    (workspace / f"{value}.txt").write_text("done")
    return ShardReport({"done": 1})


def test_a_killed_worker_is_replaced(tmp_path, map_shards):
    shards = {f"s{i}": tmp_path / f"flag{i}" for i in range(4)}
    (tmp_path / "flag3").touch()
    counts = map_shards(die_once, shards, tmp_path / "out", workers=2)
    assert sorted(counts) == ["s0", "s1", "s2", "s3"]


def test_a_shard_that_kills_its_worker_each_time_is_named(tmp_path, map_shards):
    with pytest.raises(XlmrError, match=r"1 of 3 shards failed \(s1\): its worker was killed \(SIGKILL.*\), 3 times"):
        map_shards(die_always, {f"s{i}": i for i in range(3)}, tmp_path, workers=2)
    assert (tmp_path / "0.txt").exists()
    assert (tmp_path / "2.txt").exists()


def fill(value: int, workspace: Path) -> ShardReport:
    (workspace / f"{value}.bin").write_bytes(bytes(value))
    return ShardReport({"bytes": value})


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB; needs the right to mount."""
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], check=False, capture_output=True
    ).returncode:
        pytest.skip("this machine does not let us mount a small tmpfs")
    yield place
    # A worker that was killed may take a moment to release its files.
    wait_for(lambda: not subprocess.run(["umount", place], check=False, capture_output=True).returncode)


def test_a_full_disk_gets_one_line_and_loses_nothing(small_disk, map_shards):
    output = small_disk / "out"
    shards = {"small": 1000, "large": 5_000_000}
    with pytest.raises(
        XlmrError, match=r"1 of 2 shards failed \(large\): the output: the disk is full; free some space and run"
    ):
        map_shards(fill, shards, output, workers=1)
    assert (output / "1000.bin").stat().st_size == 1000
    assert not (output / "5000000.bin").exists()
    before = (output / "1000.bin").stat().st_mtime_ns
    map_shards(fill, {"small": 1000, "medium": 2000}, output, workers=1)
    assert (output / "1000.bin").stat().st_mtime_ns == before
    assert (output / "2000.bin").stat().st_size == 2000


def fill_up(path: Path) -> None:
    with suppress(OSError), path.open("wb", buffering=0) as rest:
        while True:
            rest.write(bytes(1000))


def test_a_disk_that_is_full_of_its_own_log_stops_nothing(small_disk, map_shards):
    log = small_disk / "log.jsonl"
    shards = {f"{n:02}": n for n in range(3)} | {f"large-{'x' * 200}-{n}": 5_000_000 + n for n in range(3)}
    with pytest.raises(XlmrError, match=r"3 of 6 shards failed \(large-x*-0, .*\): the output: the disk is full"):
        map_shards(fill, shards, small_disk / "out", workers=1, log=log)
    assert all(json.loads(line) for line in log.read_text().splitlines())
    fill_up(small_disk / "rest")
    events = EventLog(log)
    for number in range(100):
        events.event("lost", number=number, text="x" * 1000)
    (small_disk / "rest").unlink()
    events.event("again")
    events.close()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert lines[-1]["event"] == "again"
    assert lines[-1]["events_lost_before"] + sum(line["event"] == "lost" for line in lines) == 100


def test_shards_that_are_no_longer_asked_for_are_removed(tmp_path, map_shards):
    map_shards(fill, {"a": 10, "b": 20}, tmp_path, workers=1)
    map_shards(fill, {"b": 20, "c": 30}, tmp_path, workers=1)
    assert sorted(path.name for path in tmp_path.glob("*.bin")) == ["20.bin", "30.bin"]


def test_a_shards_name_cannot_lead_out_of_the_output(tmp_path, map_shards):
    with pytest.raises(ValueError, match="not a shard's name"):
        map_shards(fill, {"../a": 1}, tmp_path, workers=1)
