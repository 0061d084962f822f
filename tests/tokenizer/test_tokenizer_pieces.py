"""Ids and text: against Hugging Face's tokenizer of the same model, and against SentencePiece's pieces."""

from __future__ import annotations

import importlib
import pickle
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import XlmrError
from tokenizer.corpus_files import read_batches
from tokenizer.folder import load_tokenizer
from tokenizer.pieces import BOS, EOS, PAD, UNK, Tokenizer
from tokenizer.tools import segment
from tokenizer.vocabulary import NO_SCRIPT, pieces_by_script, script_of


def all_texts(corpus: Path) -> list[str]:
    batches = [b for path in sorted(corpus.glob("*/*.arrow")) for b in read_batches(path, ("raw_content",))]
    return [text for batch in batches for text in batch.column("raw_content").to_pylist()]


AWKWARD = [
    "",
    "   two  spaces\tand a tab ",
    "ﬁn ½ ① ＡＢＣ ｶﾀｶﾅ",
    "🦄🦄 unknown 🦄 and known",
    "e\u0301 decomposed, é composed",
    "ゼロ幅\u200b空白\u00a0非改行",
    "nul\u0000byte",
]


def plain_ids(model: Path, text: str) -> list[int]:
    """The obvious way: piece by piece, by fairseq's table."""
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model / "sentencepiece.bpe.model"))
    ids = []
    for piece in processor.encode(text, out_type=str):
        number = processor.piece_to_id(piece)
        ids.append({0: 3, 1: 0, 2: 2}.get(number, number + 1))
    return ids


def test_ids_are_those_of_hugging_face(
    corpus: Path, trained: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    transformers = pytest.importorskip("transformers")
    # SentencePiece's own description of its files asks for protobuf 7; Hugging Face carries an older one.
    older = importlib.import_module("transformers.utils.sentencepiece_model_pb2_new")
    monkeypatch.setattr(sentencepiece, "sentencepiece_model_pb2", older, raising=False)
    theirs = transformers.XLMRobertaTokenizer.from_pretrained(str(trained))
    texts = [*all_texts(corpus), *AWKWARD, "Hello world!"]
    assert len({unicodedata.name(c, "").split(" ")[0] for text in texts for c in text if c.isalpha()}) > 8
    for text, ours in zip(texts, tokenizer.encode_batch(texts), strict=True):
        assert [BOS, *ours.tolist(), EOS] == theirs(text)["input_ids"], text
    assert len(theirs) == tokenizer.vocab_size == 702
    assert theirs.mask_token_id == tokenizer.mask_token_id == 701
    special = (theirs.bos_token_id, theirs.pad_token_id, theirs.eos_token_id, theirs.unk_token_id)
    assert special == (BOS, PAD, EOS, UNK) == (0, 1, 2, 3)
    assert theirs.convert_ids_to_tokens(list(range(702))) == tokenizer.vocabulary


def test_ids_against_the_plain_way(trained: Path, tokenizer: Tokenizer, corpus: Path) -> None:
    texts = AWKWARD + all_texts(corpus)[::9]
    for text, ours in zip(texts, tokenizer.encode_batch(texts), strict=True):
        assert ours.dtype == np.int32
        assert ours.tolist() == plain_ids(trained, text)


def test_stream_is_the_batch_with_ends(tokenizer: Tokenizer) -> None:
    stream, lengths = tokenizer.encode_stream([text.encode() for text in AWKWARD])
    expected = [[*ids.tolist(), EOS] for ids in tokenizer.encode_batch(AWKWARD, threads=2)]
    assert stream.tolist() == [number for ids in expected for number in ids]
    assert lengths.tolist() == [len(ids) for ids in expected]
    assert [len(part) for part in tokenizer.encode_stream([])] == [0, 0]
    assert tokenizer.encode_batch([]) == []


def test_unknown_characters_are_unk_and_nothing_else(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("free 🦄 rights")
    assert ids.tolist().count(UNK) == 1
    assert tokenizer.tokens(ids)[ids.tolist().index(UNK)] == "<unk>"
    assert "⁇" in tokenizer.decode(ids)


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="abcdefghilmnoprstu éüаеиоנ,.自由人", max_size=60))
def test_decode_gives_the_text_back(tokenizer: Tokenizer, text: str) -> None:
    known = "".join(c for c in text if c == " " or UNK not in tokenizer.encode(c).tolist())
    assert tokenizer.decode(tokenizer.encode(known)) == " ".join(known.split())


def test_special_ids_are_left_out_of_text(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("human rights").tolist()
    assert tokenizer.decode([BOS, *ids, EOS, EOS, PAD, tokenizer.mask_token_id]) == "human rights"
    assert tokenizer.tokens([BOS, PAD, EOS, UNK, tokenizer.mask_token_id]) == [
        "<s>",
        "<pad>",
        "</s>",
        "<unk>",
        "<mask>",
    ]
    with pytest.raises(ValueError, match="ids must be in"):
        tokenizer.decode([tokenizer.vocab_size])


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="ab éＡﬁ½自🦄\t\u3000\u0301", max_size=30))
def test_offsets_cover_the_inked_characters(tokenizer: Tokenizer, text: str) -> None:
    ids, spans = tokenizer.encode_with_offsets(text)
    assert ids.tolist() == tokenizer.encode(text).tolist()
    assert spans.shape == (len(ids), 2)
    assert (spans[:, 0] <= spans[:, 1]).all()
    assert (np.diff(spans[:, 1]) >= 0).all()
    for start, end in spans.tolist():
        assert not text[start:end][:1].isspace()
    # What normalisation deletes or joins aside, every letter is under some piece.
    covered = {place for start, end in spans.tolist() for place in range(start, end)}
    assert {place for place, c in enumerate(text) if c in "ab自"} <= covered


def test_offsets_of_a_sentence(tokenizer: Tokenizer) -> None:
    text = "Tous les  êtres"
    _, spans = tokenizer.encode_with_offsets(text)
    assert "".join(text[start:end] for start, end in spans.tolist()) == "Touslesêtres"


def test_words_begin_where_white_space_ends(tokenizer: Tokenizer, corpus: Path) -> None:
    for text in all_texts(corpus):
        assert tokenizer.begins_word[tokenizer.encode(text)].sum() == len(text.split())


def test_a_tokenizer_travels_to_workers(tokenizer: Tokenizer) -> None:
    twin = pickle.loads(pickle.dumps(tokenizer))
    assert twin.encode("freedom of thought").tolist() == tokenizer.encode("freedom of thought").tolist()


def test_what_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(XlmrError, match=r"neither sentencepiece\.bpe\.model nor tokenizer\.json"):
        load_tokenizer(tmp_path)
    (tmp_path / "broken.model").write_bytes(b"not a model")
    with pytest.raises(XlmrError, match=r"broken\.model: not a SentencePiece model"):
        load_tokenizer(tmp_path / "broken.model")


@pytest.mark.parametrize(
    ("piece", "script"),
    [
        ("▁freedom", "Latin"),
        ("ство", "Cyrillic"),
        ("人权", "Han"),
        ("々", "Han"),
        ("ー", "Katakana"),
        ("▁권리", "Hangul"),
        ("▁2,", NO_SCRIPT),
        ("▁", NO_SCRIPT),
        ("अधि", "Devanagari"),
        ("3a", "Latin"),
        ("\u0301", NO_SCRIPT),
        ("สิทธิ", "Thai"),
    ],
)
def test_script_of_a_piece(piece: str, script: str) -> None:
    assert script_of(piece) == script


def test_scripts_add_up(tokenizer: Tokenizer) -> None:
    scripts = pieces_by_script(tokenizer)
    assert sum(scripts.values()) == tokenizer.vocab_size - 5
    assert {"Latin", "Cyrillic", "Han", "Thai", "Arabic", "Devanagari"} <= scripts.keys()


def test_segment_shows_pieces_and_ids(
    trained: Path, tokenizer: Tokenizer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    segment("human rights", model=trained)
    pieces, ids = capsys.readouterr().out.splitlines()
    assert pieces.replace(" ", "") == "▁human▁rights"
    assert [int(number) for number in ids.split()] == tokenizer.encode("human rights").tolist()
    (tmp_path / "three.txt").write_text("one\ntwo\nthree\n", encoding="utf-8")
    segment(str(tmp_path / "three.txt"), model=trained, lines=2)
    assert len(capsys.readouterr().out.splitlines()) == 4
