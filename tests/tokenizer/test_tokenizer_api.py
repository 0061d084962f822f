"""The public Python API: ``tokenizer.load`` and the methods of what it returns. The docstrings' examples are run."""

from __future__ import annotations

import doctest
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import tokenizer
from pipeline.errors import XlmrError
from tests.tokenizer.small_vocabulary import write_vocabulary
from tokenizer import folder, pieces
from tokenizer.pieces import Tokenizer

TEXTS = ["human rights", "", "Tous les êtres humains", "🦄"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``vocabulary/``."""
    home = tmp_path_factory.mktemp("home")
    write_vocabulary(home / "vocabulary")
    return home


@pytest.fixture
def vocabulary(home: Path) -> Tokenizer:
    return tokenizer.load(home / "vocabulary")


@pytest.mark.parametrize("module", [folder, pieces])
def test_examples_of_docstrings(
    module: object, home: Path, vocabulary: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    found = doctest.testmod(module, extraglobs={"vocabulary": vocabulary})  # type: ignore[arg-type]
    assert found.attempted
    assert not found.failed


def test_a_folder_its_model_and_its_json_are_one_tokenizer(home: Path) -> None:
    paths = ("", "sentencepiece.bpe.model", "tokenizer.json")
    loaded = [tokenizer.load(str(home / "vocabulary" / path)) for path in paths]
    assert all(isinstance(one, tokenizer.Tokenizer) for one in loaded)
    first, *others = [[ids.tolist() for ids in one.encode_batch(tuple(TEXTS))] for one in loaded]
    assert all(ids == first for ids in others)


def test_it_reads_what_transformers_writes_and_gives_its_ids(home: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(str(home / "vocabulary"))
    theirs.add_tokens(["<br>"])
    theirs.save_pretrained(str(tmp_path / "theirs"))
    ours = tokenizer.load(tmp_path / "theirs")
    texts = [*TEXTS, "human<br>rights"]
    expected = theirs(texts)["input_ids"]
    assert [ids.tolist() for ids in ours.encode_batch(texts, add_special_tokens=True)] == expected
    assert ours.encode_arrow(pa.array(texts), add_special_tokens=True).to_pylist() == expected
    assert ours.encode(texts[-1], add_special_tokens=True).tolist() == expected[-1]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_columns_of_arrow(kind: pa.DataType, vocabulary: Tokenizer) -> None:
    texts = [None, *TEXTS, None]
    column = vocabulary.encode_arrow(pa.array(texts, kind))
    assert column.type == pa.list_(pa.int32())
    assert column.to_pylist() == [None if text is None else vocabulary.encode(text).tolist() for text in texts]
    parts = pa.chunked_array([pa.array(texts[:2], kind), pa.array([], kind), pa.array(texts[2:], kind)])
    assert vocabulary.encode_arrow(parts) == column
    assert vocabulary.encode_arrow(pa.array(texts, kind)[1:3]).to_pylist() == column.to_pylist()[1:3]
    assert vocabulary.decode_batch(column.drop_null())[:3] == TEXTS[:3]


@pytest.mark.parametrize("texts", [[], [None, None]])
def test_columns_without_text(texts: list[None], vocabulary: Tokenizer) -> None:
    assert vocabulary.encode_arrow(pa.array(texts, pa.string())).to_pylist() == texts


def test_a_column_of_something_else_is_refused(vocabulary: Tokenizer) -> None:
    with pytest.raises(TypeError, match="a column of texts is encoded, got int64"):
        vocabulary.encode_arrow(pa.array([1]))


def test_ids_of_special_tokens(vocabulary: Tokenizer) -> None:
    ids = [vocabulary.bos_token_id, vocabulary.pad_token_id, vocabulary.eos_token_id, vocabulary.unk_token_id]
    assert vocabulary.tokens(ids) == ["<s>", "<pad>", "</s>", "<unk>"]
    assert np.concatenate(vocabulary.encode_batch(TEXTS)).dtype == np.int32


def test_what_is_no_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(XlmrError, match="no such file"):
        tokenizer.load(tmp_path / "nothing.model")
    with pytest.raises(AttributeError, match="'tokenizer' has no attribute 'lod'"):
        tokenizer.lod  # noqa: B018


def test_the_import_alone_loads_nothing() -> None:
    code = "import sys, tokenizer; print({'numpy', 'sentencepiece', 'pyarrow'} & sys.modules.keys())"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
