"""What runs, what does not, and what the plan says of it."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import storage
from pipeline.errors import XlmrError
from pipeline.manifest import MANIFEST, FileRecord, read_manifest


def test_everything_runs_once(toy):
    assert toy.plan() == {"toy.write": "missing", "toy.sum": "missing", "toy.power": "missing"}
    toy.run()
    assert toy.ran() == ["toy.write", "toy.sum", "toy.power"]
    assert (toy.output("toy.power") / "power.txt").read_text() == "36"
    toy.run()
    assert toy.ran() == []
    assert toy.said == ["nothing to do: all 3 stages are fresh"]


def test_a_changed_setting_reruns_its_stage_and_what_hangs_on_it(toy):
    toy.run()
    assert toy.plan("--toy.power.exponent", "3") == {
        "toy.write": "fresh",
        "toy.sum": "fresh",
        "toy.power": "stale because toy.power: power.exponent 2 → 3",
    }
    toy.run("--toy.power.exponent", "3")
    assert toy.ran() == ["toy.power"]
    plan = toy.plan("--toy.numbers.factor=2")
    assert plan["toy.write"] == "stale because toy.write: numbers.factor 1 → 2"
    assert plan["toy.sum"] == "stale because toy.write changed"
    toy.run("--toy.numbers.factor", "2")
    assert toy.ran() == ["toy.write", "toy.sum", "toy.power"]


def test_a_setting_that_does_not_change_the_result_reruns_nothing(toy):
    toy.run()
    toy.run("--toy.numbers.seconds", "0.01", "--run.workers", "3")
    assert toy.ran() == []


def test_going_back_to_an_earlier_setting_reruns_nothing(toy):
    toy.run()
    toy.run("--toy.power.exponent", "3")
    toy.run()
    assert toy.ran() == []


def test_a_deleted_file_reruns_its_stage_and_what_hangs_on_it(toy):
    toy.run()
    lost = toy.output("toy.sum") / "sum.txt"
    lost.unlink()
    assert toy.plan() == {
        "toy.write": "fresh",
        "toy.sum": f"stale because {lost} is missing",
        "toy.power": "stale because toy.sum runs again",
    }
    toy.run()
    assert toy.ran() == ["toy.sum", "toy.power"]
    assert lost.read_text() == "6"


def test_a_deleted_shard_file_reruns_that_shard_only(toy):
    toy.run()
    folder = toy.output("toy.write") / "numbers"
    kept = (folder / "1.txt").stat().st_mtime_ns
    (folder / "2.txt").unlink()
    toy.run()
    assert toy.ran() == ["toy.write", "toy.sum", "toy.power"]
    assert (folder / "2.txt").read_text() == "2"
    assert (folder / "1.txt").stat().st_mtime_ns == kept


def test_what_hangs_on_a_stage_is_stale_until_it_ran_too(toy):
    toy.run()
    toy.run(only="toy.sum", force=("toy.sum",))
    assert toy.plan()["toy.power"] == "stale because toy.sum was made again since"


def test_an_outside_file_counts_by_its_content(toy, tmp_path):
    outside = tmp_path / "outside.txt"
    outside.write_text("one")
    words = ("--toy.numbers.file", str(outside))
    toy.run(*words)
    os.utime(outside, ns=(1, 1))
    toy.run(*words)
    assert toy.ran() == []
    outside.write_text("two")
    assert toy.plan(*words)["toy.write"] == f"stale because {outside} was changed"
    outside.unlink()
    with pytest.raises(XlmrError, match=r"no such file; it is named by toy\.numbers\.file"):
        toy.plan(*words)


@pytest.fixture
def files_read(monkeypatch) -> list[str]:
    """The names of the outside files whose content is read, in order; one that ends in ``!`` stops the reader."""
    read: list[str] = []

    def slow_sha256(path: Path) -> str:
        read.append(path.name)
        time.sleep(0.01)
        if path.name.endswith("!"):
            raise KeyboardInterrupt
        return path.read_text()

    monkeypatch.setattr(storage, "sha256_of_file", slow_sha256)
    return read


def test_a_new_project_reads_outside_files_once(toy, tmp_path, files_read):
    for name in "ab":
        (tmp_path / f"{name}.out").write_text(name)
    words = ("--toy.numbers.file", str(tmp_path / "*.out"))
    toy.run(*words)
    assert files_read == ["a.out", "b.out"]
    toy.plan(*words)
    (tmp_path / "c.out!").write_text("c")
    with pytest.raises(KeyboardInterrupt):
        toy.run("--toy.numbers.file", str(tmp_path / "*.out*"), "--run.project", "other")
    (tmp_path / "c.out!").unlink()
    toy.run(*words, "--run.project", "other")
    assert files_read == ["a.out", "b.out", "a.out", "b.out", "c.out!"], "what was read before the interrupt is known"


def test_of_several_processes_one_reads(tmp_path, files_read):
    outside = [tmp_path / f"{number}.out" for number in range(8)]
    for path in outside:
        path.write_text(path.name)
    found: list[list[str]] = []

    def plan() -> None:
        with storage.ChecksumCache(tmp_path / "known.json") as cache:
            found.append([cache.checksum(str(path)) for path in outside])

    threads = [threading.Thread(target=plan) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[path.name for path in outside]] * 4
    assert len(files_read) == 8
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".out") == ["known.json"]


def test_selection(toy):
    toy.run(until="toy.sum")
    assert toy.ran() == ["toy.write", "toy.sum"]
    with pytest.raises(XlmrError, match=r"toy.power is made from toy.sum, which is stale because toy.write changed"):
        toy.run("--toy.numbers.factor", "5", only="toy.power")
    toy.run(start="toy.power")
    assert toy.ran() == ["toy.power"]
    toy.run(force=("toy.write",))
    assert toy.ran() == ["toy.write", "toy.sum", "toy.power"]


def test_no_manifest_no_stage(toy):
    toy.run()
    (toy.output("toy.sum") / MANIFEST).unlink()
    assert toy.plan()["toy.sum"] == "missing because another run has begun it"
    toy.run()
    assert toy.ran() == ["toy.sum", "toy.power"]


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    which=st.integers(0, 5),
    how=st.sampled_from(["flip", "cut", "grow", "delete", "empty"]),
    at=st.integers(0, 10**6),
)
def test_whatever_file_changes_it_is_noticed(toy, which, how, at):
    """Any change to any file of any output, even one that keeps size and time, is seen with ``verify``."""
    toy.run(verify=True)
    assert set(toy.plan(verify=True).values()) == {"fresh"}
    stages = ["toy.write", "toy.sum", "toy.power"]
    files = [(s, toy.output(s) / name) for s in stages for name in sorted(read_manifest(toy.output(s)).files)]
    assert len(files) == 6
    stage, path = files[which]
    before = path.stat()
    change(path, how, at)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns)) if path.exists() else None
    if how != "flip":  # a change of size needs no reading
        assert not toy.plan()[stage].startswith("fresh")
    assert toy.plan(verify=True)[stage].startswith(f"stale because {path} ")
    toy.run(verify=True)
    assert toy.ran() == stages[stages.index(stage) :]


def change(path: Path, how: str, at: int) -> None:
    content = path.read_bytes()
    place = at % len(content)
    if how == "flip":
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
    elif how == "cut":
        path.write_bytes(content[:-1])
    elif how == "grow":
        path.write_bytes(content + b"0")
    elif how == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()


def test_a_touched_file_is_read_and_found_whole(tmp_path):
    path = tmp_path / "file"
    path.write_text("content")
    record = FileRecord.of(path)
    os.utime(path, ns=(1, 1))
    assert record.fault(path) is None
    path.write_text("CONTENT")
    os.utime(path, ns=(1, 1))  # the clock of older kernels' files stands still for some milliseconds
    assert record.fault(path) == "was changed"
