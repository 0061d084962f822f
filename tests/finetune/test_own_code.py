"""What a user adds to a task: a reader and a metric; from outside the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from finetune.choices import METRICS, READERS
from finetune.data.examples import Classification, Question, Tagging
from finetune.data.reading import read_task
from finetune.data.settings import OwnTask, TaskSettings
from finetune.heads.kind import Kind
from finetune.heads.kinds import KINDS
from finetune.stages import Recipe
from finetune.training.checks import check_metric
from pipeline.errors import UsageError, XlmrError

EXAMPLES = Path(__file__).parent / "examples"
PAGE = Path(__file__).parents[2] / "docs" / "extend.md"
SETTINGS = """
run: {project: mine, workers: 1}
finetune:
  encoder: {folder: ENCODER}
  task:
    name: own
    metric: my_metric:balanced_accuracy
    own: {format: my_reader:read, train: train.txt, dev: train.txt, test: train.txt}
  recipe: {longest: 16, batch: 4, epochs: 1, dtype: fp32}
  protocol: {seeds: [1], initialisations: [pretrained]}
"""
TEXTS = "calc: a cell\ncalc: a row\ncalc: the cells\nwriter: a page\n"


def xlmr(folder: Path, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    command = [sys.executable, "-m", "pipeline", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_examples_run_and_their_sources_count(export: Path, tmp_path: Path) -> None:
    for path in EXAMPLES.glob("*.py"):
        shutil.copy(path, tmp_path)
    (tmp_path / "run.yaml").write_text(SETTINGS.replace("ENCODER", str(export)))
    (tmp_path / "train.txt").write_text(TEXTS)
    xlmr(tmp_path, "run", "run.yaml", "--only", "finetune.task")
    (output,) = (tmp_path / "runs/mine/finetune.task").iterdir()
    results = json.loads((output / "results.json").read_text())
    assert results["metric"] == "balanced_accuracy"
    assert results["labels"] == ["calc", "writer"]
    assert results["baselines"]["majority"]["en"]["balanced_accuracy"] == 0.5
    assert results["baselines"]["majority"]["en"]["accuracy"] == 0.75
    (run,) = results["runs"]
    assert run["dev_score"] == run["test"]["en"]["balanced_accuracy"]
    for name in ("my_reader", "my_metric"):
        path = tmp_path / f"{name}.py"
        before = path.read_text()
        path.write_text(f"{before}# another version\n")
        plan = xlmr(tmp_path, "plan", "run.yaml", "--run.until", "finetune.task").splitlines()
        assert plan[-1].startswith("finetune.task ")
        assert plan[-1].endswith(f"{name}.py was changed")
        path.write_text(before)


@pytest.mark.parametrize("path", EXAMPLES.glob("*.py"), ids=lambda path: path.stem)
def test_the_page_shows_the_examples(path: Path) -> None:
    assert path.read_text(encoding="utf-8") in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [*READERS.names, *METRICS.names])
def test_every_name_leads_to_code(name: str) -> None:
    registry = READERS if name in READERS.names else METRICS
    assert callable(registry.load(name))


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Writes a module ``of_mine`` with a function ``f`` of the given body; returns its import string."""

    def write(body: str) -> str:
        (tmp_path / "of_mine.py").write_text(f"def f(*given):\n    {body}\n")
        sys.modules.pop("of_mine", None)
        return "of_mine:f"

    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield write
    sys.modules.pop("of_mine", None)


def settings(folder: Path, reader: str, **described: Any) -> TaskSettings:
    (folder / "all.txt").write_text("")
    files = dict.fromkeys(("train", "dev", "test"), str(folder / "all.txt"))
    return TaskSettings(name="own", own=OwnTask(format=reader, **files, **described))


def test_a_reader_of_texts_has_the_columns_of_the_settings(mine: Any, tmp_path: Path) -> None:
    reader = mine("return [{'name': n, 'said': f'text {n}', 'label': 'ab'[n % 2]} for n in range(1, 7)]")
    task = read_task(settings(tmp_path, reader, text_column="said", id_column="name", test_rows="4:"))
    assert task.labels == ("a", "b")
    assert task.test["en"] == [Classification("5", "text 5", None, "b"), Classification("6", "text 6", None, "a")]
    assert str(task.test["en"][0].location) == f"{tmp_path / 'all.txt'}, example 5"


def test_a_reader_of_tagged_words(mine: Any, tmp_path: Path) -> None:
    reader = mine("return [{'words': ['in', 'Bonn'], 'tags': ['O', 'I-LOC']}]")
    task = read_task(settings(tmp_path, reader, kind="tagging"))
    assert task.labels == ("O", "B-LOC", "I-LOC")
    assert task.train["en"] == [Tagging("1", ("in", "Bonn"), ("O", "B-LOC"))]


def test_a_reader_of_questions(mine: Any, tmp_path: Path) -> None:
    answer = "{'text': 'Bonn', 'answer_start': 3}"
    none = "{'question': 'When?', 'context': 'in Bonn', 'is_impossible': True}"
    lost = "{'question': 'Who?', 'context': 'in Bonn', 'answers': [{'text': 'Köln', 'answer_start': 3}]}"
    reader = mine(f"return [{{'question': 'Where?', 'context': 'in Bonn', 'answers': [{answer}]}}, {none}, {lost}]")
    task = read_task(settings(tmp_path, reader, kind="span"))
    assert task.test["en"] == [
        Question("1", "Where?", "in Bonn", (("Bonn", 3),), ""),
        Question("2", "When?", "in Bonn", (), ""),
    ]
    assert any("left out" in line for line in task.notes)


@pytest.mark.parametrize(
    ("kind", "body", "line"),
    [
        ("classification", "return [1]", r"all.txt, example 1: of_mine:f returns int for an example"),
        ("classification", "return []", r"all.txt: of_mine:f returns no example"),
        ("classification", "yield {}['x']", r"of_mine:f: KeyError: 'x' \(.*of_mine.py, line 2\)"),
        ("classification", "return [{'text': 'a'}]", r"all.txt, example 1: column 'label' has no text"),
        ("tagging", "return [{'words': ['a'], 'tags': []}]", r"all.txt, example 1: 'tags' is no list of texts"),
        ("tagging", "return [{'words': ['a', 'b'], 'tags': ['O']}]", r"all.txt, example 1: 2 words and 1 tags"),
        ("span", "return [{'question': 'Who?'}]", r"all.txt, question 1: has no text 'context'"),
    ],
)
def test_a_reader_that_does_not_fit_is_one_line(mine: Any, tmp_path: Path, kind: str, body: str, line: str) -> None:
    with pytest.raises(XlmrError, match=line):
        read_task(settings(tmp_path, mine(body), kind=kind))


def test_a_format_that_is_no_name_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"format should be one of tsv, csv, jsonl, conll, squad, or an import string"):
        OwnTask(format="parquet")


def kind_of(metric: str, kind: str = "classification", labels: tuple[str, ...] = ("a", "b"), task: str = "") -> Kind:
    return KINDS[kind](labels, Recipe(), task, metric)


def test_a_metric_is_given_right_answers_and_predictions(mine: Any) -> None:
    kind = kind_of(mine("return sum(a == b for a, b in zip(*given)) / 10"))
    check_metric(kind)
    examples = [Classification(str(n), "x", None, label) for n, label in enumerate("aab")]
    found = kind.score(examples, [{"predicted": "a"}] * 3, "en")
    assert found["f"] == 0.2
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert kind.metric == "f"


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("return float('nan')", "of_mine:f: returns nan; return a number for any predictions"),
        ("return 'much'", "of_mine:f: ValueError"),
        ("return 1 / 0", r"of_mine:f: ZeroDivisionError: division by zero \(.*of_mine.py, line 2\)"),
    ],
)
def test_a_metric_that_fails_is_one_line(mine: Any, body: str, line: str) -> None:
    kind = kind_of(mine(body))
    with pytest.raises(XlmrError, match=line):
        kind.score([Classification("1", "x", None, "a")], [{"predicted": "a"}], "en")


@pytest.mark.parametrize(
    ("kind", "labels", "metric"),
    [
        ("classification", ("a", "b"), "macro_f1"),
        ("regression", (), "spearman"),
        ("tagging", ("O", "B-X", "I-X"), "recall"),
        ("tagging", ("NOUN", "VERB"), "macro_f1"),
        ("span", (), "exact_match"),
    ],
)
def test_each_kind_has_scores_to_choose_by(kind: str, labels: tuple[str, ...], metric: str) -> None:
    chosen = kind_of(metric, kind, labels)
    assert chosen.metric == metric
    assert chosen.metric != kind_of("auto", kind, labels).metric
    with pytest.raises(
        UsageError, match=r"finetune\.task\.metric: this task has no .*; choose .*, or an import string"
    ):
        check_metric(kind_of("pearson" if kind != "regression" else "f1", kind, labels))


def test_f1_can_be_chosen_where_glue_has_it() -> None:
    assert kind_of("f1", task="mrpc").metric == "f1"


def test_a_metric_that_is_not_found_is_reported_before_training() -> None:
    with pytest.raises(UsageError, match="Python finds no module not_there"):
        check_metric(kind_of("not_there:f"))
