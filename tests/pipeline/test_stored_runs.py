from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.errors import UsageError, XlmrError
from pipeline.lease import Lease, live_owner
from pipeline.manifest import Manifest, record_files
from pipeline.prune import prune
from pipeline.shards.partitions import stage_lock_path
from pipeline.status import describe_runs
from pipeline.store.copies import Copies
from pipeline.store.output import StoredOutput
from pipeline.store.path import StoredPath

if TYPE_CHECKING:
    from conftest import Toy
    from s3_server import S3Server

FILES = ("toy.write/*/numbers/*.txt", "toy.sum/*/sum.txt", "toy.power/*/power.txt")


def files_of(project: Path) -> dict[str, bytes]:
    """The content of every file of a toy run, wherever it is kept."""
    paths = [path for pattern in FILES for path in project.glob(pattern)]
    return {str(path)[len(str(project)) :]: path.read_bytes() for path in paths}


def test_stored_run_has_the_files_of_a_local_one(toy: Toy, stored_toy: Toy, bucket: StoredPath, tmp_path: Path) -> None:
    stored_toy.run()
    assert stored_toy.plan() == {"toy.write": "fresh", "toy.sum": "fresh", "toy.power": "fresh"}
    stored_toy.run()
    assert stored_toy.ran() == []
    words = ("--run.directory", str(tmp_path / "runs"))
    toy.run(*words)
    stored, local = files_of(bucket / "runs" / "t"), files_of(tmp_path / "runs" / "t")
    assert stored == local
    assert len(stored) == 6


def test_other_machine_finds_the_stored_run(stored_toy: Toy, tmp_path: Path) -> None:
    """It has no copy: what is fresh stays so, and the inputs of what runs are fetched."""
    stored_toy.run()
    elsewhere = ("--run.cache", str(tmp_path / "other"))
    assert set(stored_toy.plan(*elsewhere).values()) == {"fresh"}
    stored_toy.run(*elsewhere, "--toy.power.exponent", "3")
    assert stored_toy.ran() == ["toy.power"]
    assert [path.name for path in (tmp_path / "other").rglob("*.txt")].count("sum.txt") == 1


@pytest.mark.parametrize("executor", ["local", "dask", "beam"])
def test_memory_is_that_of_one_process(stored_toy: Toy, executor: str) -> None:
    memory = ("--run.directory", f"memory://runs-by-{executor}", "--run.executor", executor)
    workers = "2" if executor == "local" else "1"
    with pytest.raises(UsageError, match=r"^run.directory: memory://\S+ is the memory of one process, which workers"):
        stored_toy.run(*memory, "--run.workers", workers)
    assert StoredPath(memory[1]).sizes() == {}


def test_one_process_may_keep_its_runs_in_memory(stored_toy: Toy) -> None:
    memory = ("--run.directory", "memory://runs-of-one", "--run.workers", "1")
    stored_toy.run(*memory)
    assert set(stored_toy.plan(*memory).values()) == {"fresh"}
    assert len(files_of(StoredPath("memory://runs-of-one/t"))) == 6


@pytest.mark.slow
def test_removed_object_is_noticed(stored_toy: Toy, bucket: StoredPath) -> None:
    stored_toy.run()
    (number,) = (bucket / "runs" / "t").glob("toy.write/*/numbers/2.txt")
    number.unlink()
    assert stored_toy.plan()["toy.write"] == f"stale because {number} is missing"
    stored_toy.run()
    assert number.read_bytes() == b"2"
    assert set(stored_toy.plan().values()) == {"fresh"}


def test_damaged_object_is_found_when_it_is_verified(stored_toy: Toy, bucket: StoredPath, tmp_path: Path) -> None:
    stored_toy.run()
    (total,) = (bucket / "runs" / "t").glob("toy.sum/*/sum.txt")
    total.write_bytes(b"9")
    assert stored_toy.plan(verify=True)["toy.sum"] == f"stale because {total} was changed"
    with pytest.raises(XlmrError, match=f"{total}: checksum mismatch"):
        stored_toy.run("--run.cache", str(tmp_path / "other"), only="toy.power", force=("toy.power",))


def test_failed_shard_keeps_the_others(stored_toy: Toy, bucket: StoredPath) -> None:
    with pytest.raises(XlmrError, match="number 2 is bad"):
        stored_toy.run("--toy.numbers.bad", "2")
    marks = [path.name for path in (bucket / "runs" / "t").glob("toy.write/*/.shards/*.json")]
    assert marks == ["number-0.json", "number-1.json", "number-3.json"]


def test_one_of_two_runs_has_the_output(stored_toy: Toy) -> None:
    lock = stage_lock_path(stored_toy.output("toy.write"))
    with Lease(lock), pytest.raises(XlmrError, match=r"is being written by process \d+ on"):
        stored_toy.run()
    assert not lock.exists()
    stored_toy.run()
    assert not list(lock.parent.glob("*lease*")), "a lease or its beat is left"


def test_lease_of_a_dead_owner_is_taken(bucket: StoredPath, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = {"host": "elsewhere", "pid": 1, "born": 0.0, "token": "t"}
    path = bucket / "x.lease"
    path.write_bytes(json.dumps(owner).encode())
    assert live_owner(path) is not None, "it was written just now"
    monkeypatch.setattr("pipeline.lease.EXPIRY_SECONDS", -1.0)
    lease = Lease(path)
    assert lease.take() is None
    assert lease.is_held()
    lease.release()
    assert not list(bucket.iterdir())


def test_cache_is_bounded(bucket: StoredPath, tmp_path: Path) -> None:
    """The output that was used last stays, those in use always."""
    cache = tmp_path / "cache"
    outputs = [bucket / "runs" / "p" / "s" / f"{number:08d}" for number in range(3)]
    for output in outputs:
        whole = tmp_path / output.name
        whole.mkdir()
        (whole / "file").write_bytes(b"x" * 1000)
        manifest = Manifest("s", 1, "k", output.name, {}, {}, {}, {}, record_files(whole), "", 0.0, 0)
        (output / "file").put(whole / "file")
        manifest.write(output)
    with Copies(cache, 2500) as used:
        first = used.bring(outputs[0])
        with Copies(cache, 2500) as others:
            second = others.bring(outputs[1])
        third = used.bring(outputs[2])
    assert (first.exists(), second.exists(), third.exists()) == (True, False, True)


def test_cache_is_no_address(stored_toy: Toy) -> None:
    with pytest.raises(UsageError, match=r"run\.cache: a path on this machine is meant, no address"):
        stored_toy.config("--run.cache", "s3://bucket/cache")


@pytest.mark.slow
def test_status_and_prune_of_a_stored_run(stored_toy: Toy, bucket: StoredPath) -> None:
    stored_toy.run()
    stored_toy.run("--toy.power.exponent", "3")
    project = bucket / "runs" / "t"
    assert len(list(describe_runs(project))) == 4
    old, summed = list(prune(stored_toy.dag, stored_toy.config(), dry_run=False))
    assert old.startswith(f"removed {project}/toy.power/")
    assert summed.startswith("1 old outputs")
    assert len(list(project.glob("toy.power/*/manifest.json"))) == 1
    assert set(stored_toy.plan().values()) == {"fresh"}


def test_folders_are_saved_while_a_stage_runs(bucket: StoredPath, tmp_path: Path) -> None:
    """What was saved, and not removed since, is there on another machine."""
    output = bucket / "runs" / "p" / "s" / "00000000"
    with Copies(tmp_path / "one", 10**9) as copies:
        stored = StoredOutput(output, copies)
        for step in range(3):
            folder = stored.copy / "checkpoints" / f"step-{step}"
            folder.mkdir(parents=True)
            (folder / "weights").write_bytes(b"w" * (step + 1))
            stored.saver.save(folder)
        stored.saver.forget(stored.copy / "checkpoints" / "step-0")
        stored.saver.finish()
        assert not stored.saver.is_pending(folder)
    (output / ".saved" / "checkpoints.step-1.json").unlink()  # as if a kill had come before its mark
    with Copies(tmp_path / "other", 10**9) as copies:
        stored = StoredOutput(output, copies)
        stored.restore()
        assert [path.name for path in (stored.copy / "checkpoints").iterdir()] == ["step-2"]
        assert (stored.copy / "checkpoints" / "step-2" / "weights").read_bytes() == b"www"
        files = record_files(stored.copy)
        assert stored.complete(files, {}) == files
    assert set(output.sizes()) == {"checkpoints/step-2/weights"}


def test_storage_that_does_not_answer_stops_no_stage(
    s3: S3Server, bucket: StoredPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be saved is said, and saved with the next; files beside it are as they were then."""
    monkeypatch.setattr("pipeline.store.objects.WAITS", ())
    output, said = bucket / "runs" / "p" / "s" / "00000000", list[str]()
    with Copies(tmp_path / "one", 10**9) as copies:
        stored = StoredOutput(output, copies)
        stored.saver.warn = said.append
        metrics = stored.copy / "metrics.jsonl"
        for step in range(3):
            folder = stored.copy / f"step-{step}"
            folder.mkdir(parents=True)
            (folder / "weights").write_bytes(b"w")
            metrics.write_text(f"{step}\n")
            s3.faults = {"busy": 1.0} if step == 0 else {}
            stored.saver.save(folder, [metrics])
            while stored.saver.is_pending(folder):
                time.sleep(0.01)
        stored.saver.finish()
    (line,) = said
    assert line.startswith(f"step-0 is on this machine only: {output}/step-0/weights: OSError")
    with Copies(tmp_path / "other", 10**9) as copies:
        stored = StoredOutput(output, copies)
        stored.restore()
        assert sorted(path.name for path in stored.copy.iterdir()) == ["step-0", "step-1", "step-2"]
        for step in (2, 0):
            stored.saver.restore_beside(stored.copy / f"step-{step}")
            assert (stored.copy / "metrics.jsonl").read_text() == f"{step}\n"
