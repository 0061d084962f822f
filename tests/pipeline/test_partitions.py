"""Several tasks at one run, on one file system: each shard once, nothing half-written, whoever dies."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from test_faults import PATIENCE, digest, wait_for

from pipeline.errors import UsageError, XlmrError
from pipeline.lease import Lease
from pipeline.manifest import MANIFEST, read_manifest
from pipeline.run_settings import RunConfig
from pipeline.shards import MARKS, WORKSPACES
from pipeline.shards.partitions import LeftToOthersError, Partition, partition_of, partition_path, stage_lock_path
from pipeline.shards.sharing import ShardChunk, Sharing

TASK = """
import sys
from pathlib import Path
from pipeline.shards import sharing
from pipeline.cli import exit_code_of
from pipeline.dag import Dag
from pipeline.runner import Selection, run
import toy_package
sharing.LOOK_SECONDS, sharing.LATE_SECONDS, sharing.SAY_SECONDS = 0.05, {late}, 1
def work():
    dag = Dag([toy_package.PACKAGE])
    run(dag, dag.load_config(Path({yaml!r}), {words!r}), Selection(until="toy"))
    return 0
if __name__ == "__main__":
    sys.exit(exit_code_of(work, "help"))
"""


@pytest.fixture
def start(toy, start_code):
    """Start a task of the toy run in a process of its own."""

    def start_task(partition: str, *words: str, late: float = 60) -> subprocess.Popen:
        given = ["--run.partition", partition, "--run.workers", "1", *words]
        return start_code(TASK.format(yaml=str(toy.yaml), words=given, late=late))

    return start_task


def leftovers(output: Path) -> list[str]:
    """Leases, workspaces and notes that nobody needs any more."""
    beside = [path.name for path in output.parent.iterdir() if path != output]
    return beside + [path.name for path in output.iterdir() if path.name.startswith((".failed", WORKSPACES))]


def marks(output: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (output / MARKS).glob("*.json")}


def test_tasks_share_the_shards_and_one_finishes(toy, start):
    words = ("--toy.numbers.count", "12", "--toy.numbers.seconds", "0.05")
    tasks = [start(f"{number}/4", *words) for number in range(4)]
    said = [task.communicate(timeout=PATIENCE)[1] for task in tasks]
    assert [task.returncode for task in tasks] == [0] * 4, said
    output = toy.output("toy.write", *words)
    assert all("toy.power done in" in text for text in said), "all went through to the end"
    assert sorted(marks(output)) == sorted(f"number-{n}.json" for n in range(12))
    for stage in ("toy.write", "toy.sum", "toy.power"):
        assert leftovers(toy.output(stage, *words)) == []
    builds = {stage: read_manifest(toy.output(stage, *words)).build for stage in ("toy.write", "toy.sum", "toy.power")}
    assert read_manifest(toy.output("toy.sum", *words)).inputs["toy.write"]["build"] == builds["toy.write"]
    other = ("--run.project", "alone", *words)
    toy.run(*other)
    assert digest(output) == digest(toy.output("toy.write", *other))
    assert read_manifest(output).counts == read_manifest(toy.output("toy.write", *other)).counts
    toy.run(*words)
    assert toy.ran() == []


def test_a_task_that_does_not_wait_leaves_and_the_last_one_finishes(toy, start):
    words = ("--toy.numbers.count", "7", "--run.wait", "false")
    for number in (1, 0):
        task = start(f"{number}/3", *words)
        said = task.communicate(timeout=PATIENCE)[1]
        assert task.returncode == 0
        assert f"partition {number}/3 is done, " in said
        assert "leaving" in said
        assert not (toy.output("toy.write", *words) / MANIFEST).exists()
    assert len(marks(toy.output("toy.write", *words))) == 5
    task = start("2/3", *words)
    assert "toy.power done in" in task.communicate(timeout=PATIENCE)[1]
    assert task.returncode == 0
    assert (toy.output("toy.power", *words) / "power.txt").read_text() == str(21**2)


def test_tasks_that_do_not_wait_and_come_at_once_all_do_their_part(toy, start):
    words = ("--toy.numbers.count", "7", "--run.wait", "false")
    output = toy.output("toy.write", *words)
    with Lease(stage_lock_path(output)):  # as another task has it that came a moment before
        tasks = [start(f"{number}/3", *words) for number in range(3)]
        for task in tasks:
            assert "toy.write" in task.stderr.readline()
            assert f"waits: process {os.getpid()} on" in task.stderr.readline()
    said = [task.communicate(timeout=PATIENCE)[1] for task in tasks]
    assert [task.returncode for task in tasks] == [0] * 3, said
    assert len(marks(output)) == 7
    assert (toy.output("toy.power", *words) / "power.txt").read_text() == str(21**2)


def test_who_is_left_does_all_of_a_later_call(tmp_path):
    """Of a stage with two shared calls: a task that does not wait has left after the first."""
    names = list("abcdefg")
    complete: list[set[str]] = [set(), set()]

    def task(number: int) -> list[list[str]]:
        sharing = Sharing(
            tmp_path / "x", Partition(number, 3), 2, workers=1, wait=False, is_finished=lambda: False, say=print
        )
        (tmp_path / "x").mkdir(exist_ok=True)
        did: list[list[str]] = []
        try:
            sharing.take_stage_lock()
            sharing.begin_partition(sharing.partition)
            sharing.release_stage_lock()
            for call in complete:
                did.append([])
                for step in sharing.steps(
                    {name: n for n, name in enumerate(names)}, partial(set(names).difference, call)
                ):
                    assert isinstance(step, ShardChunk)
                    call.update(step.names)
                    did[-1] += step.names
            assert sharing.holds_stage_lock()
        finally:
            sharing.close()
        return did

    for number in (2, 0):
        with pytest.raises(LeftToOthersError, match="shards are not"):
            task(number)
    assert [sorted(own) for own in task(1)] == [["b", "e"], names]


def test_the_part_of_a_task_that_was_killed_is_taken_over(toy, start):
    words = ("--toy.numbers.count", "8")
    never = ("--toy.numbers.go_file", str(toy.folder / "never"), "--toy.numbers.free", "1")
    victim = start("0/2", *words, *never)
    output = toy.output("toy.write", *words)
    wait_for((output / MARKS / "number-0.json").exists)
    other = start("1/2", *words)
    wait_for((output / MARKS / "number-1.json").exists)
    os.killpg(victim.pid, signal.SIGKILL)
    kept = marks(output)
    said = other.communicate(timeout=PATIENCE)[1]
    assert other.returncode == 0
    assert "taking over partition 0/2" in said
    assert kept.items() <= marks(output).items(), "what was complete was not done again"
    assert (toy.output("toy.power", *words) / "power.txt").read_text() == str(28**2)
    assert leftovers(output) == []


def test_a_part_that_nobody_begins_is_taken_over_after_a_while(toy, start):
    task = start("1/3", "--toy.numbers.count", "6", late=0.3)
    said = task.communicate(timeout=PATIENCE)[1]
    assert task.returncode == 0
    assert "taking over partition 0/3" in said
    assert "taking over partition 2/3" in said
    late = start("0/3", "--toy.numbers.count", "6")
    assert "nothing to do" in late.communicate(timeout=PATIENCE)[1]


def test_the_failure_of_one_part_ends_the_others_too(toy, start):
    words = ("--toy.numbers.count", "6", "--toy.numbers.bad", "3", "--toy.numbers.seconds", "0.4")
    waiting = start("0/2", *words)
    output = toy.output("toy.write", *words)
    wait_for((output / MARKS).exists)
    failing = start("1/2", *words)
    assert "(number-3): number 3 is bad" in failing.communicate(timeout=PATIENCE)[1]
    said = waiting.communicate(timeout=PATIENCE)[1]
    assert (failing.returncode, waiting.returncode) == (1, 1)
    assert "partition 1/2 failed in another task: 1 of 6 shards failed (number-3): number 3 is bad" in said
    assert len(marks(output)) == 5
    toy.run("--toy.numbers.count", "6", "--toy.numbers.seconds", "0")  # another key: nothing is in its way
    again = [start(f"{number}/2", *words, late=1) for number in (0, 1)]
    assert [task.wait(PATIENCE) for task in again] == [1, 1], "what failed before is tried again"


def test_a_run_by_itself_and_parts_exclude_each_other(toy):
    output = toy.output("toy.write")
    line = rf"a partition of {output} is being written by process {os.getpid()}"
    with Lease(partition_path(output, Partition(0, 2))), pytest.raises(XlmrError, match=line):
        toy.run()
    partition_path(output, Partition(1, 2)).write_text("{}")  # of a task that died
    with pytest.raises(UsageError, match="--force and --verify do not go with partitions"):
        toy.run("--run.partition", "0/2", force=("toy.write",))
    toy.run()
    assert leftovers(output) == []


def test_a_part_waits_while_a_run_by_itself_is_at_it(toy, start):
    output = toy.output("toy.write")
    with Lease(stage_lock_path(output)):
        task = start("0/99999")
        line = task.stderr.readline() + task.stderr.readline()
        assert f"partition 0/99999 waits: process {os.getpid()} on" in line
        assert not output.exists()
    wait_for((output / MARKS / "number-0.json").exists)


def test_a_stage_without_shards_is_done_by_one(toy, start):
    toy.run(until="toy.write")
    tasks = [start(f"{number}/3") for number in range(3)]
    said = [task.communicate(timeout=PATIENCE)[1] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0, 0], said
    assert (toy.output("toy.power") / "power.txt").read_text() == "36"


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_parts_are_all_shards_once(world):
    names = [f"s{i}" for i in range(5)]
    partitions = [Partition(number, world).of(names) for number in range(world)]
    assert sorted(itertools.chain.from_iterable(partitions)) == names
    assert partitions[0] == names[0::world]


def array(task: int, count: int, first: int = 0, step: int = 1) -> dict[str, str]:
    values = {"ID": task, "COUNT": count, "MIN": first, "STEP": step}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in values.items()}


def test_a_slurm_array_is_understood():
    slurm = RunConfig(executor="slurm")
    assert partition_of(slurm, array(3, 16)) == Partition(3, 16)
    assert partition_of(slurm, array(4, 4, first=1)) == Partition(3, 4)
    assert partition_of(slurm, array(6, 3, first=2, step=2)) == Partition(2, 3)
    assert partition_of(slurm, array(0, 1)) is None
    assert partition_of(RunConfig(executor="slurm", partition="2/3"), {}) == Partition(2, 3)
    assert partition_of(RunConfig(), array(3, 16)) is None
    with pytest.raises(UsageError, match="not a task of an array job"):
        partition_of(slurm, {})
    with pytest.raises(UsageError, match="not one of 2 in a row"):
        partition_of(slurm, array(7, 2, first=3))
    with pytest.raises(UsageError, match="3/3 is no partition; partitions of 3 are 0 to 2"):
        partition_of(RunConfig(partition="3/3"), {})


@pytest.mark.parametrize("text", ["3", "1/0", "-1/2", "a/b", "1/2/3", "01/2"])
def test_what_is_no_part_is_a_bad_configuration(toy, text):
    with pytest.raises(UsageError, match=r"run\.partition"):
        toy.run("--run.partition", f"'{text}'")


def test_a_lease_is_held_by_one_of_many_takers(tmp_path):
    """Threads that take the same lease from the dead and from one another: never two at once."""
    path = tmp_path / "output.lease"
    path.write_text(json.dumps({"host": os.uname().nodename, "pid": 1, "born": 0.0, "token": "x"}))
    inside, most, taken, lock = 0, 0, 0, threading.Lock()

    def taker() -> None:
        nonlocal inside, most, taken
        while taken < 100:
            lease = Lease(path)
            if lease.take() is not None:
                continue
            with lock:
                inside += 1
                most, taken = max(most, inside), taken + 1
            time.sleep(0.001)
            with lock:
                inside -= 1
            lease.release()

    threads = [threading.Thread(target=taker) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert taken >= 100
