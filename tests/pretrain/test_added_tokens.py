"""Tokens that were added behind <mask>: masked, guessed, trained and written; folders as transformers 5 saves them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_start import NEVER, model_folder, other_tokenizer
from tiny_tokenizer import encoded_with, make_tokenizer
from tiny_training import last_weights, tiny_config, train_into

from pretrain.api import load
from pretrain.conversion import files_of
from pretrain.data.masking import MaskedVocabulary, Masker
from pretrain.export import run as export
from pretrain.folder import TOKENIZER_MODEL, load_model, read_config
from pretrain.loop import FIRST_BATCH
from pretrain.model import ModelConfig, build
from pretrain.stages import ExportConfig
from pretrain.start import read_start
from tokenizer.folder import load_tokenizer
from tokenizer.hugging_face import write_tokenizer

ADDED = ["[FORMULA]", "cat go"]
MASK = 61
TEXT = "the [FORMULA] and the cat go home"


def saved_by_transformers(folder: Path, rows: int = 0) -> Path:
    """A model of 62 tokens to which two are added, and ``rows`` rows more: config, weights and tokenizer.json alone."""
    transformers = pytest.importorskip("transformers")
    before = model_folder(folder / "before", make_tokenizer(folder / "tokenizer"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(before)
    model = transformers.AutoModelForMaskedLM.from_pretrained(before)
    tokenizer.add_tokens(ADDED)
    model.resize_token_embeddings(len(tokenizer) + rows)
    tokenizer.save_pretrained(folder / "theirs")
    model.save_pretrained(folder / "theirs")
    return folder / "theirs"


def test_any_token_but_mask_is_masked_and_put_in_place_of_others() -> None:
    sequences = np.random.default_rng(1).integers(4, 44, (400, 64))
    sequences[sequences == 41] = 43
    vocabulary = MaskedVocabulary(44, 41)
    batch = Masker(vocabulary, 0.5, 1).mask(sequences, 0, np.arange(len(sequences)))
    assert set(batch.labels.tolist()) == {*range(4, 44)} - {41}
    seen = batch.ids[batch.rows, batch.columns]
    assert np.mean(seen == 41) == pytest.approx(0.8, abs=0.02)
    put = seen[(seen != 41) & (seen != batch.labels)]
    assert set(put.tolist()) == {*range(4, 44)} - {41}
    plain = Masker(MaskedVocabulary.plain(42), 0.5, 1).mask(sequences % 41, 0, np.arange(len(sequences)))
    assert plain.ids.max() == 41


def test_training_and_export_with_added_tokens(tmp_path: Path, make_context: Any) -> None:
    transformers = pytest.importorskip("transformers")
    folder = saved_by_transformers(tmp_path)
    assert {Path(path).name for path in files_of(folder)} == {"config.json", "model.safetensors", "tokenizer.json"}
    tokenizer = tmp_path / "taken"  # as tokenizer.train writes what tokenizer.existing.model names
    write_tokenizer(load_tokenizer(folder), tokenizer)
    sequences = encoded_with(tmp_path / "sequences", tokenizer)
    listing = json.loads((sequences / "sequences.json").read_text())
    (sequences / "sequences.json").write_text(json.dumps(listing | {"vocab_size": 64, "mask_token_id": MASK}))
    config = tiny_config(steps=1, init_from=str(folder), **NEVER)
    counts, _ = train_into(tmp_path / "run", sequences, make_context, config, **{"tokenizer.train": tokenizer})
    assert (counts["tokens_taken"], counts["tokens_composed"], counts["tokens_new"]) == (64, 0, 0)
    before, after = dict(load_model(folder).named_parameters()), last_weights(tmp_path / "run")
    assert all(torch.allclose(tensor, after[name], rtol=0, atol=1e-20) for name, tensor in before.items())
    assert "<mask>" not in (tmp_path / "run" / FIRST_BATCH).read_text()

    inputs = {"pretrain.train": tmp_path / "run", "tokenizer.train": tokenizer}
    export(ExportConfig(), inputs, tmp_path / "export", make_context(tmp_path / "export"))
    tokens = transformers.AutoTokenizer.from_pretrained(tmp_path / "export")
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "export").eval()
    assert (len(tokens), theirs.config.vocab_size, tokens.mask_token_id) == (64, 64, MASK)
    batch = tokens(TEXT, return_tensors="pt")
    ids = batch["input_ids"][0].tolist()
    assert ids == [0, *load_tokenizer(tmp_path / "export").encode(TEXT).tolist(), 2]
    assert {62, 63} <= set(ids)
    with torch.no_grad():
        torch.testing.assert_close(load_model(tmp_path / "export")(batch["input_ids"]), theirs(**batch).logits)


def test_masks_are_filled_by_a_folder_of_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    folder = saved_by_transformers(tmp_path, rows=6)
    (guesses,) = load(folder).fill_mask("the [FORMULA] and <mask> cat go home", 63)
    found = dict(guesses)
    assert len(found) == 63
    assert "[FORMULA]" in found
    assert "<mask>" not in found
    tokens = transformers.AutoTokenizer.from_pretrained(folder)
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(folder).eval()
    batch = tokens("the [FORMULA] and <mask> cat go home", return_tensors="pt")
    place = batch["input_ids"][0].tolist().index(tokens.mask_token_id)
    with torch.no_grad():
        scores = theirs(**batch).logits[0, place, :64]
    scores[MASK] = -torch.inf
    expected = scores.softmax(-1)
    names = tokens.convert_ids_to_tokens(range(64))
    assert found == pytest.approx({names[n]: float(expected[n]) for n in range(64) if n != MASK}, rel=1e-3, abs=1e-6)


def test_added_tokens_keep_their_rows_in_another_vocabulary(tmp_path: Path) -> None:
    folder = saved_by_transformers(tmp_path)
    new = tmp_path / "new"
    plain = load_tokenizer(other_tokenizer(tmp_path / "other") / TOKENIZER_MODEL)
    added = load_tokenizer(folder).added.tokens
    moved = [token.model_copy(update={"id": plain.mask_token_id + 1 + n}) for n, token in enumerate(reversed(added))]
    write_tokenizer(type(plain)(plain.processor, plain.model, moved), new)
    config = read_config(folder)
    architecture = ModelConfig(**{**config.__dict__, "vocab_size": plain.vocab_size + 2})
    begun = read_start(folder, architecture, new)
    table = {name: make() for name, make in begun.values(build(architecture), seed=3)}[
        "encoder.embeddings.tokens.weight"
    ]
    old = load_model(folder).encoder.embeddings.tokens.weight
    assert torch.equal(table[plain.mask_token_id], old[MASK])
    assert torch.equal(table[plain.mask_token_id + 1], old[63])
    assert torch.equal(table[plain.mask_token_id + 2], old[62])
