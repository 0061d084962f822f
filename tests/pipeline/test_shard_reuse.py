"""Shards that an earlier output has are taken over; prune removes that output and harms nothing."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import growing_package
import pytest
from test_faults import digest

from pipeline import cli
from pipeline.dag import Dag
from pipeline.lease import Lease
from pipeline.manifest import read_manifest
from pipeline.plan import make_plan
from pipeline.prune import prune, running_path
from pipeline.runner import Selection, run
from pipeline.shards import reuse
from pipeline.shards.partitions import Partition, partition_path, stage_lock_path


class Growing:
    """Runs the growing package, and knows which numbers were worked on."""

    def __init__(self, folder: Path) -> None:
        self.dag = Dag([growing_package.PACKAGE])
        self.project = folder / "runs" / "g"
        self.diary = folder / "diary"
        self.yaml = folder / "growing.yaml"
        self.yaml.write_text(
            f"run: {{directory: {folder / 'runs'}, project: g, workers: 1}}\n"
            f"growing: {{writing: {{diary: {self.diary}}}}}\n"
        )

    def config(self, numbers: list[int], *words: str):
        return self.dag.load_config(self.yaml, ["--growing.listing.numbers", json.dumps(numbers), *words])

    def run(self, numbers: list[int], *words: str, **selection) -> list[str]:
        """The shards that were worked on."""
        self.diary.write_text("")
        run(self.dag, self.config(numbers, *words), Selection(until="growing", **selection), say=lambda line: None)
        return self.diary.read_text().split()

    def output(self, numbers: list[int], *words: str) -> Path:
        return make_plan(self.dag, self.config(numbers, *words))["growing.write"].output

    def prune(self, numbers: list[int], *words: str, dry_run: bool = False) -> list[str]:
        return list(prune(self.dag, self.config(numbers, *words), dry_run=dry_run))


@pytest.fixture
def growing(tmp_path: Path) -> Growing:
    return Growing(tmp_path)


def calls(output: Path) -> dict:
    """What the manifest says of the result, without times, builds and keys."""
    found = read_manifest(output)
    assert found is not None
    manifest = asdict(found)
    files = {name: (record["size"], record["sha256"]) for name, record in manifest["files"].items()}
    return {"files": files, "counts": manifest["counts"], "warnings": manifest["warnings"]}


def test_a_shard_is_added_and_the_others_are_taken_over(growing):
    assert growing.run([1, 2, 3]) == ["n0=1", "n1=2", "n2=3"]
    assert growing.run([1, 2, 3, 4]) == ["n3=4"]
    grown = growing.output([1, 2, 3, 4])
    assert growing.run([1, 2, 3, 4], "--run.project", "fresh") == ["n0=1", "n1=2", "n2=3", "n3=4"]
    fresh = growing.output([1, 2, 3, 4], "--run.project", "fresh")
    assert digest(grown) == digest(fresh)
    assert calls(grown) == calls(fresh)
    assert calls(grown)["warnings"] == ["1 is odd", "3 is odd"]
    first = growing.output([1, 2, 3]) / "numbers" / "n0.txt"
    assert first.samefile(grown / "numbers" / "n0.txt"), "linked, not copied"


def test_only_what_is_the_same_is_taken_over(growing):
    growing.run([1, 2, 3])
    assert growing.run([1, 5, 3]) == ["n1=5"]
    assert growing.run([1, 2, 3], "--growing.writing.factor", "2") == ["n0=1", "n1=2", "n2=3"]
    assert digest(growing.output([1, 2, 3], "--growing.writing.factor", "2")) == {
        "numbers/n0.txt": b"2", "numbers/n1.txt": b"4", "numbers/n2.txt": b"6",
    }  # fmt: skip


def test_a_damaged_shard_is_not_taken_over(growing):
    growing.run([1, 2, 3])
    path = growing.output([1, 2, 3]) / "numbers" / "n1.txt"
    path.write_text("9")
    os.utime(path, ns=(1, 1))  # the clock of older kernels' files stands still for some milliseconds
    assert growing.run([1, 2, 3, 4]) == ["n1=2", "n3=4"]
    assert (growing.output([1, 2, 3, 4]) / "numbers" / "n1.txt").read_text() == "2"


def test_an_interrupted_output_gives_its_shards_too(growing):
    growing.run([1, 2, 3])
    (growing.output([1, 2, 3]) / "manifest.json").unlink()
    assert growing.run([1, 2, 3, 4]) == ["n3=4"]


def test_without_hard_links_files_are_copied_and_compared(growing, monkeypatch):
    growing.run([1, 2, 3])

    def refuse(source, target):
        raise OSError(errno.EXDEV, "cross-device link")

    damaged = growing.output([1, 2, 3]) / "numbers" / "n1.txt"
    before = damaged.stat()
    damaged.write_text("9")
    os.utime(damaged, ns=(before.st_atime_ns, before.st_mtime_ns))  # a damage that size and time do not show
    with monkeypatch.context() as patched:
        patched.setattr(reuse.os, "link", refuse)
        work = shard_reuse_of(growing, [1, 2, 3, 4])
        taken = reuse.reuse_shards(*work)
    assert sorted(taken) == ["n0", "n2"]
    assert (growing.output([1, 2, 3, 4]) / "numbers" / "n2.txt").stat().st_nlink == 1


def shard_reuse_of(growing: Growing, numbers: list[int]):
    """What ``reuse_shards`` takes, for an output that is not made yet."""
    from pipeline.shards import Shard, ShardFolder, ShardWork

    plan = make_plan(growing.dag, growing.config(numbers))["growing.write"]
    plan.output.mkdir(parents=True)
    names = [
        Shard(f"n{i}", None, reuse.identity_of("growing.write", 1, plan.config, f"n{i}", str(n)))
        for i, n in enumerate(numbers)
    ]
    never_called: Any = None
    return ShardWork(never_called, ShardFolder(plan.output), plan.output / ".work" / "own"), names


def test_a_list_that_is_made_again_costs_no_shard(growing):
    growing.run([1, 2, 3])
    assert growing.run([1, 2, 3], force=("growing.list",)) == []
    assert growing.run([1, 2, 3], force=("growing.write",)) == ["n0=1", "n1=2", "n2=3"]


def test_prune_removes_other_outputs_and_no_bytes_that_stay(growing):
    growing.run([1, 2, 3])
    growing.run([1, 2, 3, 4])
    old = [growing.output([1, 2, 3]), *(growing.project / "growing.list").iterdir()]
    said = growing.prune([1, 2, 3, 4], dry_run=True)
    assert all(path.exists() for path in old)
    assert [line.split()[:2] for line in said[:-1]] == [["would", "remove"]] * 2
    said = growing.prune([1, 2, 3, 4])
    assert not growing.output([1, 2, 3]).exists()
    assert said[-1].startswith("2 old outputs, ")
    own = sum(p.stat().st_size for p in growing.output([1, 2, 3, 4]).rglob("n[0-2].txt"))
    assert own == 3
    assert growing.run([1, 2, 3, 4]) == [], "what is left is whole"
    assert growing.prune([1, 2, 3, 4]) == ["0 old outputs, 0 B freed"]


def test_prune_counts_a_link_only_when_its_last_name_goes(growing):
    growing.run([1, 2, 3])
    growing.run([1, 2, 3, 4])
    linked = sum(p.stat().st_size for p in growing.output([1, 2, 3, 4]).rglob("n[0-2].txt"))
    both = [growing.output([1, 2, 3]), growing.output([1, 2, 3, 4])]
    from pipeline.prune import freed_by

    assert freed_by(both) - sum(freed_by([path]) for path in both) == linked


def test_prune_leaves_what_a_live_run_holds(growing):
    growing.run([1, 2, 3])
    growing.run([1, 2, 3, 4])
    old = growing.output([1, 2, 3])
    for path, tells in (
        (stage_lock_path(old), {}),
        (partition_path(old, Partition(0, 2)), {}),
        (running_path(growing.project), {"outputs": [str(old.absolute())]}),
    ):
        with Lease(path, tells):
            said = growing.prune([1, 2, 3, 4])
            assert old.exists(), path
            assert [line for line in said if line.startswith(f"kept {old}") and f"process {os.getpid()}" in line]
    growing.prune([1, 2, 3, 4])
    assert not old.exists()


def test_prune_touches_nothing_else(growing):
    growing.run([1, 2, 3])
    keep = [growing.project / "growing.write" / "notes.txt", growing.project / "mine" / "0123abcd" / "x"]
    keep.append(growing.project / "growing.write" / "not-a-key" / "x")
    for path in keep:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    growing.prune([7])
    assert all(path.read_text() == "mine" for path in keep)
    assert not growing.output([1, 2, 3]).exists()


def test_prune_on_the_command_line(growing, monkeypatch, capsys):
    growing.run([1, 2, 3])
    growing.run([1, 2, 3, 4])
    monkeypatch.setattr(cli.Dag, "default", lambda: growing.dag)
    words = ["prune", str(growing.yaml), "--growing.listing.numbers", "[1, 2, 3, 4]"]
    assert cli.main([*words, "--dry-run"]) == 0
    assert "would remove" in capsys.readouterr().out
    assert cli.main(words) == 0
    assert f"removed {growing.output([1, 2, 3])}" in capsys.readouterr().out
