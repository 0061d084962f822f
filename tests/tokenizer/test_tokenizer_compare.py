"""compare: the same is the same, and what differs is counted and shown where it is first."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UsageError, XlmrError
from tokenizer.compare import find_differences, load_side, probes, read_lines
from tokenizer.model_file import round_scores
from tokenizer.names import MODEL_FILE
from tokenizer.tools import compare, export

pytest.importorskip("tokenizers")


@pytest.fixture
def described(trained: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((trained / "tokenizer.json").read_text(encoding="utf-8"))
    return read


def changed(described: dict[str, Any], folder: Path) -> Path:
    folder.mkdir()
    (folder / "tokenizer.json").write_text(json.dumps(described), encoding="utf-8")
    return folder


def test_the_model_and_its_export_are_the_same(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compare(trained, trained / "tokenizer.json")
    out = capsys.readouterr().out
    assert "702 pieces" in out
    assert "ids with different pieces: 0" in out
    assert "scores that differ by more than 1e-06: 0" in out
    assert "texts with different ids: 0 of 20,702" in out


def test_export_elsewhere_is_the_same_and_takes_the_length(trained: Path, tmp_path: Path) -> None:
    export(trained, tmp_path / "there", model_max_length=128)
    for name in (MODEL_FILE, "tokenizer.json", "special_tokens_map.json"):
        assert (tmp_path / "there" / name).read_bytes() == (trained / name).read_bytes()
    config = json.loads((tmp_path / "there" / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert config["model_max_length"] == 128


def test_scores_that_differ_are_counted(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coarse = tmp_path / "coarse.model"
    coarse.write_bytes(round_scores((trained / MODEL_FILE).read_bytes(), 2))
    with pytest.raises(XlmrError, match="are not the same tokenizer"):
        compare(trained, coarse)
    out = capsys.readouterr().out
    found = find_differences(load_side(trained), load_side(coarse), [])
    assert 600 < len(found.scores) < 702
    assert f"scores that differ by more than 1e-06: {len(found.scores)}" in out
    assert not found.pieces


def test_pieces_that_differ_are_shown_with_the_text_they_change(
    trained: Path, described: dict[str, Any], tmp_path: Path
) -> None:
    vocabulary = described["model"]["vocab"]
    number = next(n for n, (piece, _) in enumerate(vocabulary) if n > 4 and len(piece) > 4 and piece.startswith("▁"))
    word = vocabulary[number][0]
    vocabulary[number][0] = "▁qqqqq"
    other = load_side(changed(described, tmp_path / "other"))
    text = f"before {word[1:]} after"
    found = find_differences(load_side(trained), other, [("here:1", "before"), ("here:2", text)])
    assert found.pieces == [(number, word, "▁qqqqq")]
    assert [(where, of) for where, of, _, _ in found.texts] == [("here:2", text)]
    assert word in found.texts[0][2]
    assert word not in found.texts[0][3]
    assert found.texts_compared == 2


def test_another_size(trained: Path, described: dict[str, Any], tmp_path: Path) -> None:
    del described["model"]["vocab"][-2]
    described["added_tokens"][-1]["id"] -= 1
    found = find_differences(load_side(trained), load_side(changed(described, tmp_path / "other")), [])
    assert found.pieces[-1] == (701, "<mask>", "nothing")


def test_special_pieces_in_a_text_are_text(trained: Path) -> None:
    texts = [("here:1", "<s> a </s> <mask>b<pad>")]
    assert not find_differences(load_side(trained), load_side(trained / "tokenizer.json"), texts)


def test_lines_of_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\x0bstill two\n\n", encoding="utf-8")
    with gzip.open(tmp_path / "b.gz", "wt", encoding="utf-8") as file:
        file.write("three")
    lines = list(read_lines([tmp_path / "a.txt", tmp_path / "b.gz"]))
    assert [line for _, line in lines] == ["one", "two\x0bstill two", "", "three"]
    assert lines[1][0] == f"{tmp_path / 'a.txt'}:2"
    (tmp_path / "c.gz").write_bytes(b"no gzip")
    with pytest.raises(UsageError, match=r"c\.gz: not a text"):
        list(read_lines([tmp_path / "c.gz"]))


def test_probes_are_the_same_each_time_and_hold_every_piece(trained: Path) -> None:
    side = load_side(trained)
    first = list(probes(side, 50))
    assert first == list(probes(side, 50))
    assert len(first) == len(side.pieces) + 50


def test_what_is_no_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(XlmrError, match=r"tokenizer\.json: no such file"):
        load_side(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(XlmrError, match=r"tokenizer\.json: not a tokenizer\.json"):
        load_side(tmp_path)
