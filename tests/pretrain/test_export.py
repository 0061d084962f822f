"""Export: the trained weights and the whole tokenizer, as Hugging Face reads them; and vocabularies that do not fit."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tiny_corpus import write_sequences
from tiny_tokenizer import encoded_with, make_tokenizer
from tiny_training import last_weights, tiny_config, train_into

from pipeline.errors import XlmrError
from pipeline.manifest import Manifest
from pretrain.export import run as export
from pretrain.folder import load_model
from pretrain.stages import ExportConfig

WORDS = ("the", "dog", "and", "cat", "go", "home", "now", "der", "Hund", "und", "die", "Katze")


def make_manifest(folder: Path, **values: Any) -> Manifest:
    """A manifest in ``folder`` with nothing in it but ``values``."""
    empty: dict[str, Any] = {name: {} for name in ("config", "inputs", "outside", "counts", "files")}
    stage, build = folder.parent.name, "b" * 32
    made = Manifest(
        **{**empty, "stage": stage, "version": 1, "key": folder.name * 8, "build": build, "started": "2026", **values},
        seconds=0.0,
        peak_memory_bytes=0,
    )
    folder.mkdir(parents=True, exist_ok=True)
    made.write(folder)
    return made


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    return make_tokenizer(tmp_path / "tokenizer")


def test_the_folder_is_a_whole_model(tmp_path: Path, tokenizer: Path, make_context: Any) -> None:
    transformers = pytest.importorskip("transformers")
    trained, output = tmp_path / "run", tmp_path / "export"
    sequences = encoded_with(tmp_path / "sequences", tokenizer)
    train_into(trained, sequences, make_context, tiny_config(steps=5), **{"tokenizer.train": tokenizer})
    inputs = {"pretrain.train": trained, "tokenizer.train": tokenizer}
    counts = export(ExportConfig(), inputs, output, make_context(output))
    assert counts["steps"] == 5
    weights = last_weights(trained)
    ours = load_model(output)
    for name, tensor in ours.named_parameters():
        assert torch.equal(tensor, weights[name]), name

    tokens = transformers.AutoTokenizer.from_pretrained(str(output))
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(str(output)).eval()
    assert (len(tokens), theirs.config.vocab_size, tokens.model_max_length) == (62, 62, 16)
    batch = tokens("the dog and the <mask>", "go home now " * 9, truncation=True, return_tensors="pt")
    assert batch["input_ids"].shape == (1, 16)
    assert tokens.mask_token_id in batch["input_ids"]
    with torch.no_grad():
        expected = ours(batch["input_ids"]).reshape(1, 16, -1)
        assert torch.allclose(theirs(**batch).logits, expected, atol=1e-5)


def test_the_card_says_what_manifests_and_metrics_say(tmp_path: Path, tokenizer: Path, make_context: Any) -> None:
    run, output = tmp_path / "run", tmp_path / "export"
    trained = run / "pretrain.train" / "0badcafe"
    config = tiny_config(steps=5)
    train_into(trained, encoded_with(tmp_path / "s", tokenizer), make_context, config, **{"tokenizer.train": tokenizer})
    encoded = make_manifest(
        run / "tokenizer.encode" / "12345678",
        config={"encode": {"sequence_length": 16}},
        counts={"train": {"documents": 40, "tokens": 1234}},
    )
    made = {"tokenizer.encode": {"key": encoded.key, "build": encoded.build}}
    settings = {"train": {"steps": 5, "init_from": "/home/me/xlmr.base"}, "data": {"mixing": "alpha", "alpha": 0.7}}
    make_manifest(trained, config=settings, counts={}, inputs=made, git_commit="1a2b3c4")
    export(ExportConfig(), {"pretrain.train": trained, "tokenizer.train": tokenizer}, output, make_context(output))
    text = (output / "README.md").read_text()
    _, head, card = text.split("---\n", 2)
    assert yaml.safe_load(head)["library_name"] == "transformers"
    assert yaml.safe_load(head)["language"] == ["aa", "bb"]
    for words in (
        "2 languages", "Trained for 5 steps", "1,234 tokens for training, in sequences of 16", "to the power 0.7",
        "continued from the weights of xlmr.base", "at commit 1a2b3c4", "| `steps` | 5 |", "| vocabulary | 62 |",
    ):  # fmt: skip
        assert words in card
    assert "/home/me" not in text
    encoded_again = dataclasses.replace(encoded, build="other")
    encoded_again.write(run / "tokenizer.encode" / "12345678")
    export(ExportConfig(), {"pretrain.train": trained, "tokenizer.train": tokenizer}, output, make_context(output))
    assert "tokens for training" not in (output / "README.md").read_text(), "another build says nothing of this model"


def test_a_tokenizer_that_is_not_whole_or_of_another_size(tmp_path: Path, tokenizer: Path, make_context: Any) -> None:
    trained, output = tmp_path / "run", tmp_path / "export"
    inputs = {"pretrain.train": trained, "tokenizer.train": tokenizer}
    train_into(trained, write_sequences(tmp_path / "s", {"aa": 40}, vocabulary=61), make_context, tiny_config(steps=1))
    with pytest.raises(XlmrError, match="has 62 tokens, the model was trained on 61"):
        export(ExportConfig(), inputs, output, make_context(output))
    (tokenizer / "tokenizer.json").unlink()
    with pytest.raises(XlmrError, match=r"tokenizer\.json: no such file"):
        export(ExportConfig(), inputs, output, make_context(output))
    assert not (output / "model.safetensors").exists()


def test_files_that_the_export_needs_are_asked_for_before_training(
    tmp_path: Path, tokenizer: Path, make_context: Any
) -> None:
    sequences, inputs = encoded_with(tmp_path / "sequences", tokenizer), {"tokenizer.train": tokenizer}
    (tokenizer / "tokenizer_config.json").write_text("[]")
    with pytest.raises(XlmrError, match=r"tokenizer_config\.json: input should be .*; run tokenizer\.train again"):
        train_into(tmp_path / "run", sequences, make_context, tiny_config(steps=1), **inputs)
    (tokenizer / "tokenizer_config.json").unlink()
    with pytest.raises(XlmrError, match=r"tokenizer_config\.json: no such file; run tokenizer\.train again"):
        train_into(tmp_path / "run", sequences, make_context, tiny_config(steps=1), **inputs)
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_sequences_of_another_vocabulary_of_the_same_size_are_refused(
    tmp_path: Path, tokenizer: Path, make_context: Any
) -> None:
    other = make_tokenizer(tmp_path / "other", seed=1)
    sequences = encoded_with(tmp_path / "sequences", tokenizer)
    with pytest.raises(XlmrError, match=r"sequences: encoded with another vocabulary than .*other") as error:
        train_into(tmp_path / "run", sequences, make_context, tiny_config(steps=1), **{"tokenizer.train": other})
    assert "\n" not in str(error.value)


def test_a_checkpoint_of_another_vocabulary_of_the_same_size_is_refused(
    tmp_path: Path, tokenizer: Path, make_context: Any
) -> None:
    other = make_tokenizer(tmp_path / "other", seed=1)
    train_into(tmp_path / "run", encoded_with(tmp_path / "a", tokenizer), make_context, tiny_config(steps=5))
    with pytest.raises(XlmrError, match="trained on another vocabulary of 62 tokens than that of the sequences"):
        train_into(tmp_path / "run", encoded_with(tmp_path / "b", other), make_context, tiny_config(steps=10))
