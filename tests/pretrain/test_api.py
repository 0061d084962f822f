"""Vectors of texts: those of transformers, whatever the batch; docstrings and the page have their examples run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel

import pretrain
from tests.pretrain.small_model import SENTENCE, write_model

TEXTS = [SENTENCE, "the dog", "", "over the fox jumps the lazy dog the quick brown fox", "dog " * 200]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> pretrain.PretrainedModel:
    return pretrain.load(write_model(tmp_path_factory.mktemp("model") / "model"))


def test_vectors_are_those_of_transformers(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model")
    theirs = AutoModel.from_pretrained(folder, add_pooling_layer=False).eval()
    loaded = pretrain.load(folder)
    for text, found in zip(TEXTS, loaded.encode_tokens(TEXTS), strict=True):
        ids = [0, *loaded.tokenizer.encode(text).tolist()[: loaded.max_sequence_length - 2], 2]
        with torch.no_grad():
            expected = theirs(torch.tensor([ids])).last_hidden_state[0].numpy()
        assert found.shape == (len(ids), loaded.hidden_size)
        assert np.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_a_vector_does_not_depend_on_its_batch(model: pretrain.PretrainedModel, pooling) -> None:
    batched = model.encode(TEXTS, pooling=pooling)
    alone = np.concatenate([model.encode([text], pooling=pooling) for text in TEXTS])
    assert batched.shape == (len(TEXTS), model.hidden_size)
    assert batched.dtype == np.float32
    assert np.allclose(batched, alone, atol=1e-5)
    assert np.allclose(batched, model.encode(TEXTS, pooling=pooling, batch_size=2), atol=1e-5)


def test_no_texts_have_no_vectors(model: pretrain.PretrainedModel) -> None:
    assert model.encode([]).shape == (0, model.hidden_size)


def test_nothing_heavy_is_imported_by_the_package() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        pretrain.nothing  # noqa: B018
