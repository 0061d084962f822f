"""Encoders as today's transformers saves them: tokenizer.json alone, added tokens, rows that no token has."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
import torch

from finetune.api import Predictor
from finetune.data.examples import TaskData
from finetune.heads.encoding import ENCODED, read_encoded
from finetune.stages import EncoderFolder, Encoders, Protocol, Recipe
from finetune.training.comparison import Comparison
from pipeline.context import Context
from pipeline.errors import XlmrError
from pretrain.config_file import read_config
from pretrain.folder import save_model
from pretrain.model import MaskedLanguageModel, ModelConfig
from tests.finetune.finetune_ranks import tiny_task
from tokenizer.folder import load_tokenizer
from tokenizer.hugging_face import write_files
from tokenizer.names import MODEL_FILE

RECIPE = Recipe(longest=24, batch=8, epochs=1, learning_rates=(1e-3,), dtype="fp32")
ONCE = Protocol(seeds=(1,), initialisations=("pretrained",), baselines=False)
VOCABULARY = Path(os.environ.get("XLMR_TEST_DATA", Path(__file__).parents[3] / "shared" / "data")) / "xlmr-vocabulary"
TEXT = "Insert a [FORMULA] or the name of the table, then  <click> OK."


def saved_by_transformers(export: Path, folder: Path, added: list[str], rows: int = 0) -> Any:
    """The encoder and its tokenizer as transformers writes them, with tokens added, and with ``rows`` more."""
    transformers = pytest.importorskip("transformers")
    write_files(export / MODEL_FILE, folder / "before")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "before")
    model = transformers.AutoModelForMaskedLM.from_pretrained(export)
    tokenizer.add_tokens(added)
    model.resize_token_embeddings(len(tokenizer) + rows)
    tokenizer.save_pretrained(folder / "theirs")
    model.save_pretrained(folder / "theirs")
    assert not (folder / "theirs" / MODEL_FILE).exists()
    return tokenizer


def compare(encoder: Path, output: Path, context_of: Callable[..., Context], task: TaskData | None = None) -> Path:
    Comparison(task or tiny_task("classification"), RECIPE, ONCE, Encoders(encoder)).run(output, context_of(output))
    return output / "model"


def agrees_with_transformers(folder: Path, text: str) -> list[int]:
    """Ids and logits of a fine-tuned folder are alike here and there; gives the ids."""
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    batch = tokenizer(text, return_tensors="pt")
    ours = Predictor(folder)
    ids: list[int] = [0, *load_tokenizer(folder).encode(text).tolist(), 2]
    assert batch["input_ids"][0].tolist() == ids
    with torch.no_grad():
        expected = theirs(**batch).logits
        torch.testing.assert_close(ours._loaded.model(batch["input_ids"], None), expected, rtol=1e-4, atol=1e-5)
    return ids


def test_a_folder_with_tokenizer_json_alone_and_added_tokens(
    export: Path, tmp_path: Path, context_of: Callable[..., Context]
) -> None:
    theirs = saved_by_transformers(export, tmp_path, ["[FORMULA]", "<click>"], rows=5)
    encoder = tmp_path / "theirs"
    files = {Path(path).name for path in EncoderFolder(folder=str(encoder)).files()}
    assert files == {"config.json", "model.safetensors", "tokenizer.json"}
    task = tiny_task("classification")
    for examples in task.train.values():
        examples[0] = replace(examples[0], text=TEXT)
    folder = compare(encoder, tmp_path / "out", context_of, task)

    size = read_config(export).vocab_size
    assert read_config(folder).vocab_size == size + 2 + 5, "rows that no token has are kept"
    ids = agrees_with_transformers(folder, TEXT)
    assert ids == theirs(TEXT)["input_ids"]
    assert {size, size + 1} <= set(ids)
    seen = np.concatenate([one.tokens for one in read_encoded(tmp_path / "out" / ENCODED).values()])
    assert {size, size + 1} <= set(seen.tolist()), "the training has seen the added tokens"


def test_a_tokenizer_that_cannot_be_written_is_refused_before_training(
    export: Path, tmp_path: Path, context_of: Callable[..., Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetune.training import run

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["the dog and the cat go home"] * 9), model_writer=model, vocab_size=9,
        model_type="word", minloglevel=2,
    )  # fmt: skip
    (tmp_path / "tokens.model").write_bytes(model.getvalue())
    save_model(
        MaskedLanguageModel(ModelConfig(11, 1, 8, 1, 8, max_position_embeddings=66)),
        tmp_path / "encoder", tmp_path / "tokens.model",
    )  # fmt: skip

    def never(*_: object) -> None:
        pytest.fail("an encoder is loaded")

    monkeypatch.setattr(run, "starting_encoder", never)
    with pytest.raises(
        XlmrError, match=r"encoder/sentencepiece\.bpe\.model: a model of the kind word has no equivalent"
    ):
        compare(tmp_path / "encoder", tmp_path / "out", context_of)
    assert not (tmp_path / "out" / ENCODED).exists()


@pytest.mark.slow
@pytest.mark.skipif(not VOCABULARY.is_dir(), reason="there is no xlmr-vocabulary/ beside the other test data")
def test_fine_tuning_with_the_published_vocabulary_ends_with_a_folder(
    tmp_path: Path, context_of: Callable[..., Context]
) -> None:
    config = ModelConfig(
        250_002,
        num_hidden_layers=1,
        hidden_size=16,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=66,
    )
    save_model(MaskedLanguageModel(config), tmp_path / "encoder", next(VOCABULARY.rglob(MODEL_FILE)))
    folder = compare(tmp_path / "encoder", tmp_path / "out", context_of)
    assert agrees_with_transformers(folder, "Hello world!") == [0, 35378, 8999, 38, 2]
