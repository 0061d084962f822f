"""User-defined pieces, and pieces of unusual characters: kept by the export, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.tokenizer.transformers_tokenizers import backend_of, changed_model, crawl_lines, their_ids
from tokenizer.folder import load_tokenizer
from tokenizer.hugging_face import write_files
from tokenizer.model_file import BYTE, NORMAL
from tokenizer.names import MODEL_FILE
from tokenizer.normaliser_json import NOT_IN_TABLES, _unicode
from tokenizer.pieces import UNK
from tokenizer.settings import TokenizerSettings

tokenizers = pytest.importorskip("tokenizers")
transformers = pytest.importorskip("transformers")


def test_unicode_tables_of_tokenizers_are_as_listed() -> None:
    """Theirs is an older Unicode: what has to be protected from their NFKC is what it changes."""
    nfkc = tokenizers.normalizers.NFKC().normalize_str
    left = {sign for sign in _unicode().changed if nfkc(sign) == sign}
    assert left == NOT_IN_TABLES & set(_unicode().changed)


def test_pieces_of_every_control_character(trained: Path, tmp_path: Path) -> None:
    """XLM-R's vocabulary has 30 of the 32, and no text of its corpus was clean of them."""

    def change(proto: Any) -> None:
        for number, code in enumerate(range(0x80, 0xA0)):
            proto.pieces.add(piece=chr(code), score=-12.0 - number / 1024, type=NORMAL)

    file = changed_model(trained, change, tmp_path / MODEL_FILE)
    write_files(file, tmp_path / "out")
    texts = ["human\x80 \x91rights", "e\u0302\u0301 vie\u0302\u0323t ～ \ufff0", *crawl_lines(1000)]
    expected = [ids.tolist() for ids in load_tokenizer(file).encode_batch(texts)]
    assert their_ids(backend_of(tmp_path / "out"), texts) == expected
    assert UNK not in expected[0]


OWN_PIECES = ("<br>", "[URL]", "@@", "<e", "état")
OWN_TEXTS = [
    "born free<br>and equal <br> in [URL]dignity, @@@ and @@rights",
    "<s> <e\u0301 <mask> ＜ｍａｓｋ＞ <ebr> état\u0301 l'état e\u0301tat ＜br＞",
    "",
    "[URL]",
    " @@ ",
]


@pytest.fixture(scope="module")
def marked(corpus: Path, run_stage: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output of tokenizer.train with user-defined pieces."""
    folder = tmp_path_factory.mktemp("marked")
    run_stage("tokenizer.sample", {}, {"corpus.regroup": corpus}, folder / "sample")
    settings = {"train": {"vocab_size": 700, "user_defined_symbols": OWN_PIECES}}
    run_stage("tokenizer.train", settings, {"tokenizer.sample": folder / "sample"}, folder / "train")
    return folder / "train"


def test_user_defined_pieces_are_kept_by_export(marked: Path, tmp_path: Path) -> None:
    """Ids are SentencePiece's, in transformers and after transformers has saved them."""
    ours, theirs = load_tokenizer(marked), transformers.AutoTokenizer.from_pretrained(str(marked))
    assert ours.vocabulary[4:9] == list(OWN_PIECES)
    texts = [*OWN_TEXTS, *crawl_lines(500)]
    expected = [ids.tolist() for ids in ours.encode_batch(texts)]
    assert their_ids(backend_of(marked), texts) == expected
    assert theirs(OWN_TEXTS[0], add_special_tokens=False)["input_ids"] == expected[0]
    assert [expected[0].count(number) for number in (4, 5, 6)] == [2, 1, 2]
    theirs.save_pretrained(str(tmp_path))
    again = load_tokenizer(tmp_path)
    assert [ids.tolist() for ids in again.encode_batch(texts)] == expected
    write_files(tmp_path, tmp_path / "out")
    assert their_ids(backend_of(tmp_path / "out"), texts) == expected


def test_bytes_and_brackets_that_have_no_piece(trained: Path, tmp_path: Path) -> None:
    """Text that normalisation makes into <mask> is a text; with bytes in place of unknown characters too."""

    def change(proto: Any) -> None:
        proto.trainer_spec.byte_fallback = True
        for byte in range(256):
            proto.pieces.add(piece=f"<0x{byte:02X}>", score=0.0, type=BYTE)

    file = changed_model(trained, change, tmp_path / MODEL_FILE)
    assert not {"<", ">"} & set("".join(load_tokenizer(trained).vocabulary[4:701]))
    write_files(file, tmp_path)
    texts = ["＜ｍａｓｋ＞", "free <mask> and <s>equal</s>", "a < b", "<unk", "🦄"]
    expected = [ids.tolist() for ids in load_tokenizer(file).encode_batch(texts)]
    assert their_ids(backend_of(tmp_path), texts) == expected
    file.unlink()
    assert [ids.tolist() for ids in load_tokenizer(tmp_path).encode_batch(texts)] == expected


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        (["two words"], "white space"),
        (["<mask>"], "special piece already"),
        (["ﬁ"], "normalised, to 'fi'"),
        (["x", "x"], "listed twice"),
        ([""], "is empty"),
    ],
)
def test_user_defined_pieces_that_would_be_read_in_two_ways(pieces: list[str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        TokenizerSettings.model_validate({"train": {"user_defined_symbols": pieces}})
    with pytest.raises(ValidationError, match="only a unigram model has them"):
        TokenizerSettings.model_validate({"train": {"user_defined_symbols": ["<x>"], "model_type": "bpe"}})
