"""Damaged manifests: one line with file and key, the stage is made again, and other runs are seen all the same."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.damage import damage_json
from pipeline.errors import XlmrError
from pipeline.manifest import MANIFEST, Manifest, read_manifest
from pipeline.shards import MARKS, ShardMark
from pipeline.status import describe_runs

GOOD: dict[str, Any] = {
    "stage": "toy.write", "version": 1, "key": "0" * 64, "build": "1" * 32, "config": {"numbers": {"count": 4}},
    "inputs": {"toy.first": {"key": "2" * 64, "build": "3" * 32}}, "outside": {"file": "4" * 64},
    "counts": {"numbers": 4}, "files": {"a/1.txt": {"size": 1, "sha256": "5" * 64, "mtime_ns": 6}},
    "started": "2026-01-01T00:00:00", "seconds": 1, "peak_memory_bytes": 7, "git_commit": "",
    "packages": {"numpy": "2"}, "warnings": [],
}  # fmt: skip


def changed(**values) -> str:
    return json.dumps({**GOOD, **values})


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (changed(inputs=[]), r"inputs: input should be an object"),
        (changed(inputs={"a": {"key": "x"}}), r"inputs\.a\.build is missing"),
        (changed(peak_memory_bytes=None), r"peak_memory_bytes: input should be a valid integer"),
        (changed(version="1"), r"version: input should be a valid integer"),
        (changed(seconds=float("nan")), r"seconds: input should be a finite number"),
        (changed(warnngs=[]), r"warnngs is not known"),
        (changed(files={"../../x": GOOD["files"]["a/1.txt"]}), r"should be the name of a file inside the folder"),
        (changed(files={"/etc/x": GOOD["files"]["a/1.txt"]}), r"should be the name of a file inside the folder"),
        ("[" * 100_000, r"not readable as JSON"),
        ("", r"not readable as JSON"),
    ],
)
def test_the_key_at_fault_is_named(tmp_path, text, line):
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(XlmrError, match=rf"{MANIFEST}: .*{line}.*; run the stage again") as caught:
        read_manifest(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_whole_manifest_comes_back_as_it_was_written(tmp_path):
    (tmp_path / MANIFEST).write_text(json.dumps(GOOD))
    found = read_manifest(tmp_path)
    found.write(tmp_path / "again")
    assert json.loads((tmp_path / "again" / MANIFEST).read_text()) == GOOD


@pytest.mark.parametrize("damage", ["{", "[]", '{"files": 3}', "\x00"])
def test_a_damaged_manifest_is_not_there_and_is_reported(toy, damage):
    toy.run()
    toy.run("--run.project", "other")
    path = toy.output("toy.sum") / MANIFEST
    path.write_text(damage)

    plan = toy.plan()
    assert plan["toy.write"] == "fresh"
    assert plan["toy.sum"].startswith(f"missing because damaged: {path}: ")
    assert plan["toy.power"] == "stale because toy.sum runs again"
    lines = list(describe_runs(toy.folder / "runs"))
    assert sum("toy.sum" in line for line in lines[:-1]) == 1, "that of the other project"
    assert lines[-1].startswith(f"damaged: {path}: ")

    toy.run()
    assert toy.ran() == ["toy.sum", "toy.power"]
    assert set(toy.plan().values()) == {"fresh"}


def test_a_damaged_manifest_of_other_settings_says_nothing(toy):
    toy.run("--toy.power.exponent", "3")
    (toy.output("toy.power", "--toy.power.exponent", "3") / MANIFEST).write_text("{")
    assert toy.plan()["toy.power"] == "missing"


def test_damaged_notes_of_the_run_are_not_there(toy):
    toy.run()
    for path in (toy.folder / "runs/t/.checksums.json", toy.output("toy.write") / ".made_from.json"):
        path.write_text("[[")
    (toy.output("toy.sum") / MANIFEST).unlink()
    (toy.output("toy.sum") / ".made_from.json").write_text("[[")
    toy.run()
    assert toy.ran() == ["toy.sum", "toy.power"]


@given(seed=st.integers(0, 2**32))
@settings(max_examples=300)
def test_no_damage_of_a_manifest_is_a_traceback(tmp_path_factory, seed):
    folder = tmp_path_factory.getbasetemp() / "run/stage/key"
    folder.mkdir(exist_ok=True, parents=True)
    (folder / MANIFEST).write_bytes(damage_json(json.dumps(GOOD).encode(), seed))
    with suppress(XlmrError):
        assert isinstance(read_manifest(folder), Manifest)
    with suppress(XlmrError):
        list(describe_runs(folder.parents[1]))


@given(seed=st.integers(0, 2**32))
@settings(max_examples=100)
def test_a_damaged_mark_is_none(tmp_path_factory, seed):
    mark = {"report": {"counts": {"n": 1}, "warnings": []}, "files": GOOD["files"], "identity": None, "seconds": 1.5}
    path: Path = tmp_path_factory.getbasetemp() / MARKS
    path.write_bytes(damage_json(json.dumps(mark).encode(), seed))
    found = ShardMark.read(path)
    assert found is None or not any(".." in name for name in found.files)
