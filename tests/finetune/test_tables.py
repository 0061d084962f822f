"""The papers' tables: published rows as they are printed, ours beside them, in three formats that say the same."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from finetune.table_results import read_results, results_of
from finetune.tables import PUBLISHED, TASKS, as_csv, as_html, as_markdown, make_table, table
from pipeline.errors import UsageError, XlmrError


def result(
    task: str, kind: str, scores: dict[str, list[dict[str, float]]], trained_on: tuple[str, ...] = ("en",)
) -> Any:
    """``scores``: language -> of each seed."""
    runs = [
        {
            "name": f"pretrained-seed{seed}",
            "initialisation": "pretrained",
            "learning_rate": 1e-5,
            "seed": seed,
            "dev_score": 0.5,
            "dev_loss": 1.0,
            "test": {language: values[seed] for language, values in scores.items()},
        }
        for seed in range(len(next(iter(scores.values()))))
    ]
    trivial = {language: dict.fromkeys(values[0], 0.25) for language, values in scores.items()}
    return {
        "task": task,
        "kind": kind,
        "trained_on": list(trained_on),
        "chosen_on": list(trained_on),
        "runs": runs,
        "baselines": {"trivial": trivial},
    }


def f1(*values: float) -> list[dict[str, float]]:
    return [{"f1": value, "exact_match": value / 2, "accuracy": value, "pearson": value} for value in values]


@pytest.mark.parametrize("name", TASKS)
def test_published_rows_are_whole(name: str) -> None:
    published = json.loads((PUBLISHED / f"{name}.json").read_text())
    for part in published["tables"]:
        assert "arXiv" in part["source"]
        assert "Table" in part["source"]
        for row in part["rows"]:
            assert len(row["scores"]) == len(part["columns"])
            assert not any(sign in json.dumps(row) for sign in ("<b>", "<sup>", "**", "†"))
    made = make_table(name, [])
    assert len(made.rows) == sum(len(part["rows"]) for part in published["tables"])
    assert made.columns[-1] == "Avg"


def test_rows_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table("ner", output=tmp_path, as_json=True)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    made = make_table("ner", [])
    assert [row["scores"] for row in rows] == [dict(row.scores) for row in made.rows]
    assert {path.name for path in tmp_path.iterdir()} == {"ner.md", "ner.csv", "ner.html"}


@pytest.mark.parametrize("name", ["xnli", "ner", "mlqa", "xquad", "multilingual"])
def test_published_averages_are_the_means_of_their_languages(name: str) -> None:
    """A slip in copying would show; the slips of the papers themselves are named in the notes."""
    unfit = []
    for part in json.loads((PUBLISHED / f"{name}.json").read_text())["tables"]:
        for row in part["rows"]:
            if None in row["scores"]:
                continue
            for half in range(len(str(row["scores"][0]).split("/"))):
                *values, average = (float(str(value).split("/")[half]) for value in row["scores"])
                if abs(sum(values) / len(values) - average) > 0.11:
                    unfit.append((row["model"], average))
                    assert "note" in part
    expected = {"xnli": [("Lample and Conneau (2019)", 71.3), ("Lample and Conneau (2019)", 70.7), ("mT5-XXL", 84.5)]}
    assert unfit == expected.get(name, [])


def test_some_published_numbers() -> None:
    rows = {(row.source, row.setting[:9], row.model, row.details): row.scores for row in make_table("xnli", []).rows}
    assert rows["XLM-R, Table 1", "Fine-tune", "XLM-R", "D CC, #M 1, #lg 100"]["sw"] in {"73.9", "78.0"}
    ner = [row for row in make_table("ner", []).rows if row.model == "XLM-R"]
    assert [row.scores["Avg"] for row in ner] == ["90.24", "80.94", "89.43"]
    assert [row.details for row in ner] == ["train each, #M N", "train en, #M 1", "train all, #M 1"]


def test_ours_stand_beside_them() -> None:
    made = make_table("xquad", [result("xquad", "span", {"zh": f1(0.4, 0.6), "en": f1(0.8, 0.8), "xx": f1(0.2, 0.2)})])
    pretrained, trivial = [row for row in made.rows if row.source == "ours"]
    assert pretrained.scores["zh"] == "50.0 ± 14.1 / 25.0 ± 7.1"
    assert pretrained.scores["en"] == "80.0 ± 0.0 / 40.0 ± 0.0"
    assert pretrained.scores["Avg"] == "50.0 ± 4.7 / 25.0 ± 2.4"
    assert trivial.scores["en"] == "25.0 / 25.0"
    assert made.columns[-2:] == ["xx", "Avg"], "a language that the papers do not have stands before the average"
    assert pretrained.details == "train en, chosen on en, 2 seeds"


def test_one_model_a_language_is_a_row_of_its_own() -> None:
    spanish = result("conll", "tagging", {"es": f1(0.8), "nl": f1(0.1)}, ("es",))
    dutch = result("conll", "tagging", {"es": f1(0.2), "nl": f1(0.6)}, ("nl",))
    (each,) = [row for row in make_table("ner", [spanish, dutch]).rows if row.setting == "one model a language"]
    assert each.scores == {"nl": "60.0", "es": "80.0", "Avg": "70.0"}
    assert not [row for row in make_table("ner", [spanish]).rows if row.setting == "one model a language"]


def test_glue_is_one_row_of_many_tasks() -> None:
    mnli = result("mnli", "classification", {"en": f1(0.8), "en-mismatched": f1(0.7)})
    rows = [
        row
        for row in make_table("glue", [mnli, result("stsb", "regression", {"en": f1(0.9)})]).rows
        if row.source == "ours"
    ]
    assert rows[0].scores == {"MNLI-m/mm": "80.0 / 70.0", "STS-B": "90.0", "Avg": ""}
    assert rows[0].details == "2 of 6 tasks, 1 seed"


def test_formats_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out" / "finetune.task" / "12345678").mkdir(parents=True)
    found = result("conll", "tagging", {"es": f1(0.5)}, ("es",)) | {"encoder": "models/a | b <i>"}
    (tmp_path / "out" / "finetune.task" / "12345678" / "results.json").write_text(json.dumps(found))
    table("ner", tmp_path / "out", output=tmp_path / "tables")
    markdown, html = ((tmp_path / "tables" / f"ner.{suffix}").read_text() for suffix in ("md", "html"))
    assert capsys.readouterr().out.strip() == markdown.strip()
    cells = list(csv.reader(io.StringIO((tmp_path / "tables" / "ner.csv").read_text())))
    made = make_table("ner", [read_results(tmp_path / "out")])
    assert cells == list(made.lines())
    assert (as_csv(made), as_markdown(made), as_html(made))[1:] == (markdown, html)
    drawn = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(drawn) == len(cells) + 1
    assert "a \\| b <i>" in markdown
    assert "a | b &lt;i&gt;" in html
    assert html.count("<tr") == len(cells)
    assert html.count('class="ours"') == 2


def test_what_does_not_belong_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError,
        match=r"results of task sst2 \(classification\) do not belong in table ner; leave",
    ):
        make_table("ner", [result("sst2", "classification", {"en": f1(0.5)})])
    with pytest.raises(UsageError, match="there is no table 'x'; tables are xnli"):
        make_table("x", [])
    with pytest.raises(XlmrError, match="holds no results; name an output"):
        read_results(tmp_path)


def write_result(folder: Path, key: str, found: dict[str, Any], started: str = "") -> Path:
    output = folder / "finetune.task" / key
    output.mkdir(parents=True)
    (output / "results.json").write_text(json.dumps(found))
    if started:
        manifest = dict.fromkeys(["stage", "key", "build"], "x") | {"version": 1, "started": started}
        manifest |= {name: {} for name in ("config", "inputs", "outside", "counts", "files")}
        manifest |= {"seconds": 1.0, "peak_memory_bytes": 1}
        (output / "manifest.json").write_text(json.dumps(manifest))
    return output


def test_a_row_says_what_it_is_of(tmp_path: Path) -> None:
    found = result("xnli", "classification", {"en": f1(0.5, 0.5), "sw": f1(0.5, 0.5)})
    found |= {"encoder": "runs/demo/pretrain.export/0123abcd", "chosen_by": "language", "translated_test": True}
    output = write_result(tmp_path, "12345678", found, "2026-11-25T10:00:00+00:00")
    row, trivial = [row for row in make_table("xnli", [read_results(tmp_path)]).rows if row.source == "ours"]
    assert (row.setting, row.model) == ("translate-test", "pretrained")
    rest = "train en, chosen on each language's own dev, tests translated to English, 2 seeds, 2026-11-25, 12345678"
    assert row.details == f"demo/pretrain.export/0123abcd, {rest}"
    assert trivial.details == rest, "what needs no model is of no encoder"
    assert results_of([tmp_path, output, tmp_path]) == [read_results(output)], "a result counts once"


@pytest.mark.parametrize(
    ("task", "trained_on", "tested", "name"),
    [
        ("xnli", ("en",), ("en", "sw"), "cross-lingual transfer"),
        ("xnli", ("sw",), ("sw",), "translate-train"),
        ("xnli", ("en", "sw"), ("en", "sw"), "translate-train-all"),
        ("conll", ("es",), ("es",), "train es"),
        ("conll", ("es", "nl"), ("es", "nl"), "train all"),
    ],
)
def test_protocols_have_names(task: str, trained_on: tuple[str, ...], tested: tuple[str, ...], name: str) -> None:
    found = result(task, "classification", {language: f1(0.5) for language in tested}, trained_on)
    made = make_table("xnli" if task == "xnli" else "ner", [found])
    assert {row.setting for row in made.rows if row.source == "ours"} == {name}


def test_two_results_that_could_be_meant_are_an_error(tmp_path: Path) -> None:
    found = result("conll", "tagging", {"es": f1(0.5)}, ("es",)) | {"encoder": "models/a"}
    write_result(tmp_path / "run", "11111111", found, "2026-11-24T10:00:00+00:00")
    write_result(tmp_path / "run", "33333333", found)  # without a manifest: no stage
    assert read_results(tmp_path / "run")["date"] == "2026-11-24"
    write_result(tmp_path / "run", "22222222", found, "2026-11-25T10:00:00+00:00")
    with pytest.raises(
        UsageError, match=r"run: 2 results could be meant: 11111111 \(a, train es.*24.*22222222 \(a.*25"
    ):
        read_results(tmp_path / "run")
    both = [read_results(tmp_path / "run" / "finetune.task" / key) for key in ("11111111", "22222222")]
    with pytest.raises(UsageError, match=r"11111111 and .*22222222: both are results of training on es alone"):
        make_table("ner", both)
    glue = result("sst2", "classification", {"en": f1(0.5)}) | {"encoder": "models/a"}
    with pytest.raises(UsageError, match="both are results of task sst2 from the same encoder"):
        make_table("glue", [glue, glue])


def test_encoders_do_not_share_a_row() -> None:
    spanish, dutch = (
        result("conll", "tagging", {language: f1(0.5)}, (language,)) | {"encoder": f"models/{encoder}"}
        for language, encoder in (("es", "a"), ("nl", "b"))
    )
    assert not [row for row in make_table("ner", [spanish, dutch]).rows if row.setting == "one model a language"]
    tasks = [
        result(task, "classification", {"en": f1(0.5)}) | {"encoder": encoder}
        for encoder in ("a", "b")
        for task in ("sst2", "qnli")
    ]
    ours = [row for row in make_table("glue", tasks).rows if row.source == "ours"]
    assert [row.details for row in ours if row.model == "pretrained"] == [
        "a, 2 of 6 tasks, 1 seed",
        "b, 2 of 6 tasks, 1 seed",
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"runs": []}, "results.json: runs: "),
        ({"task": 3}, "results.json: task: "),
        ({"runs": [{"seed": 1}]}, "results.json: runs.0.initialisation is missing"),
        ({"baselines": {"x": {"en": 1}}}, "results.json: baselines.x.en: "),
    ],
)
def test_results_of_another_shape_are_a_line(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    write_result(tmp_path, "11111111", result("conll", "tagging", {"es": f1(0.5)}, ("es",)) | change)
    with pytest.raises(XlmrError, match=said):
        read_results(tmp_path)


def test_scores_that_a_table_needs_are_there(tmp_path: Path) -> None:
    unlike = result("xnli", "classification", {"en": f1(0.5, 0.5), "de": f1(0.5, 0.5)})
    del unlike["runs"][1]["test"]["de"]
    with pytest.raises(XlmrError, match=r"results\.json: runs: were tested on en, de and on en") as caught:
        results_of([write_result(tmp_path, "12345678", unlike)])
    assert "\n" not in str(caught.value)
    for task, name in (("xnli", "xnli"), ("stsb", "glue")):
        with pytest.raises(XlmrError, match=r"results\.json has no (accuracy|pearson) of en; run finetune\.task again"):
            make_table(name, [result(task, "classification", {"en": [{"f1": 0.5}]})])
