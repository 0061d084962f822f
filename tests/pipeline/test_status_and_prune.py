"""``xlmr status`` and ``xlmr prune``: which outputs there are, and the removal of those that nothing leads to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.cli import main
from pipeline.manifest import Manifest
from pipeline.status import summary_of


def test_status_lists_what_ran(toy, capsys):
    toy.run()
    assert main(["status", str(toy.folder / "runs")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-3].split("/")[-2] if "toy" in line else "" for line in lines]
    assert len(lines) == 3
    assert "sum 6" in "\n".join(lines)


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({"documents": 1200, "kept": {"lines": 2}, "name": "x"}, "documents 1,200"),
        ({"kept": {"documents": 856, "de": {"lines": 3}}, "read": {"lines": 9}}, "kept.documents 856 · read.lines 9"),
        ({}, ""),
    ],
)  # fmt: skip
def test_the_summary_of_an_output_is_its_plain_counts_or_those_below(counts, text):
    manifest = Manifest("corpus.mine", 1, "k", "b", {}, {}, {}, counts, {}, "", 1.0, 1)
    assert summary_of(manifest) == text


def json_lines(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    assert main([*words, "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_tables_as_json(toy, capsys, monkeypatch):
    toy.run()
    runs = toy.folder / "runs"
    by_stage = {record["stage"]: record for record in json_lines(capsys, "status", str(runs))}
    power, summed = by_stage["toy.power"], by_stage["toy.sum"]
    assert power["inputs"]["toy.sum"] == {"key": summed["key"], "build": summed["build"]}
    assert (summed["files"], summed["bytes"]) == (1, len((toy.output("toy.sum") / "sum.txt").read_bytes()))
    assert summed["counts"]["sum"] == 6
    assert summed["output"] == str(toy.output("toy.sum"))
    (toy.output("toy.sum") / "manifest.json").write_text("{")
    damaged = json_lines(capsys, "status", str(runs))[-1]
    assert damaged["output"] == str(toy.output("toy.sum"))
    assert "manifest.json" in damaged["damaged"]

    plan = json_lines(capsys, "plan", "configs/demo.yaml", "--run.directory", str(runs))
    assert [record["state"] for record in plan][:2] == ["missing", "missing"]
    inputs = next(record["inputs"] for record in plan if record["stage"] == "corpus.regroup")
    keys = {record["stage"]: record["key"] for record in plan}
    assert inputs == {name: keys[name] for name in inputs}
    (setting,) = json_lines(capsys, "settings", "run.workers")
    assert (setting["name"], setting["counts"]) == ("run.workers", False)
    assert {"name", "state", "detail", "fix"} == set(json_lines(capsys, "doctor")[0])


def test_prune_as_json(toy, capsys, monkeypatch):
    toy.run()
    toy.run("--toy.power.exponent", "3")
    monkeypatch.setattr("pipeline.cli.Dag.default", lambda: toy.dag)
    config = str(toy.yaml)
    (record,) = json_lines(capsys, "prune", config, "--dry-run")
    assert (record["action"], record["path"]) == (
        "would remove",
        str(toy.output("toy.power", "--toy.power.exponent", "3")),
    )
    (record,) = json_lines(capsys, "prune", config)
    assert record["action"] == "removed"
    assert json_lines(capsys, "prune", config) == []


def test_prune_leaves_alone_what_lacks_its_files(capsys, tmp_path, monkeypatch):
    """The key that the configuration leads to is not known there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page.warc.wet").write_text("")
    (tmp_path / "my.yaml").write_text("corpus: {fetch: {crawl: page.warc.wet}}")
    old, unknown = (tmp_path / "runs" / "demo" / stage / "0123abcd" for stage in ("corpus.fetch", "corpus.mine"))
    old.mkdir(parents=True)
    unknown.mkdir(parents=True)
    assert main(["prune", "my.yaml"]) == 0
    assert capsys.readouterr().err == ""
    assert not old.exists()
    assert unknown.exists()
