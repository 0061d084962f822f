"""Studies: the grid, what its variants share, resuming, a variant that fails, the figure; over the toy DAG."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.cli import build_app
from pipeline.errors import UsageError, XlmrError
from pipeline.lease import Lease
from pipeline.shards.partitions import stage_lock_path
from pipeline.study.cost import Estimate, TimesTaken
from pipeline.study.grid_run import GridRun
from pipeline.study.points import Panel, Point
from pipeline.study.study_file import read_study
from pipeline.study.variants import identities, variants_of
from pipeline.yaml_text import read_yaml

STUDY = """
title: What the exponent does
of: no paper, Figure 0
size: demo
base: toy.yaml
grid:
  toy.numbers.factor: [1, 2]
  toy.power.exponent: [2, 3, 4]
measured:
  - measure: toy.power.power
    y_scale: log
  - measure: toy.sum.sum
    groups: {small: ['0', '1'], large: ['3']}
figure: {x: toy.power.exponent, x_title: exponent, series: toy.numbers.factor}
published:
  - {source: "A paper, Table 1", title: powers, series: {theirs: {2: 30, 3: 200}}}
says: Powers grow.
does_not_say: Why.
"""


def study_at(toy, text: str = STUDY, name: str = "study.yaml", **changes: Any) -> Path:
    """A study file beside the toy's configuration, with some of its keys replaced; None takes one away."""
    path: Path = toy.folder / name
    values = {**read_yaml(text), **changes}
    path.write_text(yaml.safe_dump({key: value for key, value in values.items() if value is not None}))
    return path


def grid_run(toy, path: Path) -> GridRun:
    study = read_study(path)
    variants = variants_of(toy.dag, study, path)
    return GridRun(toy.dag, variants, study.measured_stages, [{} for _ in variants], toy.said.append)


def xlmr(toy, *words: str) -> None:
    build_app(toy.dag)(list(words), exit_on_error=False, print_error=False)


def test_every_combination_is_a_variant_with_its_own_name(toy) -> None:
    path = study_at(toy, settings={"toy.numbers.count": 3})
    found = variants_of(toy.dag, read_study(path), path, ["--toy.numbers.seconds", "0.5"])
    assert [variant.name for variant in found] == [
        f"factor {factor}, exponent {exponent}" for factor in (1, 2) for exponent in (2, 3, 4)
    ]
    config: Any = found[-1].config
    assert (config.toy.numbers.factor, config.toy.power.exponent, config.toy.numbers.count) == (2, 4, 3)
    assert config.toy.numbers.seconds == 0.5
    assert found[-1].value_of("toy.power.exponent") == 4


def test_named_variants_stand_at_every_point_of_the_grid(toy) -> None:
    named = [{"name": "small"}, {"name": "large", "settings": {"toy.numbers.count": 9}}]
    grid = {"toy.power.exponent, toy.numbers.factor": [1, 2]}
    path = study_at(toy, variants=named, grid=grid, figure={"x": "toy.power.exponent", "series": "variant"})
    found = variants_of(toy.dag, read_study(path), path)
    assert [variant.name for variant in found] == [
        "small, exponent 1", "small, exponent 2", "large, exponent 1", "large, exponent 2",
    ]  # fmt: skip
    config: Any = found[3].config
    assert (config.toy.numbers.count, config.toy.numbers.factor, config.toy.power.exponent) == (9, 2, 2)
    assert found[3].value_of("variant") == "large"


def test_equal_stages_have_one_identity_and_run_once(toy) -> None:
    path = study_at(toy)
    grid = grid_run(toy, path)
    known = [identities(toy.dag, variant.config, ("toy.power",)) for variant in grid.variants]
    assert len({one for own in known for one in own.values()}) == 2 * 2 + 6
    grid.run()
    assert grid.failures == {}
    assert sorted(stage for _, stage in grid.ran) == ["toy.power"] * 6 + ["toy.sum"] * 2 + ["toy.write"] * 2
    project = toy.folder / "runs" / "t"
    assert len(list(project.glob("toy.write/*/manifest.json"))) == 2
    assert any("stage 10 of 10 of the study" in line for line in toy.said)
    again = grid_run(toy, path)
    again.run()
    assert again.ran == []


def test_a_study_that_was_killed_does_what_is_left(toy, in_child) -> None:
    go = toy.folder / "go"
    path = study_at(toy, settings={"toy.numbers.go_file": str(go), "toy.numbers.free": 2})
    code = (
        "import toy_package\nfrom pipeline.cli import build_app\nfrom pipeline.dag import Dag\n"
        f"build_app(Dag([toy_package.PACKAGE]))(['study', {str(path)!r}], exit_on_error=False, print_error=False)\n"
    )
    marks = toy.folder / "runs" / "t" / "toy.write"
    child = subprocess.Popen(in_child(code), stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        for _ in range(600):
            if len(list(marks.glob("*/.shards/*.json"))) >= 2 or child.poll() is not None:
                break
            time.sleep(0.05)
        assert child.poll() is None, "it waits within the first stage"
    finally:
        subprocess.run(["kill", "-9", "--", f"-{child.pid}"], check=False)
        child.wait()
    kept = {mark: mark.stat().st_mtime_ns for mark in marks.glob("*/.shards/*.json")}
    go.touch()
    grid = grid_run(toy, path)
    grid.run()
    assert grid.failures == {}
    assert len(grid.ran) == 10
    assert kept
    assert all(mark.stat().st_mtime_ns == time_ns for mark, time_ns in kept.items()), "finished shards are not redone"


def test_a_stage_that_another_run_makes_is_waited_for(toy) -> None:
    grid = grid_run(toy, study_at(toy, grid={"toy.power.exponent": [2]}))
    output = toy.output("toy.sum")
    toy.run(until="toy.write")
    lease = Lease(stage_lock_path(output)).__enter__()

    def say(line: str) -> None:
        toy.said.append(line)
        if "waiting for it" in line:
            lease.release()

    grid.say = say
    grid.run()
    assert grid.failures == {}
    assert [stage for _, stage in grid.ran] == ["toy.sum", "toy.power"]
    assert sum("toy.sum" in line and "waiting for it" in line for line in toy.said) == 1


def test_a_variant_that_fails_stops_only_those_that_need_the_failed_stage(toy, capsys) -> None:
    path = study_at(toy, grid={"toy.numbers.bad": [None, 2], "toy.power.exponent": [2, 3]})
    with pytest.raises(XlmrError) as failure:
        xlmr(toy, "study", str(path))
    assert failure.value.exit_code == 1
    assert failure.value.problem.startswith("2 of 4 variants failed: bad 2, exponent 2 (toy.write: ")
    assert "bad 2, exponent 3 (it needs toy.write of bad 2, exponent 2, which failed)" in failure.value.problem
    said = capsys.readouterr()
    assert said.err.count("number 2 is bad") == 1, "it is tried once"
    page = Path(said.out.strip())
    assert "Variants that failed" in page.read_text()
    found = json.loads(page.with_suffix(".json").read_text())
    assert [len(points) for points in found["panels"][0]["series"].values()] == [2], "the others are drawn"


def test_a_variant_that_cannot_be_planned_does_not_stop_the_others(toy, capsys) -> None:
    grid = {"toy.numbers.file": [None, "nofs://x"]}
    with pytest.raises(XlmrError, match=r"1 of 2 variants failed: file nofs://x \(toy.numbers.file: nofs://x: "):
        xlmr(toy, "study", str(study_at(toy, grid=grid, figure={"x": "toy.power.exponent"})))
    found = json.loads(Path(capsys.readouterr().out.strip()).with_suffix(".json").read_text())
    assert found["panels"][0]["series"]["all"][0]["y"] == 36
    assert found["runs"][1]["not_fresh"]["toy.power"].startswith("cannot run because ")


def test_the_figure_and_the_table_stand_beside_the_published_numbers(toy, capsys) -> None:
    xlmr(toy, "study", str(study_at(toy)), "--output", str(toy.folder / "out"))
    page = Path(capsys.readouterr().out.strip())
    assert page == toy.folder / "out" / "study.html"
    found = json.loads(page.with_suffix(".json").read_text())
    ours, sums, theirs = found["panels"]
    assert [(p["x"], p["y"]) for p in ours["series"]["1"]] == [(2.0, 36), (3.0, 216), (4.0, 1296)]
    assert ours["series"]["1"][0]["spread"] == 0.5, "that of the measure"
    assert {name: points[0]["y"] for name, points in sums["series"].items()} == {
        "1, small": 0.5, "1, large": 3, "2, small": 1, "2, large": 6,
    }  # fmt: skip
    assert [(p["x"], p["y"]) for p in theirs["series"]["theirs"]] == [(2.0, 30), (3.0, 200)]
    figure = page.with_suffix(".svg").read_text()
    assert figure.count("here:") >= 1
    assert "A paper, Table 1" in figure
    text = page.with_suffix(".md").read_text()
    assert "![What the exponent does](study.svg)" in text
    assert "| exponent | 1 | 2 |" in text
    assert "| exponent | theirs |" in text
    assert "**It does not show.** Why." in text
    written = page.read_text()
    assert "Settings that differ" in written, "the page is a comparison of the runs"
    assert written.count("<svg") >= 3


def test_variants_that_differ_in_a_seed_alone_are_one_point(toy, capsys) -> None:
    grid = {"toy.power.exponent": [2, 3], "toy.numbers.factor": [1, 3]}
    figure = {"x": "toy.power.exponent"}
    xlmr(toy, "study", str(study_at(toy, grid=grid, figure=figure, measured=[{"measure": "toy.sum.sum"}])))
    found = json.loads(Path(capsys.readouterr().out.strip()).with_suffix(".json").read_text())
    first = found["panels"][0]["series"]["all"][0]
    assert (first["y"], first["count"]) == (12, 2)
    assert first["spread"] == pytest.approx(8.485, abs=0.001)


def test_what_stands_on_the_axis_makes_no_series(toy, capsys) -> None:
    named = [{"name": "small"}, {"name": "wide", "settings": {"toy.numbers.factor": 2}}]
    figure = {"kind": "bars", "x": "variant", "series": "variant"}
    measured = [{"measure": "toy.sum.sum"}, {"measure": "toy.sum.sum", "x": "language"}]
    xlmr(toy, "study", str(study_at(toy, grid=None, variants=named, figure=figure, measured=measured)))
    found = json.loads(Path(capsys.readouterr().out.strip()).with_suffix(".json").read_text())
    assert [(p["x"], p["y"]) for p in found["panels"][0]["series"]["all"]] == [("small", 6), ("wide", 12)]
    assert set(found["panels"][1]["series"]) == {"small", "wide"}, "there the axis is of languages"


def test_plan_runs_nothing_and_says_what_is_shared(toy, capsys) -> None:
    path = study_at(toy, settings={"toy.numbers.file": str(toy.folder / "not there")})
    xlmr(toy, "study", str(path), "--plan")
    lines = capsys.readouterr().out.splitlines()
    assert "  runs    toy.write, toy.sum, toy.power" in lines
    assert "  shares  2 stages with factor 1, exponent 2" in lines
    assert lines[-1] == "18 stages in all, 10 of them different: each of these runs once"
    assert not (toy.folder / "runs" / "t" / "toy.write").exists()


def test_plan_says_what_is_there_and_how_long_the_rest_takes(toy, capsys) -> None:
    toy.run()
    xlmr(toy, "study", str(study_at(toy)), "--plan")
    lines = capsys.readouterr().out.splitlines()
    assert "  runs    toy.write (is there), toy.sum (is there), toy.power (is there)" in lines
    assert lines[-1].startswith("left on this machine, by the stages that have run: about ")
    assert "of which none has run" not in lines[-1]


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"base": "nowhere.yaml"}, "base: .*nowhere.yaml is no file"),
    ({"grid": None}, "a study needs a grid or variants"),
    ({"grid": {"toy.power.exponent": []}}, "toy.power.exponent has no values"),
    ({"grid": {"toy.power.exponnent": [1]}}, "variant exponnent 1: .*did you mean exponent"),
    (
        {"grid": {"toy.power.exponent": ["x"]}},
        "variant exponent x: toy.power.exponent: input should be a valid integer",
    ),
    ({"measured": [{"measure": "power"}]}, "a measure is written package.stage.name"),
    ({"measured": [{"measure": "toy.pover.power"}]}, "toy.pover: no such stage"),
    ({"figure": {"x": "toy.power.exponnent"}}, "toy.power.exponnent is not a setting"),
    ({"figure": {"x": "variant"}}, "the figure shows variants by name"),
    ({"figure": {"x": "exponent"}}, "'exponent' is no axis"),
    ({"says": None}, "says: field required"),
    ({"grids": {}}, "did you mean grid"),
    ({"variants": [{"name": "a"}, {"name": "a"}]}, "two variants have the name 'a'"),
]


@pytest.mark.parametrize(("changes", "problem"), FAULTS, ids=[problem for _, problem in FAULTS])
def test_faults_of_a_study_file_are_one_line(toy, changes: dict[str, Any], problem: str) -> None:
    path = study_at(toy, **changes)
    with pytest.raises(UsageError, match=problem) as failure:
        xlmr(toy, "study", str(path), "--plan")
    assert "\n" not in str(failure.value)


def test_expected_times_are_in_proportion_to_the_work() -> None:
    times = TimesTaken()
    assert times.expect("a", None) is None
    times.add("a", 10.0, Estimate(5.0, "", 0.0))
    times.add("a", 20.0, Estimate(10.0, "", 0.0))
    assert times.expect("a", Estimate(100.0, "", 0.0)) == pytest.approx(200.0)
    times.add("b", 3.0, None)
    times.add("b", 5.0, None)
    assert times.expect("b", None) == 4.0


def test_a_panel_as_a_table_has_a_row_for_each_position() -> None:
    series = {"a": [Point(2.0, 1.5, 0.25), Point(1.0, 2.5)], "b": [Point("none", 3.0)]}
    headers, rows = Panel("t", "x", "line", "linear", "linear", series).rows()
    assert headers == ["x", "a", "b"]
    assert rows == [["1", "2.50", "–"], ["2", "1.50 ± 0.25", "–"], ["none", "–", "3.00"]]
