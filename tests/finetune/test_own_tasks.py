"""A task of one's own, the hub, and real files where they are at hand."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetune.data.examples import Classification, Question, Regression, Tagging
from finetune.data.reading import read_task, task_files
from finetune.data.settings import OwnTask, TaskSettings
from pipeline.errors import UsageError
from tests.finetune.task_files import AT_THE_END, CHINESE, problem, squad_json, write

ROOT = Path(__file__).parents[2]
PUBLISHED = Path(os.environ.get("XLMR_TEST_DATA", ROOT / "data"))
"""Where conll2002/ and xquad/ lie, as they are published; they are not ours to give on."""


# One's own


def own_settings(folder: Path, **described: Any) -> TaskSettings:
    patterns = {split: str(folder / f"{split}.{{language}}.tsv") for split in ("train", "dev", "test")}
    return TaskSettings(name="own", own=OwnTask(**(patterns | described)))


def test_own_table_with_columns_of_any_name_and_languages_by_file(tmp_path: Path) -> None:
    rows = 'n\tsaid\tto\tgold\n1\t"Hi\tBye\tgreeting\n2\tWhy?\tSo\tquestion\n'
    write(tmp_path, {f"{split}.{lg}.tsv": rows for split in ("train", "dev", "test") for lg in ("en", "sw", "zh-Hans")})
    settings = own_settings(
        tmp_path, id_column="n", text_column="said", pair_column="to", label_column="gold"
    ).model_copy(update={"train_languages": ("en",)})
    task = read_task(settings)
    assert task.labels == ("greeting", "question")
    assert list(task.train) == ["en"]
    assert list(task.test) == ["en", "sw", "zh-Hans"]
    assert task.test["zh-Hans"][0] == Classification("1", '"Hi', "Bye", "greeting")
    (tmp_path / "test.sw.tsv").write_text(rows + "3\ta\tb\tanswer\n")
    assert "test.sw.tsv, row 4: label 'answer' is not known; labels are greeting, question" in problem(settings)
    said = problem(settings.model_copy(update={"test_languages": ("yo",)}))
    assert "own: language 'yo' has no test data; there is en, sw, zh-Hans" in said


def test_language_may_stand_twice_in_a_name_and_is_a_code(tmp_path: Path) -> None:
    rows = "text\tlabel\na\tx\nb\ty\n"
    names = ["sw/dev.sw.tsv", "sw/dev.en.tsv", "zh-Hans/dev.zh-Hans.tsv", "en/dev.en.old.tsv"]
    write(tmp_path, dict.fromkeys(names, rows))
    pattern = str(tmp_path / "{language}" / "dev.{language}.tsv")
    task = read_task(own_settings(tmp_path, train=pattern, dev=pattern, test=pattern))
    assert list(task.test) == ["sw", "zh-Hans"]


def test_own_csv_with_quotes_and_without_header(tmp_path: Path) -> None:
    write(tmp_path, {"data.csv": 'one,"two, ""three""\nfour"\ntwo,five\none,six\n'}, "utf-8")
    file = str(tmp_path / "data.csv")
    columns = {"format": "csv", "header": False, "text_column": "2", "label_column": "1"}
    settings = own_settings(tmp_path, train=file, dev=file, test=file, train_rows=":2", dev_rows="2:", **columns)
    task = read_task(settings)
    assert [example.id for example in task.test["en"]] == ["1", "3", "4"]
    assert task.train["en"][0] == Classification("1", 'two, "three"\nfour', None, "one")
    assert [example.id for example in task.dev["en"]] == ["4"]
    (tmp_path / "data.csv").write_text('one,"two\n')
    assert "data.csv, row 1: unexpected end of data; say quotes: false" in problem(settings)


def test_own_regression_from_json_lines_in_latin1(tmp_path: Path) -> None:
    write(tmp_path, {"x.jsonl": '{"text": "señal", "label": 2}\n\n{"text": "b", "label": "3.5"}\n'}, "latin-1")
    file = str(tmp_path / "x.jsonl")
    described = {"train": file, "dev": file, "test": file, "kind": "regression", "format": "jsonl", "language": "es"}
    task = read_task(own_settings(tmp_path, encoding="latin-1", **described))
    assert task.train == {"es": [Regression("1", "señal", None, 2.0), Regression("3", "b", None, 3.5)]}
    said = problem(own_settings(tmp_path, **described))
    assert "x.jsonl, row 1: not utf-8; name the file's encoding" in said
    assert "there is no encoding 'latin1000'" in problem(own_settings(tmp_path, encoding="latin1000", **described))


def test_own_tagging_learns_its_kinds_from_train(tmp_path: Path) -> None:
    text = "1 Nairobi I-PLACE\n2 in O\n\n1 Uhuru I-PERSON\n"
    write(tmp_path, {f"{split}.en.tsv": text for split in ("train", "dev", "test")})
    settings = own_settings(tmp_path, kind="tagging", format="conll", word_column=2)
    task = read_task(settings)
    assert task.labels == ("O", "B-PERSON", "I-PERSON", "B-PLACE", "I-PLACE")
    assert task.train["en"][0] == Tagging("1", ("Nairobi", "in"), ("B-PLACE", "O"))
    (tmp_path / "test.en.tsv").write_text("1 x B-TIME\n")
    assert "test.en.tsv, row 1: tag 'B-TIME' is not known" in problem(settings)
    (tmp_path / "test.en.tsv").write_text("1 x PLACE\n")
    fixed = own_settings(tmp_path, kind="tagging", format="conll", word_column=2, labels=("PLACE", "PERSON"))
    assert "test.en.tsv, row 1: tag 'PLACE' is not known; tags are O, B-PLACE" in problem(fixed)
    far = own_settings(tmp_path, kind="tagging", format="conll", word_column=5)
    assert "train.en.tsv, row 1: 3 columns, not 5" in problem(far)


def test_own_questions_split_one_file_by_articles(tmp_path: Path) -> None:
    for language in ("en", "zh"):
        write(tmp_path, {f"xquad.{language}.json": squad_json([AT_THE_END], [AT_THE_END, CHINESE], [CHINESE])})
    file = str(tmp_path / "xquad.{language}.json")
    described = {"train": file, "dev": file, "test": file, "kind": "span", "format": "squad"}
    settings = own_settings(tmp_path, train_rows=":1", dev_rows="1:2", test_rows="2:", **described)
    task = read_task(settings)
    ids = {(split, lg): [one.id for one in examples] for split, lg, examples in task.splits()}
    assert ids[("train", "en")] == ["q1"]
    assert ids[("dev", "zh")] == ["q2", "q3"]
    assert ids[("test", "en")] == ids[("test", "zh")] == ["q4"]
    assert "holds no question" in problem(own_settings(tmp_path, test_rows="9:", **described))


def test_own_settings_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a span task is read from squad, not from tsv"):
        OwnTask(kind="span")
    write(tmp_path, {"train.en.tsv": "text\tlabel\na\tb\n"})
    assert "has no two labels to tell apart" in problem(
        own_settings(tmp_path, dev=str(tmp_path / "train.en.tsv"), test=str(tmp_path / "train.en.tsv"))
    )
    assert "dev.{language}.tsv: no such file" in problem(own_settings(tmp_path))
    with pytest.raises(UsageError, match=r"own\.test is empty"):
        read_task(own_settings(tmp_path, dev=str(tmp_path / "train.en.tsv"), test=""))
    file = str(tmp_path / "train.en.tsv")
    with pytest.raises(UsageError, match=r"own\.train_rows: '1-5' is no range of rows"):
        read_task(own_settings(tmp_path, train_rows="1-5", dev=file, test=file))


# The hub, real files


def hub_tables() -> dict[tuple[str, str | None, str], Any]:
    datasets = pytest.importorskip("datasets", reason="the hub is read by the package datasets")
    label = datasets.ClassLabel(names=["entailment", "neutral", "contradiction"])
    nli = datasets.Dataset.from_dict(
        {"premise": ["a", "b"], "hypothesis": ["c", "d"], "label": [2, 0]},
        features=datasets.Features(
            {"premise": datasets.Value("string"), "hypothesis": datasets.Value("string"), "label": label}
        ),
    )
    tags = datasets.ClassLabel(names=["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"])
    ner = datasets.Dataset.from_dict(
        {"tokens": [["Dar", "es"]], "ner_tags": [[5, 6]]},
        features=datasets.Features(
            {"tokens": datasets.List(datasets.Value("string")), "ner_tags": datasets.List(tags)}
        ),
    )
    questions = {"id": ["q"], "question": ["?"], "context": ["A b"], "title": ["T"]}
    good = datasets.Dataset.from_dict(questions | {"answers": [{"text": ["b"], "answer_start": [2]}]})
    bad = datasets.Dataset.from_dict(questions | {"answers": [{"text": ["b"], "answer_start": [1]}]})
    tables: dict[tuple[str, str | None, str], Any] = {
        ("rajpurkar/squad", None, "train"): good,
        ("rajpurkar/squad", None, "validation"): good,
        ("google/xquad", "xquad.zh", "validation"): good,
        ("google/xquad", "xquad.ar", "validation"): bad,
    }
    tables |= {("facebook/xnli", lg, split): nli for lg in ("en", "sw") for split in ("train", "validation", "test")}
    tables |= {("unimelb-nlp/wikiann", "sw", split): ner for split in ("train", "validation", "test")}
    return tables


def test_hub_gives_the_same_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    from finetune.data import hub

    tables = hub_tables()
    monkeypatch.setattr(hub, "_load", lambda *names: tables[names])
    asked = {"train_languages": ("en",), "dev_languages": ("en", "sw"), "test_languages": ("sw",)}
    task = read_task(TaskSettings(name="xnli", source="hub", **asked))
    assert task.train["en"] == [
        Classification("1", "a", "c", "contradiction"),
        Classification("2", "b", "d", "entailment"),
    ]
    assert (list(task.dev), list(task.test)) == (["en", "sw"], ["sw"])
    sw = dict.fromkeys(asked, ("sw",))
    assert read_task(TaskSettings(name="wikiann", source="hub", **sw)).test == {
        "sw": [Tagging("1", ("Dar", "es"), ("B-LOC", "I-LOC"))]
    }
    assert "no languages asked for" in problem(TaskSettings(name="wikiann", source="hub"))
    zh = TaskSettings(name="xquad", source="hub", test_languages=("zh",))
    assert read_task(zh).test == {"zh": [Question("q", "?", "A b", (("b", 2),), "T")]}
    assert task_files(zh) == []
    said = problem(zh.model_copy(update={"test_languages": ("ar",), "strict": True}))
    assert "google/xquad/xquad.ar/validation, row 1: the answer 'b' is not in its context at character 1" in said
    assert "conll: not read from the hub; set source: folder" in problem(TaskSettings(name="conll", source="hub"))


def test_hub_without_the_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    def refuse(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", refuse)
    said = problem(TaskSettings(name="squad", source="hub"))
    assert said == ("the package datasets is not installed, and source is hub; install datasets, or set source: folder")


needs_published: Callable[[Any], Any] = pytest.mark.skipif(
    not (PUBLISHED / "xquad").is_dir(), reason="XLMR_TEST_DATA names no folder with conll2002/ and xquad/"
)


@needs_published
def test_real_conll_2002() -> None:
    languages = ("es", "nl")
    task = read_task(
        TaskSettings(
            name="conll",
            folder=str(PUBLISHED / "conll2002"),
            train_languages=languages,
            dev_languages=languages,
            test_languages=languages,
        )
    )
    # Tjong Kim Sang 2002, section 2: sentences and words; esp.train 8,323 and 264,715.
    counted = {(s, lg): (len(found), sum(len(one.words) for one in found)) for s, lg, found in task.splits()}
    assert counted[("train", "es")] == (8323, 264715)
    assert counted[("test", "es")] == (1517, 51533)
    assert counted[("train", "nl")][1] == 202931 - 287  # -DOCSTART- is no word
    names = sum(tag[0] == "B" for one in task.test["es"] for tag in one.tags)
    assert names == 1084 + 339 + 1400 + 735 + 1  # one I- there continues nothing: conlleval counts 3,559 names


@needs_published
def test_real_xquad_is_parallel() -> None:
    file = str(PUBLISHED / "xquad" / "xquad.{language}.json")
    rows = {"train_rows": ":32", "dev_rows": "32:40", "test_rows": "40:"}
    own = OwnTask(kind="span", format="squad", train=file, dev=file, test=file, **rows)
    task = read_task(TaskSettings(name="own", own=own, train_languages=("en",)))
    assert sorted(task.test) == ["ar", "de", "en", "es", "hi", "zh"]
    ids = {language: [one.id for one in found] for language, found in task.test.items()}
    assert all(found == ids["en"] for found in ids.values())
    parts = (task.train["en"], task.dev["en"], task.test["en"])
    assert sum(map(len, parts)) == 1190
    assert not {one.id for one in parts[0]} & {one.id for one in parts[2]}
