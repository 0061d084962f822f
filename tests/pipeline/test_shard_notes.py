"""Notes from inside a shard: shown beside the bar wherever the shard runs, and part of no result."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.shards import ShardReport
from pipeline.shards.notes import note, notes_to


def in_epochs(value: int, workspace: Path) -> ShardReport:
    for epoch in range(3):
        note(f"run {value}, epoch {epoch}")
    (workspace / f"{value}.txt").write_text("done")
    return ShardReport({"documents": 1})


@pytest.mark.parametrize("workers", [1, 2])
def test_a_shard_says_how_far_it_is(tmp_path, map_shards, capsys, monkeypatch, workers):
    monkeypatch.setattr("pipeline.progress.PLAIN_SECONDS", 0.0)
    monkeypatch.setattr("pipeline.shards.notes.SECONDS", 0.0)
    counts = map_shards(in_epochs, {"a": 7, "b": 8}, tmp_path / "out", workers=workers)
    assert counts == {"a": {"documents": 1}, "b": {"documents": 1}}
    lines = capsys.readouterr().err.splitlines()
    said = [line.rpartition(" · ")[2] for line in lines if " of 2 shards" in line]
    assert {"run 7, epoch 0", "run 8, epoch 0"} <= set(said)
    assert re.match(r"  toy\.test: 2 of 2 shards · .* · 2 documents, ", lines[-1])
    assert sorted(path.name for path in (tmp_path / "out").glob("*.txt")) == ["7.txt", "8.txt"]


def test_notes_are_passed_once_a_second_and_dropped_where_nobody_listens(monkeypatch):
    clock = iter([10.0, 10.5, 11.0])
    monkeypatch.setattr("pipeline.shards.notes.time.monotonic", lambda: next(clock))
    heard: list[str] = []
    note("nobody listens")
    with notes_to(heard.append):
        note("first")
        note("too soon")
        note("a second later")
    note("nobody listens any more")
    assert heard == ["first", "a second later"]
