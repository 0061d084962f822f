"""The tool on files: rows in, the same rows with what is said of them out, block by block; faults name file and row."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from finetune import api
from finetune.data.examples import Location
from finetune.folder import save_fine_tuned
from finetune.heads.kinds import KINDS
from finetune.predict_files import InputRow, read_blocks, writer
from finetune.predict_tool import predict, predictions_of
from finetune.stages import Recipe
from pipeline.cli import main as xlmr
from pipeline.errors import UsageError, XlmrError
from pretrain.folder import load_encoder
from tokenizer.names import MODEL_FILE

LABELS = {"classification": ("calc", "draw"), "tagging": ("O", "B-X"), "span": ()}
TEXTS = ["Insert a table.", 'Drawing "lines" and arrows', "Ünïcode ﬁgures １２３"]
OTHERS = ["one", "two and more", "three"]


@pytest.fixture(scope="module")
def models(export: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    for name, labels in LABELS.items():
        kind = KINDS[name](labels, Recipe(longest=48, longest_question=16, stride=12, dtype="fp32"))
        torch.manual_seed(5)
        model = kind.model(load_encoder(export), 0.0)
        for parameter in model.head.parameters():  # type: ignore[union-attr]
            torch.nn.init.normal_(parameter)
        save_fine_tuned(model, kind, export / MODEL_FILE, folder / name)
    return {name: folder / name for name in LABELS}


def write_rows(path: Path, rows: list[dict[str, Any]]) -> str:
    lines = io.StringIO()
    cells = [list(rows[0]), *(list(map(str, row.values())) for row in rows)]
    if path.suffix == ".csv":
        csv.writer(lines).writerows(cells)
    elif path.suffix == ".tsv":
        lines.writelines("\t".join(row) + "\n" for row in cells)
    else:
        lines.writelines(json.dumps(row) + "\n" for row in rows)
    content = lines.getvalue().encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return str(path)


@pytest.mark.parametrize("name", ["in.tsv", "in.csv", "in.jsonl", "in.jsonl.gz"])
def test_rows_come_in_blocks_with_their_numbers(name: str, tmp_path: Path) -> None:
    rows = [{"id": str(n), "text": f'{n} is "{n}"' + (",\nline two" if "csv" in name else "")} for n in range(7)]
    blocks = list(read_blocks(write_rows(tmp_path / name, rows), size=3))
    assert len(blocks) > 2
    assert [dict(row.values) for block in blocks for row in block] == rows
    first, step = {"in.tsv": (2, 1), "in.csv": (2, 2)}.get(name, (1, 1))
    assert [row.location.row for block in blocks for row in block] == [first + step * n for n in range(7)]


@pytest.mark.parametrize(
    ("name", "lines", "said"),
    [
        (
            "in.csv",
            ["text,id", "a,1", '"b', 'b",2', '"c" d,3'],
            r"row 5: ',' expected .*; the rows before it are in",
        ),
        ("in.tsv", ["txt\tid", "a\t1"], "in.tsv: has no column 'text'; its header has txt, id"),
        ("in.tsv", ["text\ttext", "a\t1"], "row 1: 2 columns are named 'text'"),
        ("in.tsv", ["text"], "in.tsv: has no rows"),
        ("in.tsv", [], "in.tsv: is empty"),
        ("in.txt", ["a"], r"in\.txt: no form of file that is read"),
        ("in.tsv.zip", ["a"], r"in\.tsv\.zip: not readable \(File is not a zip file\)"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_line(
    name: str, lines: list[str], said: str, tmp_path: Path, models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_blocks, "__defaults__", ("text", 1))
    (tmp_path / name).write_text("\n".join(lines))
    with pytest.raises(XlmrError, match=said):
        predict(model=models["classification"], input=str(tmp_path / name), output=str(tmp_path / "out.jsonl"))
    assert not (tmp_path / "out.jsonl").exists(), "nothing that looks complete is left"
    partial = tmp_path / "out.jsonl.partial"
    assert partial.exists() == ("rows before" in said)
    if partial.exists():
        assert [json.loads(line)["text"] for line in partial.read_text().splitlines()] == ["a", "b\nb"]


FAULTY = {
    "in.tsv": (
        b"text\tid\nPeter went\t0\n\t1\n\n  \t3\nx\ny\t5\tmore\n\xff\t6\nlast\t7\n\n",
        {1: "column 'text' has no text", 2: "the line is blank", 3: "column 'text' has no text",
         4: "1 cells under 2 columns", 5: "3 cells under 2 columns", 6: "not UTF-8", 8: "the line is blank"},
    ),
    "in.csv": (
        b'text,id\nPeter went,0\n,1\n\n"  ",3\nx\ny,5,more\n\xff,6\n"la\nst",7\n\n',
        {1: "column 'text' has no text", 2: "the line is blank", 3: "column 'text' has no text",
         4: "1 cells under 2 columns", 5: "3 cells under 2 columns", 6: "not UTF-8", 8: "the line is blank"},
    ),
    "in.jsonl": (
        b'{"text": "Peter went"}\n{"text": ""}\n\n{"text": null}\n[]\n{"text":\n\xff\n{"text": "last"}\n{"txt": "a"}',
        {1: "column 'text' has no text", 2: "the line is blank", 3: "column 'text' has no text",
         4: "not a JSON object", 5: "not JSON", 6: "not UTF-8", 8: "column 'text' has no text"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTY)
@pytest.mark.parametrize(("kind", "size"), [("tagging", 1), ("classification", 100)])
def test_every_row_in_is_a_row_out(
    name: str, kind: str, size: int, tmp_path: Path, models: dict[str, Path], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(read_blocks, "__defaults__", ("text", size))
    content, faults = FAULTY[name]
    (tmp_path / name).write_bytes(content)
    for out in ("out.jsonl", "out.tsv", "out.csv"):
        predict(model=models[kind], input=str(tmp_path / name), output=str(tmp_path / out))
        assert capsys.readouterr().err.startswith(
            f"{len(faults)} of 9 rows have no answer (the first: {tmp_path}/{name}"
        )
        written = (tmp_path / out).read_text()
        if out == "out.jsonl":
            found = [json.loads(line) for line in written.splitlines()]
        else:
            found = list(csv.DictReader(io.StringIO(written), delimiter="\t" if "tsv" in out else ","))
        assert len(found) == 9
        for place, row in enumerate(found):
            assert bool(row["predicted"]) == (place not in faults)
            assert (row.get("error") or "").startswith(faults.get(place, ""))
            assert bool(row.get("error")) == (place in faults)
        assert found[0]["text"] == "Peter went"
        assert re.sub(r"\s", "", found[7]["text"]) == "last"
    predict(model=models[kind], input=str(tmp_path / name))
    assert [not line for line in capsys.readouterr().out.split("\n")[:9]] == [place in faults for place in range(9)]


def test_a_row_without_its_pair_is_marked(
    models: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.tsv").write_text("text\tpair\nPeter went to London\tb\n\tb\nx\t\n")
    predict(model=models["classification"], input=str(tmp_path / "in.tsv"), output="-")
    said = capsys.readouterr()
    assert [line.get("error") for line in map(json.loads, said.out.splitlines())] == [
        None, "column 'text' has no text", "column 'pair' has no text",
    ]  # fmt: skip
    assert "2 of 3 rows have no answer" in said.err


def test_no_answer_at_all_is_an_error(models: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "in.tsv").write_text("text\tn\n\t1\n\t2\n")
    with pytest.raises(XlmrError, match=r"2 of 2 rows have no answer \(the first: .*in.tsv, row 2: column 'text'"):
        predict(model=models["tagging"], input=str(tmp_path / "in.tsv"), output=str(tmp_path / "out.tsv"))
    assert (tmp_path / "out.tsv").read_text().splitlines()[1] == "\t1\t\tcolumn 'text' has no text"


def test_what_was_answered_stays_when_the_run_stops(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetune.api import Predictor

    monkeypatch.setattr(read_blocks, "__defaults__", ("text", 2))
    real, calls = Predictor.answer, []

    def stops(self: Predictor, asked: Any) -> Any:
        calls.append(len(asked))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, asked)

    monkeypatch.setattr(Predictor, "answer", stops)
    address = write_rows(tmp_path / "in.jsonl", [{"text": f"text {n}"} for n in range(9)])
    with pytest.raises(KeyboardInterrupt):
        predict(model=models["tagging"], input=address, output=str(tmp_path / "out.jsonl"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl.partial"]
    assert len((tmp_path / "out.jsonl.partial").read_text().splitlines()) == 4
    monkeypatch.setattr(Predictor, "answer", real)
    predict(model=models["tagging"], input=address, output=str(tmp_path / "out.jsonl"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_each_row_has_its_own_pair_and_context(
    models: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_blocks, "__defaults__", ("text", 2))
    rows = [{"id": n, "text": text, "pair": other} for n, (text, other) in enumerate(zip(TEXTS, OTHERS, strict=True))]
    predict(model=models["classification"], input=write_rows(tmp_path / "in.jsonl", rows), output="-")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    alone = [predictions_of([row["text"]], models["classification"], pair=row["pair"])[0][0] for row in rows]
    assert [line["predicted"] for line in lines] == [one["predicted"] for one in alone]
    assert [line["confidence"] for line in lines] == pytest.approx([one["confidence"] for one in alone], abs=2e-4)
    assert [(line["id"], line["pair"]) for line in lines] == list(enumerate(OTHERS))

    rows = [{"text": "Where?", "context": text * 9} for text in TEXTS]
    predict(model=models["span"], input=write_rows(tmp_path / "asked.tsv", rows), output=str(tmp_path / "out.csv"))
    with (tmp_path / "out.csv").open(newline="") as handle:
        found = list(csv.DictReader(handle))
    for row, line in zip(rows, found, strict=True):
        (said,), _ = predictions_of(["Where?"], models["span"], context=row["context"])
        assert (line["predicted"], line["start"]) == (said["predicted"], str(said["start"]))
        assert line["context"] == row["context"]


def test_standard_input_to_a_table(
    models: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for text, form in (
        ("text\tn\na b c\t1\nd\t2\n", "tsv"),
        ('{"text": "a b c", "n": 1}\n{"text": "d", "n": 2}', "json"),
    ):
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
        predict(model=models["tagging"], input="-", output=str(tmp_path / f"{form}.tsv"))
    assert (tmp_path / "tsv.tsv").read_text() == (tmp_path / "json.tsv").read_text()
    header, first, _ = (line.split("\t") for line in (tmp_path / "tsv.tsv").read_text().splitlines())
    assert header == ["text", "n", "predicted", "error"]
    assert len(first[2].split()) == 3
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"text\na b\n")))
    predict(model=models["tagging"], input="-")
    assert len(capsys.readouterr().out.split()) == 2, "without an output, a line a text as for words of the command"


def test_the_command_line_takes_a_hyphen_for_standard_input(
    models: dict[str, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"text\na b\n")))
    words = ["finetune", "predict", "--input", "-", "--output", "-", "--model", str(models["tagging"])]
    assert xlmr(words) == 0
    assert json.loads(capsys.readouterr().out)["text"] == "a b"


def test_a_tab_in_an_answer_does_not_break_a_table(tmp_path: Path) -> None:
    with writer(str(tmp_path / "out.tsv")) as write:
        write([InputRow(Location("f", 1), {"text": "a\tb\nc"})], [{"predicted": 'say "x"'}])
    assert (tmp_path / "out.tsv").read_text() == 'text\tpredicted\terror\na b c\tsay "x"\t\n'


def test_model_goes_to_the_gpu(models: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    went: list[Any] = []
    real = torch.nn.Module.to

    def watched(self: torch.nn.Module, *given: Any) -> torch.nn.Module:
        went.extend(given)
        return real(self, "cpu")

    def made_up() -> torch.device:
        return torch.device("cuda", 0)

    monkeypatch.setattr(api, "own_device", made_up)
    monkeypatch.setattr(torch.nn.Module, "to", watched)
    predictions_of(["a"], models["classification"])
    assert torch.device("cuda", 0) in went


@pytest.mark.parametrize("given", [{"input": "x.tsv"}, {"output": "y.jsonl"}])
def test_words_and_files_exclude_each_other(given: dict[str, str], models: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="--input"):
        predict("a text", model=models["tagging"], **given)
