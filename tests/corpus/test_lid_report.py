"""``xlmr corpus lid-report`` and the tables, and the likeliest languages, of ``xlmr corpus identify``."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus.language.identifier import load_identifier
from corpus.language.lid_report import lid_report
from corpus.language.settings import LanguageId
from pipeline.cli import main

GERMAN = "Das Wetter ist heute schön, und wir gehen im Wald spazieren."
ENGLISH = "The weather is nice today, and we are walking in the forest."
CHINESE = "這個國家的經濟發展與語言"
COMBINED = ["--labels", "cc100", "--own-model", "built-in"]


def _table(folder, form):
    rows = [("de", GERMAN), ("en", ENGLISH)]
    path = folder / f"t.{form}"
    if form == "parquet":
        pq.write_table(pa.table({"label": [a for a, _ in rows], "text": [b for _, b in rows]}), path)
    elif form == "jsonl":
        path.write_text("".join(json.dumps({"text": b, "label": a}) + "\n" for a, b in rows))
    elif form == "csv":
        path.write_text("label,text\r\n" + "".join(f'{a},"{b}"\r\n' for a, b in rows))
    else:
        path.write_text("\ufefflabel\ttext\n" + "".join(f"{a}\t{b}\n" for a, b in rows))
    return str(path)


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet"])
def test_column_of_a_table(tmp_path, capsys, form):
    assert main(["corpus", "identify", _table(tmp_path, form), "--column", "text", "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["language"] for record in records] == ["de", "en"]
    assert [record["line"] for record in records] == ([2, 3] if form in ("csv", "tsv") else [1, 2])


@pytest.mark.parametrize("options", [{}, {"labels": "cc100"}, {"labels": "cc100", "own_model": "built-in"}])
def test_first_of_the_likeliest_is_the_answer(options):
    identifier = load_identifier(LanguageId(**options))
    texts = [GERMAN, CHINESE, "Windows 8.1", "अभी मौसम अच्छा है", "mausam achha hai", ""]
    languages, scores = identifier.identify(texts)
    for language, score, ranking in zip(languages, scores.tolist(), identifier.likeliest(texts, 3), strict=True):
        assert ranking[:1] == ([(language, score)] if language else [])
        assert len({code for code, _ in ranking}) == len(ranking) <= 3
        assert [value for _, value in ranking] == sorted((value for _, value in ranking), reverse=True)
    assert len(identifier.likeliest(["Windows 8.1"], 3)[0]) == 3


def test_likeliest_languages_of_lines(tmp_path, capsys):
    (tmp_path / "t.txt").write_text("Windows 8.1\n\n")
    command = ["corpus", "identify", str(tmp_path / "t.txt"), *COMBINED, "--top", "2"]
    assert main(command) == 0
    first, blank = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert len(first) == 4
    assert blank == ["und", "0.00"]
    assert main([*command, "--json"]) == 0
    record = json.loads(capsys.readouterr().out.splitlines()[0])
    assert record["top"][0] == {"language": record["language"], "score": record["score"]}
    assert [found["language"] for found in record["top"]] == first[::2]


def test_figures_of_a_report():
    truth = ["de", "de", "de", "en", "nl"]
    report = lid_report(truth, ["de", "de", "nl", "en", "de"], [0.9, 0.5, 0.95, 0.3, 0.2], [10, 11, 21, 100, 101])
    assert report["accuracy"] == 0.6
    assert report["languages"]["de"] == {"texts": 3, "precision": 0.6667, "recall": 0.6667, "f1": 0.6667}
    assert report["languages"]["nl"]["f1"] == 0
    assert report["macro_f1"] == 0.5556
    assert (report["sure"], report["sure_right"]) == (2, 0.5)
    assert {name: row["texts"] for name, row in report["lengths"].items()} == {
        "1-10": 1,
        "11-20": 1,
        "21-50": 1,
        "51-100": 1,
        "101+": 1,
    }
    assert report["lengths"]["21-50"] == {"texts": 1, "accuracy": 0.0, "sure": 1, "sure_right": 0.0}
    assert report["confused"] == [["de", "nl", 1], ["nl", "de", 1]]


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet"])
def test_report_of_a_table(tmp_path, capsys, form):
    assert main(["corpus", "lid-report", _table(tmp_path, form), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["texts"], report["accuracy"], report["macro_f1"]) == (2, 1.0, 1.0)


def test_report_translates_labels_and_prints_tables(tmp_path, capsys):
    (tmp_path / "t.tsv").write_text(f"lang\tline\ndeu_Latn\t{GERMAN}\nzh\t{CHINESE}\nfr\t{ENGLISH}\n")
    command = ["corpus", "lid-report", str(tmp_path / "t.tsv"), "--label", "lang", "--text", "line", *COMBINED]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "accuracy\t0.667" in lines
    assert "zh-Hant\t1\t1.000\t1.000\t1.000" in lines
    assert lines[-1] == "fr\ten\t1"


def test_labels_that_are_no_codes_are_warned_of_and_no_answer_is_und(tmp_path, capsys):
    (tmp_path / "t.tsv").write_text(f"label\ttext\nswriter\t{ENGLISH}\nen\t8.1\nen\t{ENGLISH}\n")
    assert main(["corpus", "lid-report", str(tmp_path / "t.tsv"), *COMBINED]) == 0
    printed = capsys.readouterr()
    assert printed.err.startswith(f"warning: {tmp_path / 't.tsv'}: labels that this identifier never gives: swriter; ")
    assert printed.err.count("\n") == 1
    assert "en\tund\t1" in printed.out.splitlines()
    assert main(["corpus", "lid-report", str(tmp_path / "t.tsv"), "--json", *COMBINED]) == 0
    assert ["en", "und", 1] in json.loads(capsys.readouterr().out)["confused"]
    (tmp_path / "t.tsv").write_text(f"label\ttext\neng_Latn\t{ENGLISH}\n")
    assert main(["corpus", "lid-report", str(tmp_path / "t.tsv"), *COMBINED]) == 0
    assert capsys.readouterr().err == ""


def test_a_folder_of_texts_is_named_as_one(tmp_path, capsys):
    assert main(["corpus", "identify", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"xlmr: {tmp_path}: is a folder; give the files in it, as {tmp_path}/*.txt\n"


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("t.txt", "de\tein Satz\n", "is not a table by its name"),
        ("t.tsv", "de\tein Satz\n", "has no column 'label'"),
        ("t.tsv", "label\ttext\nde\tein\tSatz\n", "row 2: 3 cells under 2 columns"),
        ("t.tsv", "label\ttext\nde\t \n", "row 2 has no 'text'"),
        ("t.tsv", "label\ttext\n", "has no labelled text"),
        ("t.tsv", "", "has no column 'label'"),
        ("t.csv", 'label,text\nde,"ein\n', "row 2: unexpected end of data"),
        ("t.jsonl", '{"label": "de", "text": "ein"}\n[1]\n', "row 2: not a JSON object"),
        ("t.jsonl", '{"label": "de", "text": 7}\n', "row 1: 'text' is not text"),
        ("t.parquet", "no table", "cannot be read"),
    ],
)
def test_bad_tables_are_one_line(tmp_path, capsys, name, content, problem):
    (tmp_path / name).write_text(content)
    assert main(["corpus", "lid-report", str(tmp_path / name)]) != 0
    error = capsys.readouterr().err
    assert problem in error
    assert str(tmp_path / name) in error


def test_files_that_are_not_there_and_options_that_exclude_each_other(tmp_path, capsys):
    for form in ("tsv", "parquet"):
        assert main(["corpus", "lid-report", str(tmp_path / f"nowhere.{form}")]) == 2
        assert "no such file" in capsys.readouterr().err
    assert main(["corpus", "identify", "t.tsv", "--column", "text", "--whole"]) == 2
    assert main(["corpus", "identify", "--column", "text"]) == 2
    assert main(["corpus", "identify", "t.txt", "--top", "0"]) == 2


def test_own_identifiers_say_one_language(tmp_path, capsys, monkeypatch):
    (tmp_path / "one_language.py").write_text("def identify(texts):\n    return [('de', 1.0) for _ in texts]\n")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "t.txt").write_text(f"{GERMAN}\n")
    command = ["corpus", "identify", str(tmp_path / "t.txt"), "--identifier", "one_language:identify"]
    assert main(command) == 0
    assert main([*command, "--top", "2"]) == 1
    assert "says one language" in capsys.readouterr().err
