"""A vocabulary that is there already, taken instead of learning one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import XlmrError
from tokenizer.names import MODEL_FILE
from tokenizer.report import sections
from tokenizer.settings import TokenizerSettings
from tokenizer.stages import PACKAGE

FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocabulary.tsv", MODEL_FILE)


@pytest.mark.parametrize("given", ["folder", "file"])
def test_it_is_taken_as_it_is(given: str, corpus: Path, trained: Path, run_stage: Any, tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    file = Path(shutil.copy(trained / MODEL_FILE, tmp_path / "given" / MODEL_FILE))
    settings = {"existing": {"model": str(file if given == "file" else file.parent)}}
    counts, _ = run_stage("tokenizer.sample", settings, {"corpus.regroup": corpus}, tmp_path / "sample")
    assert counts == {}, "no text is drawn where no vocabulary is trained"
    counts, _ = run_stage("tokenizer.train", settings, {"tokenizer.sample": tmp_path / "sample"}, tmp_path / "train")
    assert counts["vocab_size"] == 702
    for name in FILES:
        assert (tmp_path / "train" / name).read_bytes() == (trained / name).read_bytes()
    drawn = sections({"tokenizer.sample": tmp_path / "sample", "tokenizer.train": tmp_path / "train"})
    assert [section.title for section in drawn] == ["Vocabulary"]


def test_its_content_counts_and_not_its_place(trained: Path, tmp_path: Path) -> None:
    config = TokenizerSettings.model_validate({"existing": {"model": str(trained)}})
    for stage in PACKAGE.stages[:2]:
        assert stage.outside(stage.config_from(config)) == {
            str(trained / name): "existing.model" for name in (MODEL_FILE, "tokenizer.json")
        }
        assert stage.outside(stage.config_from(TokenizerSettings())) == {}


def test_what_is_no_model_is_named(run_stage: Any, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.model"
    wrong.write_text(json.dumps({"model": "not of SentencePiece"}))
    with pytest.raises(XlmrError, match=r"wrong\.model: not a SentencePiece model"):
        run_stage("tokenizer.train", {"existing": {"model": str(wrong)}}, {}, tmp_path / "out")
    assert not (tmp_path / "out" / MODEL_FILE).exists()


def test_one_that_cannot_be_written_is_refused_before_the_corpus_is_made(tmp_path: Path) -> None:
    from pipeline.stage import load_object

    for name, text in (("x.model", b"no model"), ("tokenizer.json", b"{}")):
        (tmp_path / name).write_bytes(text)
        config = TokenizerSettings.model_validate({"existing": {"model": str(tmp_path / name)}})
        checks = [(stage.config_from(config), stage.check) for stage in PACKAGE.stages if stage.check]
        assert checks, "the runner has nothing to call"
        for settings, check in checks:
            with pytest.raises(XlmrError, match=name):
                load_object(check)(settings)
            load_object(check)(PACKAGE.stages[0].config_from(TokenizerSettings()))
