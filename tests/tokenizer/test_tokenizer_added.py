"""Added tokens: of folders that transformers saved, in random text, and through all stages."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tokenizer.transformers_tokenizers import TEXTS
from tokenizer.folder import load_tokenizer
from tokenizer.hugging_face import check_exportable, write_files
from tokenizer.names import MODEL_FILE

tokenizers = pytest.importorskip("tokenizers")
transformers = pytest.importorskip("transformers")


def test_saved_there_read_here(saved: Path, trained: Path) -> None:
    ours, theirs = load_tokenizer(saved), transformers.AutoTokenizer.from_pretrained(str(saved))
    assert ours.vocab_size == len(theirs) == 708
    assert (ours.mask_token_id, ours.vocabulary[702:]) == (701, ["<new>", "doc", "Ｘ１", "<l>", "<r>", "<ctl>"])
    assert ours.vocabulary[:702] == load_tokenizer(trained).vocabulary
    # Marks that their own normaliser loses aside, for which the model is the reference.
    texts = [text for text in TEXTS if "\u0301" not in text]
    found = [theirs(text, add_special_tokens=False)["input_ids"] for text in texts]
    assert [ids.tolist() for ids in ours.encode_batch(texts)] == found


def test_written_here_loaded_there(saved: Path, tmp_path: Path) -> None:
    ours = load_tokenizer(saved)
    check_exportable(ours)
    write_files(saved, tmp_path, model_max_length=512)
    theirs = transformers.AutoTokenizer.from_pretrained(str(tmp_path))
    again = load_tokenizer(tmp_path)
    for text in TEXTS:
        expected = ours.encode(text).tolist()
        assert theirs(text, add_special_tokens=False)["input_ids"] == expected, text
        assert again.encode(text).tolist() == expected
    assert "<ctl>" in theirs.all_special_tokens
    assert (len(theirs), theirs.model_max_length) == (708, 512)


def test_all_ways_to_encode_know_added_tokens(saved: Path) -> None:
    ours = load_tokenizer(saved)
    for text in TEXTS:
        ids, spans = ours.encode_with_offsets(text)
        stream, lengths = ours.encode_stream([text.encode()])
        assert ids.tolist() == ours.encode(text).tolist() == stream.tolist()[:-1]
        assert lengths.tolist() == [len(ids) + 1]
        for number, (start, end) in zip(ids.tolist(), spans.tolist(), strict=True):
            if number > ours.mask_token_id and ours.vocabulary[number] != "Ｘ１":
                assert text[start:end].strip() == ours.vocabulary[number]
    assert ours.decode(ours.encode("born <new> and free")) == "born <new> and free"


ADDED = ("<new>", "doc", "Ｘ１", "the", "e\u0301", "ab", "abc", "人", "a b", "ﬁ")
AROUND = ("", " ", "  ", "\n", "right", "x", "é", "e\u0301", "X1", "\u3000", "_", "½", ".", "\u0301", "fi", "权")


@settings(max_examples=25)
@given(data=st.data())
def test_every_flag_of_added_tokens(trained: Path, tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    """Random tokens with random flags in random text: as tokenizers finds them."""
    flags = st.fixed_dictionaries(
        {name: st.booleans() for name in ("single_word", "lstrip", "rstrip", "normalized", "special")}
    )
    backend = tokenizers.Tokenizer.from_file(str(trained / "tokenizer.json"))
    for content in data.draw(st.lists(st.sampled_from(ADDED), min_size=1, max_size=5, unique=True)):
        token = tokenizers.AddedToken(content, **data.draw(flags))
        (backend.add_special_tokens if token.special else backend.add_tokens)([token])
    file = tmp_path_factory.getbasetemp() / "flags.json"
    backend.save(str(file))
    ours = load_tokenizer(file)
    texts = data.draw(st.lists(st.lists(st.sampled_from(ADDED + AROUND), max_size=8).map("".join), max_size=30))
    assert [ids.tolist() for ids in ours.encode_batch(texts)] == their_ids_plain(backend, texts)


def their_ids_plain(backend: Any, texts: list[str]) -> list[list[int]]:
    """Special tokens looked for, too."""
    return [found.ids for found in backend.encode_batch(texts, add_special_tokens=False)]


def test_a_slow_tokenizers_files(trained: Path, tmp_path: Path) -> None:
    """transformers 4 wrote the model file and added_tokens.json, or tokenizer_config.json with the tokens in it."""
    shutil.copy(trained / MODEL_FILE, tmp_path)
    (tmp_path / "added_tokens.json").write_text(json.dumps({"<mask>": 701, "<new>": 702}))
    assert load_tokenizer(tmp_path).encode("a<new>").tolist()[-1] == 702
    decoder = {"701": {"content": "<mask>", "lstrip": True}, "702": {"content": "<other>", "normalized": False}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": decoder}))
    assert load_tokenizer(tmp_path).vocabulary[702:] == ["<other>"]


def test_an_existing_folder_with_added_tokens(
    saved: Path, corpus: Path, run_stage: Any, write_corpus: Any, tmp_path: Path
) -> None:
    """They are in the encoded sequences and in the folder that is written."""
    existing = {"existing": {"model": str(saved)}}
    run_stage("tokenizer.sample", existing, {"corpus.regroup": corpus}, tmp_path / "sample")
    counts, _ = run_stage("tokenizer.train", existing, {"tokenizer.sample": tmp_path / "sample"}, tmp_path / "train")
    assert counts["vocab_size"] == 708
    theirs = transformers.AutoTokenizer.from_pretrained(str(tmp_path / "train"))
    assert theirs("a <new> b")["input_ids"] == [0, *load_tokenizer(saved).encode("a <new> b").tolist(), 2]
    texts = write_corpus(tmp_path / "corpus", {"en": {"all": ["human rights <new> and dignity", "born <new> free"]}})
    inputs = {"corpus.regroup": texts, "tokenizer.train": tmp_path / "train"}
    run_stage("tokenizer.encode", {"encode": {"sequence_length": 8}}, inputs, tmp_path / "encode")
    listing = json.loads((tmp_path / "encode" / "sequences.json").read_bytes())
    assert (listing["vocab_size"], listing["mask_token_id"]) == (708, 701)
    ids = np.concatenate([np.fromfile(file, np.uint16) for file in sorted((tmp_path / "encode" / "en").glob("*.bin"))])
    assert np.count_nonzero(ids == 702) == 2
