"""Stage finetune.task on each kind of task, small enough to be learnt in seconds: files in, scores and a model out."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune import task_stage
from finetune.data.settings import OwnTask, TaskSettings
from finetune.predict_tool import predictions_of
from finetune.report import sections
from finetune.stages import Protocol, Recipe, TaskConfig
from finetune.table_results import read_results
from finetune.tables import make_table
from pipeline.context import Context
from pipeline.errors import UsageError, XlmrError

NAMES = ["Table", "Sheet", "Drawing"]
OTHERS = ["in", "the", "of", "and", "with", "for"]


def sentences(count: int, start: int) -> list[tuple[list[str], list[str]]]:
    found = []
    for n in range(start, start + count):
        words = [OTHERS[n % 5], OTHERS[n // 3 % 6], NAMES[n % 3], OTHERS[n % 4]]
        found.append((words, ["O", "O", "B-PER" if n % 3 == 0 else "B-LOC", "O"]))
    return found


def write_task(kind: str, folder: Path) -> OwnTask:
    def path(split: str) -> Path:
        return folder / f"{split}.en.txt"

    for split, count, start in (("train", 90, 0), ("dev", 12, 1), ("test", 12, 2)):
        made = sentences(count, start)
        if kind == "tagging":
            rows = ["\n".join(f"{w} {t}" for w, t in zip(*one, strict=True)) for one in made]
            path(split).write_text("\n\n".join(rows) + "\n")
        elif kind == "span":
            asked = [
                {
                    "context": " ".join(words),
                    "qas": [
                        {
                            "id": f"{split}{n}",
                            "question": "Which?",
                            "answers": [{"text": words[2], "answer_start": len(" ".join(words[:2])) + 1}],
                        }
                    ],
                }
                for n, (words, _) in enumerate(made)
            ]
            path(split).write_text(json.dumps({"version": "1.1", "data": [{"title": "t", "paragraphs": asked}]}))
        else:
            label = {"classification": ["calc", "writer"], "regression": ["0.5", "4.5"]}[kind]
            rows = [f"{' '.join(words[:2])}\t{words[2]}\t{label[words[2] == 'Table']}" for words, _ in made]
            path(split).write_text("text\tpair\tlabel\n" + "\n".join(rows) + "\n")
    formats = {"tagging": "conll", "span": "squad"}
    return OwnTask(
        kind=kind,  # type: ignore[arg-type]
        format=formats.get(kind, "tsv"),  # type: ignore[arg-type]
        pair_column="" if kind in formats else "pair",
        **{split: str(folder / f"{split}.{{language}}.txt") for split in ("train", "dev", "test")},
    )


KINDS = ["classification", "regression", "tagging", "span"]


def asked_again(line: dict[str, Any], model: Path) -> Any:
    """What the tool says of the example that a line of predictions is about."""
    if "words" in line:
        return predictions_of([" ".join(line["words"])], model)[0][0]["predicted"]
    if "question" in line:
        return predictions_of([line["question"]], model, context=line["context"])[0][0]["predicted"]
    return predictions_of([line["text"]], model, pair=line["pair"])[0][0]["predicted"]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_learnt_and_reported(
    kind: str, export: Path, tmp_path: Path, context_of: Callable[..., Context]
) -> None:
    (tmp_path / "files").mkdir()
    config = TaskConfig(
        task=TaskSettings(name="own", own=write_task(kind, tmp_path / "files")),
        recipe=Recipe(
            longest=32, longest_question=8, stride=8, batch=6, epochs=25, learning_rates=(2e-3,), dtype="fp32"
        ),
        protocol=Protocol(seeds=(1,), initialisations=("pretrained",)),
    )
    output = tmp_path / "out"
    counts = task_stage.run(config, {"pretrain.export": export}, output, context_of(output))
    results = json.loads((output / "results.json").read_text())
    scores = results["runs"][0]["test"]["en"]
    assert scores[results["metric"]] > 0.95
    assert counts[f"{results['metric']}_pretrained"] == pytest.approx(scores[results["metric"]], abs=1e-4)
    for name, found in results["baselines"].items():
        if name not in {"fasttext", "word list"}:
            assert found["en"][results["metric"]] < 0.8, name

    with gzip.open(output / "predictions.jsonl.gz", "rt") as handle:
        lines = [json.loads(line) for line in handle]
    assert len(lines) == 12
    assert all({"run", "language", "id", "gold", "predicted"} <= line.keys() for line in lines)
    assert all({"text", "words", "question"} & line.keys() for line in lines), "a number is traced to its examples"

    for line in lines[:4]:
        again = asked_again(line, output / "model")
        assert again == (pytest.approx(line["predicted"], abs=1e-3) if kind == "regression" else line["predicted"])
    (section,) = sections({"finetune.task": output})
    assert f"Kind of task: {kind}" in section.lead
    with pytest.raises(UsageError, match=f"results of task own \\({kind}\\) do not belong in table ner"):
        make_table("ner", [read_results(output)])
    renamed = {**read_results(output), "task": "conll", "kind": "tagging"}
    if kind == "tagging":
        row = next(row for row in make_table("ner", [renamed]).rows if row.source == "ours")
        assert row.details.startswith(f"{export.name}, train en, chosen on en, 1 seed, 20")
    assert not (output / "checkpoints").exists()


def test_questions_without_an_answer_are_learnt_and_scored(
    export: Path, tmp_path: Path, context_of: Callable[..., Context]
) -> None:
    """Half of the questions have no answer (the question says so): the model learns when to say nothing."""
    own = write_task("span", tmp_path)
    for split in ("train", "dev", "test"):
        path = tmp_path / f"{split}.en.txt"
        content = json.loads(path.read_text())
        for paragraph in content["data"][0]["paragraphs"][::2]:
            paragraph["qas"][0] |= {"question": "draw it", "answers": [], "is_impossible": True}
        path.write_text(json.dumps(content))
    recipe = Recipe(longest=32, longest_question=8, stride=8, batch=6, epochs=25, learning_rates=(2e-3,), dtype="fp32")
    protocol = Protocol(seeds=(1,), initialisations=("pretrained",))
    config = TaskConfig(task=TaskSettings(name="own", own=own), recipe=recipe, protocol=protocol)
    output = tmp_path / "out"
    task_stage.run(config, {"pretrain.export": export}, output, context_of(output))
    scores = json.loads((output / "results.json").read_text())["runs"][0]["test"]["en"]
    assert scores["f1"] > 0.9
    assert scores["no_answer_f1"] == scores["no_answer_exact_match"] > 0.8
    assert scores["has_answer_f1"] > 0.8
    assert scores["best_f1"] >= scores["f1"]
    with gzip.open(output / "predictions.jsonl.gz", "rt") as handle:
        lines = [json.loads(line) for line in handle]
    for line in lines[:4]:
        assert asked_again(line, output / "model") == line["predicted"]
        assert (line["predicted"] == "") == (line["no_answer"] > 0)
    (section,) = sections({"finetune.task": output})
    assert "no_answer_f1" in str(section.body)
    assert "threshold" not in str(section.body)


def test_no_task_is_nothing_to_do(export: Path, tmp_path: Path, context_of: Callable[..., Context]) -> None:
    config = TaskConfig(task=TaskSettings(), recipe=Recipe(), protocol=Protocol())
    assert task_stage.run(config, {"pretrain.export": export}, tmp_path / "out", context_of(tmp_path / "out")) == {}
    assert sections({"finetune.task": tmp_path / "out"}) == []


def test_windows_without_space_are_one_line(export: Path, tmp_path: Path, context_of: Callable[..., Context]) -> None:
    (tmp_path / "files").mkdir()
    task = TaskSettings(name="own", own=write_task("span", tmp_path / "files"))
    config = TaskConfig(task=task, recipe=Recipe(longest=64), protocol=Protocol(seeds=(1,)))
    with pytest.raises(XlmrError, match="windows of 64 tokens leave no space beside questions of 64"):
        task_stage.run(config, {"pretrain.export": export}, tmp_path / "out", context_of(tmp_path / "out"))
