"""Reading labelled files: what is read, and one clear line for each fault."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_task import example_rows, write_jsonl

from finetune.stages import LabelledFiles
from finetune.tasks import Example, language_of, read_examples, read_task
from pipeline.errors import XlmrError

SAMPLES = Path(__file__).parents[2] / "samples" / "task"


def problem(path: Path, **columns: str) -> str:
    with pytest.raises(XlmrError) as caught:
        read_examples(str(path), LabelledFiles(**columns), ["a", "b"])
    line = str(caught.value)
    assert "\n" not in line
    assert path.name in line
    return line


def test_embedded_task_is_whole_and_its_parts_do_not_overlap() -> None:
    files = LabelledFiles(
        train=str(SAMPLES / "train.en.jsonl.gz"),
        dev=str(SAMPLES / "dev.en.jsonl.gz"),
        test=str(SAMPLES / "test.*.jsonl.gz"),
    )
    task = read_task(files)
    assert list(task.train) == list(task.dev) == ["en"]
    assert len(task.test) > 10
    ids = {split: {e.id for es in getattr(task, split).values() for e in es} for split in ("train", "dev", "test")}
    assert not ids["train"] & ids["test"]
    assert not ids["dev"] & ids["test"]
    assert not ids["train"] & ids["dev"]


def test_tsv_and_jsonl_read_alike(tmp_path: Path) -> None:
    rows = example_rows(5)
    jsonl = write_jsonl(tmp_path / "test.en.jsonl.gz", rows)
    tsv = tmp_path / "test.en.tsv"
    tsv.write_text("id\ttext\tlabel\n" + "".join(f"{r['id']}\t{r['text']}\t{r['label']}\n" for r in rows))
    expected = [Example(str(r["id"]), str(r["text"]), str(r["label"])) for r in rows]
    assert read_examples(str(jsonl), LabelledFiles()) == expected
    assert read_examples(str(tsv), LabelledFiles()) == expected


def test_columns_can_be_named_and_ids_left_out(tmp_path: Path) -> None:
    path = tmp_path / "dev.sw.tsv"
    path.write_text('gold\tsentence\n1\tsaid "hello\n0\tbye\n')
    files = LabelledFiles(id_column="", text_column="sentence", label_column="gold")
    assert read_examples(str(path), files) == [Example("2", 'said "hello', "1"), Example("3", "bye", "0")]


def test_unknown_label_names_file_and_row(tmp_path: Path) -> None:
    path = tmp_path / "test.en.jsonl"
    path.write_text('{"id": "1", "text": "x", "label": "a"}\n{"id": "2", "text": "x", "label": "c"}\n')
    assert "row 2: label 'c' is in no training file; labels are a, b" in problem(path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"id": "1", "text": "x", "label": "a"}\n{"id": "2", "te', "row 2: not JSON"),
        ("[1]\n", "row 1: not a JSON object"),
        ('{"id": "1", "txt": "x", "label": "a"}\n', "row 1: column 'text' has no text; the row has id, txt, label"),
        ('{"id": "1", "text": " ", "label": "a"}\n', "row 1: column 'text' has no text"),
        ('{"id": "1", "text": "x", "label": null}\n', "row 1: column 'label' has no text"),
        ("\n", "holds no example"),
    ],
)
def test_faulty_jsonl_names_file_and_row(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "test.en.jsonl"
    path.write_text(content)
    assert expected in problem(path)


def test_faulty_tsv_names_file_and_row(tmp_path: Path) -> None:
    path = tmp_path / "test.en.tsv"
    path.write_text("id\ttext\tlabel\n1\tx\ta\n2\ty\n")
    assert "row 3: 2 cells under 3 columns" in problem(path)


def test_damaged_files_are_one_line(tmp_path: Path) -> None:
    whole = write_jsonl(tmp_path / "test.en.jsonl.gz", example_rows(200)).read_bytes()
    (cut := tmp_path / "test.fr.jsonl.gz").write_bytes(whole[:-20])
    (not_gzip := tmp_path / "test.de.jsonl.gz").write_bytes(b"plain")
    (latin := tmp_path / "test.es.jsonl").write_bytes('{"id": "ñ"}'.encode("latin-1"))
    labels = ["table", "drawing", "letter"]
    for path in (cut, not_gzip, latin):
        with pytest.raises(XlmrError, match=rf"{path.name}: not readable"):
            read_examples(str(path), LabelledFiles(), labels)
    problem(tmp_path / "test.it.jsonl.gz")


def test_names_of_files_say_the_language(tmp_path: Path) -> None:
    assert language_of("s3://bucket/test.zh-Hans.tsv.gz") == "zh-Hans"
    with pytest.raises(XlmrError, match=r"notes\.txt: its name is not"):
        language_of("notes.txt")
    write_jsonl(tmp_path / "train.en.jsonl.gz", example_rows(3))
    write_jsonl(tmp_path / "train.en.tsv.gz", [])
    with pytest.raises(XlmrError, match="second file for language en"):
        read_task(LabelledFiles(train=str(tmp_path / "train.*")))


def test_one_label_is_no_task(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "train.en.jsonl.gz", example_rows(1))
    with pytest.raises(XlmrError, match="all texts have one label, 'table'"):
        read_task(LabelledFiles(train=str(path)))
