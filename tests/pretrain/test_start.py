"""Going on from a model that is there: the same weights, the same vocabulary or another, and what does not fit."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tiny_tokenizer import encoded_with, make_tokenizer
from tiny_training import last_weights, losses_of, tiny_config, train_into

from pipeline.errors import XlmrError
from pretrain import start
from pretrain.cost.workload import of_config
from pretrain.export import run as export
from pretrain.folder import TOKENIZER_MODEL, load_model, read_config, save_model
from pretrain.model import MaskedLanguageModel, ModelConfig, build, initial_values
from pretrain.settings import PretrainConfig, TrainSettings
from pretrain.stages import PACKAGE, ExportConfig
from pretrain.start import FIRST, InitRows, check_architecture, read_start, rows_between, spell
from pretrain.tokenizer_files import copy_tokenizer
from pretrain.tracking.metrics import read_metrics
from tokenizer.folder import load_tokenizer

ROOT = Path(__file__).parents[2]
NEVER = {"peak_learning_rate": 1e-30, "weight_decay": 0.0}
"""A training that changes nothing."""


def model_folder(folder: Path, tokenizer: Path, rows: int = 62, **values: Any) -> Path:
    """An untrained model with a tokenizer, as pretrain.export writes it."""
    torch.manual_seed(5)
    shape = {
        "num_hidden_layers": 2,
        "hidden_size": 32,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 18,
    } | values
    model = MaskedLanguageModel(ModelConfig(vocab_size=rows, **shape))
    with torch.no_grad():
        model.head.bias.normal_()
    save_model(model, folder, tokenizer / TOKENIZER_MODEL)
    copy_tokenizer(tokenizer, folder, 16)
    return folder


def other_tokenizer(folder: Path) -> Path:
    """Of other words, some of them new, some spelt with the same letters."""
    text = ["the dog and a hen go out", "a god and the hound got hot", "and then they hunt", "die Hunde heute"] * 20
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text), model_writer=model, vocab_size=60, minloglevel=2, num_threads=1,
        hard_vocab_limit=False,
    )  # fmt: skip
    folder.mkdir()
    (folder / TOKENIZER_MODEL).write_bytes(model.getvalue())
    return folder


def rows_of(folder: Path) -> dict[str, torch.Tensor]:
    """Token -> its row of the table."""
    tokens = sentencepiece.SentencePieceProcessor(model_file=str(folder / TOKENIZER_MODEL))
    table = load_model(folder).encoder.embeddings.tokens.weight.detach()
    return {tokens.id_to_piece(n): table[n + 1] for n in range(3, tokens.get_piece_size())}


def test_training_begins_with_the_weights_of_the_folder(tmp_path: Path, make_context: Any) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = make_tokenizer(tmp_path / "tokenizer")
    folder = model_folder(tmp_path / "model", tokenizer)
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(str(folder))  # written once more by Hugging Face
    theirs.save_pretrained(tmp_path / "theirs", safe_serialization=True)
    (tmp_path / "theirs" / TOKENIZER_MODEL).write_bytes((folder / TOKENIZER_MODEL).read_bytes())
    config = tiny_config(steps=1, init_from=str(tmp_path / "theirs"), **NEVER)
    sequences = encoded_with(tmp_path / "sequences", tokenizer)
    counts, _ = train_into(tmp_path / "run", sequences, make_context, config, **{"tokenizer.train": tokenizer})
    before, after = dict(load_model(folder).named_parameters()), last_weights(tmp_path / "run")
    for name, tensor in before.items():
        assert torch.allclose(tensor, after[name], rtol=0, atol=1e-20), name
    assert (counts["tokens_taken"], counts["tokens_composed"], counts["tokens_new"]) == (62, 0, 0)
    first, last = [r for r in read_metrics(tmp_path / "run/metrics.jsonl") if "validation_loss" in r]
    assert (first["step"], last["step"]) == (0, 1)
    assert first["validation_loss"] == last["validation_loss"]


def test_the_epsilon_of_the_model_is_kept(tmp_path: Path, make_context: Any) -> None:
    tokenizer = make_tokenizer(tmp_path / "tokenizer")
    folder = model_folder(tmp_path / "model", tokenizer, layer_norm_eps=1e-12)
    sequences, inputs = encoded_with(tmp_path / "sequences", tokenizer), {"tokenizer.train": tokenizer}
    train_into(tmp_path / "run", sequences, make_context, tiny_config(steps=1, init_from=str(folder)), **inputs)
    train_into(tmp_path / "run", sequences, make_context, tiny_config(steps=2, init_from=str(folder)), **inputs)
    export(
        ExportConfig(), inputs | {"pretrain.train": tmp_path / "run"}, tmp_path / "out", make_context(tmp_path / "out")
    )
    assert read_config(tmp_path / "out").layer_norm_eps == 1e-12


def test_interrupted_training_goes_on_from_its_checkpoint(tmp_path: Path, make_context: Any) -> None:
    tokenizer = make_tokenizer(tmp_path / "tokenizer")
    sequences = encoded_with(tmp_path / "sequences", tokenizer)
    settings = {"init_from": str(model_folder(tmp_path / "model", tokenizer)), "warmup_steps": 0}
    inputs = {"tokenizer.train": tokenizer}
    train_into(tmp_path / "whole", sequences, make_context, tiny_config(steps=20, **settings), **inputs)
    half = tiny_config(steps=20, **settings)
    with pytest.MonkeyPatch.context() as patch:
        from pretrain.loop import Training

        real = Training._step

        def stops(self: Training, prepared: Any) -> Any:
            if prepared.step == 12:
                raise KeyboardInterrupt
            return real(self, prepared)

        patch.setattr(Training, "_step", stops)
        with pytest.raises(KeyboardInterrupt):
            train_into(tmp_path / "run", sequences, make_context, half, **inputs)
    train_into(tmp_path / "run", sequences, make_context, half, **inputs)
    assert losses_of(tmp_path / "run") == losses_of(tmp_path / "whole")
    whole = last_weights(tmp_path / "whole")
    assert all(torch.equal(tensor, whole[name]) for name, tensor in last_weights(tmp_path / "run").items())
    measured = [r["step"] for r in read_metrics(tmp_path / "run/metrics.jsonl") if "validation_loss" in r]
    assert measured == [0, 10, 20], "the model that is gone on from is measured once"


def test_another_vocabulary_takes_the_rows_it_can(tmp_path: Path) -> None:
    old, new = make_tokenizer(tmp_path / "old"), other_tokenizer(tmp_path / "new")
    folder = model_folder(tmp_path / "model", old)
    architecture = ModelConfig(**{**read_config(folder).__dict__, "vocab_size": 99})  # rows of no token besides
    begun = read_start(folder, architecture, new)
    values = {name: make() for name, make in begun.values(build(architecture), seed=3)}
    table, bias = values["encoder.embeddings.tokens.weight"], values["head.bias"]
    known, tokens = rows_of(folder), sentencepiece.SentencePieceProcessor(model_file=str(new / TOKENIZER_MODEL))
    source = load_model(folder)
    old_table = source.encoder.embeddings.tokens.weight
    size = tokens.get_piece_size()
    shared = [n for n in range(3, size) if tokens.id_to_piece(n) in known]
    assert 10 < len(shared) < size - 10
    for n in shared:
        assert torch.equal(table[n + 1], known[tokens.id_to_piece(n)])
    for special in range(4):
        assert torch.equal(table[special], old_table[special])
    assert torch.equal(table[size + 1], old_table[61]), "<mask> is the last of both"
    composed = next(n for n in range(3, size) if tokens.id_to_piece(n) not in known and begun.rows.parts[n + 1] > 1)
    speller = sentencepiece.SentencePieceProcessor(model_file=str(old / TOKENIZER_MODEL))
    (parts,) = spell([tokens.id_to_piece(composed)], speller)
    expected = torch.stack([known[speller.id_to_piece(part)] for part in parts]).mean(0)
    assert torch.allclose(table[composed + 1], expected, atol=1e-6)
    assert torch.allclose(bias[composed + 1], source.head.bias[[part + 1 for part in parts]].mean(), atol=1e-6)
    fresh = dict(initial_values(build(architecture), 3))["encoder.embeddings.tokens.weight"]()
    assert torch.equal(table[size + 2 :], fresh[size + 2 :])
    counts = begun.counts()
    assert sum(counts.values()) == size + 2
    assert counts["tokens_taken"] >= len(shared) + 5


def test_tokens_are_spelt_as_they_stand() -> None:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["going home and doing nothing"] * 9 + ["ing and ing"]), model_writer=model,
        vocab_size=15, minloglevel=2, num_threads=1, character_coverage=1.0,
    )  # fmt: skip
    known = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    for token in ("▁going", "oing", "ing", "▁thing", "nd▁do"):
        (ids,) = spell([token], known)
        assert "".join(known.id_to_piece(ids)) == token, "a space where the token has one, and nowhere else"
    assert spell(["ж", "▁ж", "oж"], known)[0] == []
    assert spell(["oж"], known) == [[known.piece_to_id("o")]], "what is unknown is left out"


@given(st.lists(st.lists(st.integers(0, 9), max_size=4), min_size=1, max_size=8), st.integers(0, 3), st.integers(1, 9))
def test_rows_are_means(parts: list[list[int]], beyond: int, at_once: int) -> None:
    old = torch.arange(30, dtype=torch.float32).reshape(10, 3) ** 2
    flat = [number for one in parts for number in one]
    owners = [row for row, one in enumerate(parts) for _ in one]
    rows = InitRows(
        torch.tensor(flat, dtype=torch.int64).numpy(), torch.tensor(owners, dtype=torch.int64).numpy(), len(parts)
    )
    fresh = -torch.ones(len(parts) + beyond, 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(start, "AT_ONCE", at_once)
        made = rows.put(old, fresh.clone())
    plain = [old[one].mean(0) if one else fresh[0] for one in parts] + [fresh[0]] * beyond
    assert torch.allclose(made, torch.stack(plain), rtol=1e-6)


def test_bytes_and_specials_are_not_spelt(tmp_path: Path) -> None:
    old = load_tokenizer(make_tokenizer(tmp_path / "old"))
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["the dog and the cat go home now"] * 20), model_writer=model, vocab_size=300,
        byte_fallback=True, minloglevel=2, num_threads=1, hard_vocab_limit=False,
    )  # fmt: skip
    (tmp_path / "new.model").write_bytes(model.getvalue())
    new = load_tokenizer(tmp_path / "new.model")
    parts = rows_between(old, new).parts
    byte = [n + 1 for n in range(3, new.mask_token_id - 1) if new.processor.is_byte(n)]
    assert len(byte) == 256
    assert not parts[byte].any(), "<0x0A> is no text"
    assert (parts[:FIRST] == 1).all()


def test_what_does_not_fit_is_one_line(tmp_path: Path, make_context: Any) -> None:
    tokenizer = make_tokenizer(tmp_path / "tokenizer")
    wide = model_folder(tmp_path / "wide", tokenizer, hidden_size=64, num_hidden_layers=1)
    sequences = encoded_with(tmp_path / "sequences", tokenizer)
    config = tiny_config(steps=1, init_from=str(wide))
    with pytest.raises(
        XlmrError,
        match=r"config.json: the model to start from has num_hidden_layers 1, hidden_size 64; the settings say 2, 32; "
        r"set pretrain.model.num_hidden_layers, pretrain.model.hidden_size to that",
    ):
        train_into(tmp_path / "run", sequences, make_context, config, **{"tokenizer.train": tokenizer})
    small = model_folder(tmp_path / "small", tokenizer, rows=50)
    with pytest.raises(XlmrError, match="the tokenizer has 62 tokens, the model 50; they are not of one model"):
        read_start(small, read_config(small), tokenizer)
    with pytest.raises(ValidationError, match="leave out init_bias_from_unigram and initialisation"):
        TrainSettings(init_from="x", init_bias_from_unigram=True)


def test_its_files_count_and_not_their_place(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "model", make_tokenizer(tmp_path / "tokenizer"))
    stage = next(stage for stage in PACKAGE.stages if stage.name == "pretrain.train")
    names = ("config.json", "model.safetensors", TOKENIZER_MODEL, "tokenizer.json")
    assert stage.outside(tiny_config(init_from=str(folder))) == {str(folder / n): "train.init_from" for n in names}
    assert stage.outside(tiny_config()) == {}
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(XlmrError, match="is a pickle"):
        stage.outside(tiny_config(init_from=str(folder)))


def test_the_configuration_for_a_language_fits_the_published_model(tmp_path: Path) -> None:
    values = yaml.safe_load((ROOT / "configs" / "your-language.yaml").read_text())["pretrain"]
    settings = PretrainConfig.model_validate(values).model
    published = {  # config.json of xlm-roberta-base
        "architectures": ["XLMRobertaForMaskedLM"], "attention_probs_dropout_prob": 0.1, "bos_token_id": 0,
        "eos_token_id": 2, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 768,
        "initializer_range": 0.02, "intermediate_size": 3072, "layer_norm_eps": 1e-05,
        "max_position_embeddings": 514, "model_type": "xlm-roberta", "num_attention_heads": 12,
        "num_hidden_layers": 12, "output_past": True, "pad_token_id": 1, "type_vocab_size": 1, "vocab_size": 250002,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(published))
    shape = {k: v for k, v in settings.model_dump().items() if k != "pad_vocab_to_multiple_of"}
    check_architecture(tmp_path, read_config(tmp_path), ModelConfig(vocab_size=50_002, **shape))


def test_a_plan_counts_the_tokens_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("pretrain: {model: {preset: base}}\n")
    make_tokenizer(tmp_path / "tokenizer")
    words = ["--tokenizer.existing.model", str(tmp_path / "tokenizer")]
    assert of_config(tmp_path / "run.yaml").shape.vocab_size == 250_002
    assert of_config(tmp_path / "run.yaml", words).shape.vocab_size == 62
    (tmp_path / "tokenizer").rename(tmp_path / "elsewhere")
    with pytest.raises(XlmrError, match=r"no such file; it is named by tokenizer\.existing\.model"):
        of_config(tmp_path / "run.yaml", words)
