"""Two runs or more beside each other: settings that differ, numbers, and cells of what is stale, missing or damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.cli import build_app
from pipeline.errors import UsageError
from pipeline.report.comparison import RunComparison, compare, run_in_folder, run_of_config, runs_named
from pipeline.report.comparison_page import LONGEST_VALUE, lines_of, setting_words, write_comparison


def _of_words(toy, *runs: tuple[str, ...]) -> RunComparison:
    found = [run_of_config(toy.dag, f"run {n}", toy.config(*words)) for n, words in enumerate(runs)]
    return compare(toy.dag, found)


def test_only_live_settings_that_differ_stand_in_the_table(toy) -> None:
    one = ("--toy.numbers.factor", "3", "--toy.numbers.seconds", "0.1", "--run.workers", "1")
    comparison = _of_words(toy, (), one)
    assert comparison.differing_settings() == {"toy.numbers.factor": [1, 3]}


def test_measures_stand_in_the_order_of_stages_with_a_number_a_run(toy, tmp_path: Path) -> None:
    words = ("--toy.numbers.factor", "3")
    toy.run()
    toy.run(*words)
    comparison = _of_words(toy, (), words)
    values = {name: [one.value for one in found] for name, found in comparison.measures().items()}
    assert values == {"toy.sum.sum": [6, 18], "toy.power.power": [36, 324]}
    assert list(lines_of(comparison))[-1].split() == ["toy.power.power", "36", "±", "0.5", "324", "±", "0.5"]
    write_comparison(comparison, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "toy.numbers.factor" in page
    assert "<svg" in page, "the curves"
    assert page.index("Sum of the numbers, by language") < page.index("Time of each stage")


def test_a_run_that_is_missing_or_stale_says_so_in_its_cell(toy, tmp_path: Path) -> None:
    toy.run(until="toy.sum")
    (toy.output("toy.write") / "numbers" / "2.txt").write_text("7")
    comparison = _of_words(toy, (), ("--toy.numbers.factor", "5"))
    assert [comparison.gap(0, stage) for stage in ("toy.write", "toy.sum", "toy.power")] == [
        "stale",
        "stale",
        "missing",
    ]
    assert comparison.gap(1, "toy.sum") == "stale", "its folder holds other settings' output"
    line = next(line for line in lines_of(comparison) if line.startswith("toy.sum.sum"))
    assert line.split() == ["toy.sum.sum", "6", "(stale)", "stale"]
    write_comparison(comparison, tmp_path / "page.html")
    assert "toy.write runs again" in (tmp_path / "page.html").read_text()


def test_measures_that_cannot_be_read_do_not_stop_the_others(toy, tmp_path: Path) -> None:
    toy.run()
    toy.run("--toy.numbers.factor", "3")
    (toy.output("toy.sum") / "sum.txt").write_text("x")
    comparison = _of_words(toy, (), ("--toy.numbers.factor", "3"))
    assert comparison.gap(0, "toy.sum") == "cannot be read"
    assert comparison.measures()["toy.sum.sum"][1].value == 18
    write_comparison(comparison, tmp_path / "page.html")
    assert "Not readable: run 0: ValueError" in (tmp_path / "page.html").read_text()


def test_a_folder_is_its_newest_outputs_that_fit_each_other(toy) -> None:
    words = ("--toy.numbers.factor", "3")
    toy.run(*words)
    toy.run(until="toy.write")  # newer, but toy.power is not made from it
    project = toy.folder / "runs" / "t"
    found = run_in_folder(toy.dag, "folder", project)
    assert found.outputs["toy.write"] == toy.output("toy.write", *words)
    assert found.settings["toy.numbers.factor"] == 3
    assert found.settings["toy.power.exponent"] == 2
    only = run_in_folder(toy.dag, "output", toy.output("toy.sum", *words))
    assert set(only.outputs) == {"toy.write", "toy.sum"}
    whole = run_of_config(toy.dag, "whole", toy.config("--toy.power.exponent", "5"))
    differing = compare(toy.dag, [only, whole]).differing_settings()
    assert differing == {"toy.numbers.factor": [3, 1]}, "the output has no stage that reads the exponent"
    with pytest.raises(UsageError, match="no stage has run there"):
        run_in_folder(toy.dag, "empty", toy.folder)


def test_runs_have_names_of_their_own(toy, tmp_path: Path) -> None:
    toy.run()
    other = tmp_path / "other"
    other.mkdir()
    (other / "toy.yaml").write_text(toy.yaml.read_text())
    project = tmp_path / "runs" / "t"
    names = [run.name for run in runs_named(toy.dag, [toy.yaml, other / "toy.yaml", project, project])]
    assert names == [f"{tmp_path.name}/toy", "other/toy", "runs/t (3)", "runs/t (4)"]


def test_values_of_settings_fit_a_cell() -> None:
    assert setting_words(None) is None
    assert setting_words([]) == setting_words("") == "empty"
    assert setting_words(["de", "en"]) == "de, en"
    long = setting_words([f"l{n:03}" for n in range(100)])
    assert long is not None
    assert long.startswith("100: l000, l001")
    assert len(long) < LONGEST_VALUE + 10


def _xlmr(toy, *words: str) -> None:
    build_app(toy.dag)(list(words), exit_on_error=False, print_error=False)


def test_the_command_compares_and_settings_hold_for_every_file(toy, capsys: pytest.CaptureFixture[str]) -> None:
    toy.run()
    toy.run("--toy.power.exponent", "3")
    second = toy.folder / "second.yaml"
    second.write_text(toy.yaml.read_text() + "toy: {power: {exponent: 3}}\n")
    page = toy.folder / "page.html"
    _xlmr(toy, "report", str(toy.yaml), str(second), "--toy.numbers.seconds", "0.1", "--output", str(page))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["toy", "second"]
    assert lines[1].split() == ["toy.power.exponent", "2", "3"]
    assert lines[-1] == str(page)
    assert page.exists()
    _xlmr(toy, "report", str(toy.yaml), str(second), "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["settings"] == {"toy.power.exponent": [2, 3]}
    assert found["measures"]["toy.power.power"]["values"] == [36, 216]
    assert found["measures"]["toy.sum.sum"]["by_language"][0]["3"] == 3
    with pytest.raises(UsageError, match="--json belongs to a comparison"):
        _xlmr(toy, "report", str(toy.yaml), "--json")
