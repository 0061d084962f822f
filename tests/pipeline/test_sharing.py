"""Tasks that share a stage: what a look costs, who takes over what, the last partitions split, the summary of marks."""

from __future__ import annotations

import itertools
import json
import random
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from test_faults import PATIENCE
from test_partitions import start

from benchmarks.sharing import simulate
from pipeline.json_file import DamagedFileError
from pipeline.lease import FolderClock, live_owner
from pipeline.manifest import FileRecord
from pipeline.shards import PackedMarks, ShardFolder, ShardMark, ShardReport
from pipeline.shards import sharing as module
from pipeline.shards.mark import pack, unpack
from pipeline.shards.mark_summary import SUMMARY, MarkSummary, SummaryLine, remove_summaries
from pipeline.shards.partitions import Partition, absence_path
from pipeline.shards.sharing import Pause, ShardChunk, Sharing, chunks_of

__all__ = ["start"]


@pytest.mark.parametrize(("shards", "workers"), [(600, 10), (3600, 60)])
def test_operations_a_shard_stay_the_same_however_many_tasks_share_a_stage(shards, workers):
    """With tasks that never come, come late, die, are requeued and are slow. Measured: 11 to 13."""
    world = simulate(shards, workers)
    assert sorted(world.marks) == sorted(world.names), "nothing is lost"
    assert set(world.marks.values()) == {1}, "nothing is done twice"
    assert sum(world.operations.values()) / shards < 20
    assert len(world.died) > 0 or workers < 60


def sharing_of(folder: Path, number: int, world: int = 2, said: list[str] | None = None) -> Sharing:
    (folder / "stage" / "key").mkdir(parents=True, exist_ok=True)
    say = (said if said is not None else []).append
    return Sharing(
        folder / "stage" / "key", Partition(number, world), 1, workers=1, wait=True, is_finished=lambda: False, say=say
    )


def test_one_that_waits_takes_the_last_chunks_of_a_partition_that_is_under_way(tmp_path):
    names = {f"s{number:02}": number for number in range(20)}
    done: set[str] = set()
    said: list[str] = []
    slow, quick = sharing_of(tmp_path, 0), sharing_of(tmp_path, 1, said=said)
    missing = lambda: set(names) - done  # noqa: E731
    assert slow.enter(lambda: True, wait=True)
    assert quick.enter(lambda: True, wait=True)
    of_slow, of_quick = slow.steps(names, missing), quick.steps(names, missing)

    def do(steps: Iterator[ShardChunk | Pause]) -> list[str]:
        step = next(step for step in steps if not isinstance(step, ShardChunk) or step.names)
        assert isinstance(step, ShardChunk)
        assert done.isdisjoint(step.names)
        return list(step.names)

    first = do(of_slow)
    assert first == ["s00", "s02"]
    for expected in chunks_of(Partition(1, 2).of(names), 1):
        chunk = do(of_quick)
        assert chunk == expected
        done.update(chunk)
    last = do(of_quick)
    assert last == ["s16", "s18"]
    assert said[-1] == "  taking 2 shards of partition 0/2, which is under way"
    done.update(first)
    assert do(of_slow) == ["s04", "s06"], "the slow one continues from the front"
    done.update(last)
    quick.close()
    slow.close()


def test_partitions_that_never_came_are_not_waited_for_again(tmp_path, monkeypatch):
    names = {f"s{number}": number for number in range(4)}
    said: list[str] = []
    for late, stage in ((0.0, "one"), (3600.0, "two")):
        monkeypatch.setattr(module, "LATE_SECONDS", late)
        done: set[str] = set()
        sharing = sharing_of(tmp_path / "project" / stage / "..", 0, said=said)
        sharing.enter(lambda: True, wait=True)
        for step in sharing.steps(names, partial(set(names).difference, done)):
            assert isinstance(step, ShardChunk), "no pause"
            done.update(step.names)
        sharing.close()
        assert said.pop() == "  taking over partition 1/2: nobody is at it"
    absent = absence_path(tmp_path / "project" / "stage" / "key", Partition(1, 2))
    assert absent.exists()
    comes = sharing_of(tmp_path / "project", 1)
    comes.enter(lambda: True, wait=True)
    assert not absent.exists()
    comes.close()


def test_looks_become_rare_and_are_never_more_than_a_minute_apart(tmp_path, monkeypatch):
    now = 0.0
    sharing = sharing_of(tmp_path, 0)
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    pauses = []
    for _ in range(60):
        pauses.append(sharing._pause("waits").seconds)
        now += pauses[-1]
    assert max(pauses[:4]) < 3
    assert 45 <= min(pauses[-10:]) <= max(pauses[-10:]) <= 75
    assert sum(seconds < 40 for seconds in pauses) < 40
    sharing.close()


def test_one_look_asks_the_clock_of_the_folder_once(tmp_path, monkeypatch):
    asked: list[Path] = []

    def time_of(folder: Path) -> float:
        asked.append(folder)
        return 0.0

    monkeypatch.setattr("pipeline.lease.time_of_folder", time_of)
    clock = FolderClock(tmp_path)
    for number in range(20):
        path = tmp_path / f"{number}.lease"
        path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "born": 0.0, "token": "x"}))
        assert live_owner(path, clock) is not None
    assert asked == [tmp_path]


def mark(number: int) -> ShardMark:
    records = {f"files/{number}-{kind}.arrow": FileRecord(number, "0" * 64, number) for kind in "abc"}
    return ShardMark(ShardReport({"documents": {"read": number}}), records, f"identity {number}", 1.5)


def lines(**marks: ShardMark) -> list[SummaryLine]:
    return [SummaryLine(name, mark.identity, pack(mark)) for name, mark in marks.items()]


def new(summary: MarkSummary) -> dict[str, ShardMark]:
    return {line.name: unpack(line.packed) for line in summary.new()}


def test_a_summary_gives_what_is_new(tmp_path):
    folder = ShardFolder(tmp_path)
    one, other = MarkSummary(folder), MarkSummary(folder)
    assert new(other) == {}
    one.append(lines(a=mark(1), b=mark(2)))
    assert new(other) == {"a": mark(1), "b": mark(2)}
    assert new(other) == {}
    with (folder.marks / SUMMARY).open("ab") as handle:
        handle.write(b'{"name":"half')  # its task died
    assert new(other) == {}
    other.append(lines(c=mark(3)))
    assert new(other) == {"c": mark(3)}
    assert new(MarkSummary(folder)) == {"a": mark(1), "b": mark(2), "c": mark(3)}
    assert folder.named() == set(), "it is no mark"
    remove_summaries(folder.marks)
    one.append(lines(d=mark(4)))
    assert new(other) == {"d": mark(4)}, "begun anew by another run"


def mined(number: int) -> ShardMark:
    """As of corpus.mine: what was dropped of each of 110 languages, for three reasons."""
    rng = random.Random(number)
    reasons = ("language unsure", "too short", "perplexity")
    what = ("characters", "documents", "lines")
    dropped = {
        f"l{language}": {reason: {unit: rng.randrange(10**6) for unit in what} for reason in reasons}
        for language in range(110)
    }
    records = {f"shard-{number:05}.{kind}": FileRecord(number, f"{number:064x}", number) for kind in ("arrow", "json")}
    return ShardMark(ShardReport({"dropped_by_language": dropped}), records, None, 300.5)


def test_the_marks_of_90000_shards_need_less_than_a_gigabyte():
    """As objects they would need ten."""
    kept, objects = PackedMarks(), list[ShardMark]()
    assert bytes_of(lambda number: kept.update({f"shard-{number:05}": mined(number)})) * 90_000 < 1e9
    assert bytes_of(lambda number: objects.append(mined(number))) * 90_000 > 1e10
    assert kept["shard-00007"] == objects[7]


def bytes_of(make: Callable[[int], object], times: int = 50) -> float:
    """The memory that one call leaves in use."""
    tracemalloc.start()
    for number in range(times):
        make(number)
    needed, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return needed / times


def test_what_is_no_packed_mark_is_one_line():
    for damaged in (b"", pack(mark(1))[:-7], zlib.compress(b"{}")):
        with pytest.raises(DamagedFileError, match=r"^a packed mark: .*; run the same command again$"):
            unpack(damaged)


def test_marks_that_a_dead_task_did_not_put_into_the_summary_are_found(toy, start):
    """The marks of a run by itself are in no summary either."""
    words = ("--toy.numbers.count", "8")
    toy.run(*words, until="toy.write")
    output = toy.output("toy.write", *words)
    (output / "manifest.json").unlink()
    before = {path.name: path.stat().st_mtime_ns for path in (output / ".shards").glob("*.json")}
    tasks = [start(f"{number}/2", *words) for number in range(2)]
    said = [task.communicate(timeout=PATIENCE)[1] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], said
    assert before == {path.name: path.stat().st_mtime_ns for path in (output / ".shards").glob("*.json")}


def test_a_lost_file_is_made_again_before_the_stage_is_finished(toy, start):
    words = ("--toy.numbers.count", "6")
    output = toy.output("toy.write", *words)
    task = start("0/2", *words, "--run.wait", "false")
    assert "3 of 6 shards are not" in task.communicate(timeout=PATIENCE)[1]
    (output / "numbers" / "2.txt").unlink()
    tasks = [start(f"{number}/2", *words) for number in range(2)]
    said = [task.communicate(timeout=PATIENCE)[1] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], said
    assert sorted(p.name for p in (output / "numbers").iterdir()) == [f"{n}.txt" for n in range(6)]


@pytest.mark.parametrize(
    ("shards", "workers", "sizes"), [(90, 1, [6] * 15), (90, 16, [32, 32, 26]), (1, 1, [1]), (0, 1, [])]
)
def test_chunks_keep_the_workers_busy(shards, workers, sizes):
    names = [str(number) for number in range(shards)]
    chunks = chunks_of(names, workers)
    assert [len(chunk) for chunk in chunks] == sizes
    assert list(itertools.chain.from_iterable(chunks)) == names
