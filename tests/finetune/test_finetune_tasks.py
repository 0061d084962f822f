"""The embedded task, and labelled files like its own: what is read, and one clear line for each fault."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from finetune.data.examples import Classification
from finetune.data.reading import read_task
from finetune.data.settings import HelpPages, OwnTask, TaskSettings
from tests.finetune.task_files import problem
from tests.finetune.toy_task import example_rows, write_jsonl

SAMPLES = Path(__file__).parents[2] / "samples" / "task"


def settings_of(test: Path, **columns: str) -> TaskSettings:
    """A task of two sound files, a and b their labels, that is tested on ``test``."""
    format_ = "tsv" if ".tsv" in test.name else "jsonl"
    sound = test.parent / "sound.jsonl.gz"
    names = {"id": "id", "text": "text", "label": "label"} | {k.removesuffix("_column"): v for k, v in columns.items()}
    rows = [{names["id"] or "id": str(n), names["text"]: "x", names["label"]: label} for n, label in enumerate("ab")]
    if format_ == "tsv":
        sound = test.parent / "sound.tsv"
        sound.write_text("\n".join("\t".join(row) for row in [list(rows[0]), *(row.values() for row in rows)]))
    else:
        write_jsonl(sound, rows)
    files = {"train": str(sound), "dev": str(sound), "test": str(test)}
    return TaskSettings(name="own", own=OwnTask(format=format_, **(files | {"id_column": "id"} | columns)))


def fault_of(path: Path, **columns: str) -> str:
    said = problem(settings_of(path, **columns))
    assert path.name in said
    return said


def test_embedded_task_is_whole_and_its_parts_do_not_overlap() -> None:
    files = {split: f"{SAMPLES}/{split}.{{language}}.jsonl.gz" for split in ("train", "dev", "test")}
    task = read_task(TaskSettings(name="own", own=HelpPages(**files)))
    assert list(task.train) == list(task.dev) == ["en"]
    assert len(task.test) > 10
    assert len(task.labels) > 2
    ids = {split: {e.id for es in getattr(task, split).values() for e in es} for split in ("train", "dev", "test")}
    assert not ids["train"] & ids["test"]
    assert not ids["dev"] & ids["test"]
    assert not ids["train"] & ids["dev"]
    with gzip.open(SAMPLES / "test.de.jsonl.gz", "rt", encoding="utf-8") as handle:
        rows = [json.loads(line) for line in handle]
    assert task.test["de"] == [Classification(row["id"], row["text"], None, row["label"]) for row in rows]


def test_tsv_and_jsonl_read_alike(tmp_path: Path) -> None:
    rows = [row | {"label": "ab"[number % 2]} for number, row in enumerate(example_rows(5))]
    jsonl = write_jsonl(tmp_path / "test.jsonl.gz", rows)
    tsv = tmp_path / "test.tsv"
    tsv.write_text("id\ttext\tlabel\n" + "".join(f"{r['id']}\t{r['text']}\t{r['label']}\n" for r in rows))
    expected = {"en": [Classification(str(r["id"]), str(r["text"]), None, str(r["label"])) for r in rows]}
    assert read_task(settings_of(jsonl)).test == expected
    assert read_task(settings_of(tsv)).test == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"id": "1", "text": "x", "label": "a"}\n{"id": "2", "te', "row 2: not JSON"),
        ("[1]\n", "row 1: not a JSON object"),
        ('{"id": "1", "txt": "x", "label": "a"}\n', "row 1: column 'text' has no text; the row has id, txt, label"),
        ('{"id": "1", "text": " ", "label": "a"}\n', "row 1: column 'text' has no text"),
        ('{"id": "1", "text": "x", "label": null}\n', "row 1: column 'label' has no text"),
        ('{"id": "1", "text": "x", "label": "c"}\n', "row 1: label 'c' is not known; labels are a, b"),
        ("\n", "holds no example"),
    ],
)
def test_faulty_jsonl_names_file_and_row(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "test.jsonl"
    path.write_text(content)
    assert expected in fault_of(path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("id\ttext\tlabel\n1\tx\ta\n2\ty\n", "row 3: 2 cells under 3 columns"),
        ("id\ttext\tlabel\n1\tx\ta\n\n2\tx\ta\n", "row 3: 1 cells under 3 columns"),
        ("id\ttext\tlabel\n\n", "holds no example"),
        ("", "holds no example"),
    ],
)
def test_faulty_tsv_names_file_and_row(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "test.tsv"
    path.write_text(content)
    assert expected in fault_of(path)


def test_blank_lines_at_the_end_are_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "test.tsv"
    path.write_text("id\ttext\tlabel\r\n1\tx\ta\r\n\r\n\n")
    assert read_task(settings_of(path)).test == {"en": [Classification("1", "x", None, "a")]}


def test_damaged_files_are_one_line(tmp_path: Path) -> None:
    whole = write_jsonl(tmp_path / "test.jsonl.gz", example_rows(200)).read_bytes()
    (cut := tmp_path / "cut.jsonl.gz").write_bytes(whole[:-20])
    (not_gzip := tmp_path / "plain.jsonl.gz").write_bytes(b"plain")
    (latin := tmp_path / "latin.jsonl").write_bytes('{"id": "ñ"}'.encode("latin-1"))
    assert "cut.jsonl.gz: not readable" in fault_of(cut)
    assert "plain.jsonl.gz: not readable" in fault_of(not_gzip)
    assert "latin.jsonl, row 1: not utf-8" in fault_of(latin)
    assert "no such file" in fault_of(tmp_path / "nowhere.jsonl.gz")
