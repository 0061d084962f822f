"""Hugging Face's folder layout: config.json, model.safetensors under their names, sentencepiece.bpe.model.

Post-LN models are XLMRobertaForMaskedLM there, pre-LN ones XLMRobertaXLForMaskedLM; the logits are the same.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipeline.errors import XlmrError
from pipeline.storage import publish, read_json, write_json
from pretrain.model import EPSILON, INITIAL_DEVIATION, PAD, Encoder, MaskedLanguageModel, ModelConfig

CONFIG, WEIGHTS, PIECES = "config.json", "model.safetensors", "sentencepiece.bpe.model"

TYPES = {"post": ("xlm-roberta", "XLMRobertaForMaskedLM"), "pre": ("xlm-roberta-xl", "XLMRobertaXLForMaskedLM")}

TOKEN_TYPE = "roberta.embeddings.token_type_embeddings.weight"
"""A single row that Hugging Face adds to every position. XLM-R has no segments, so it is zero in what we write."""


def save_model(model: MaskedLanguageModel, folder: Path, pieces: Path | None = None) -> None:
    """Write the model, in fp32, and a copy of its tokenizer's model file ``pieces``."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{WEIGHTS}.tmp"
    save_file(to_hugging_face(model.state_dict(), model.config), temporary, metadata={"format": "pt"})
    temporary.chmod(0o644)  # safetensors writes for the owner alone
    publish(temporary, folder / WEIGHTS)
    if pieces is not None:
        shutil.copyfile(pieces, folder / PIECES)
    write_json(folder / CONFIG, describe_config(model.config))


def load_model(folder: Path) -> MaskedLanguageModel:
    """Read a folder that we or Hugging Face wrote. Errors: XlmrError naming what is missing or does not fit."""
    model = MaskedLanguageModel(read_config(folder))
    model.load_state_dict(from_hugging_face(_read_weights(folder), model.config, folder))
    return model.eval()


def load_encoder(folder: Path) -> Encoder:
    """The encoder alone, for fine-tuning."""
    return load_model(folder).encoder


def describe_config(config: ModelConfig) -> dict[str, Any]:
    """Hugging Face's config.json."""
    model_type, architecture = TYPES[config.norm]
    return {
        "architectures": [architecture],
        "model_type": model_type,
        "vocab_size": config.vocabulary_rows,
        "num_hidden_layers": config.layers,
        "hidden_size": config.width,
        "num_attention_heads": config.heads,
        "intermediate_size": config.feed_forward,
        "max_position_embeddings": config.positions,
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.attention_dropout,
        "hidden_act": "gelu",
        "layer_norm_eps": EPSILON,
        "initializer_range": INITIAL_DEVIATION,
        "type_vocab_size": 1,
        "tie_word_embeddings": True,
        "bos_token_id": 0,
        "pad_token_id": PAD,
        "eos_token_id": 2,
    }


def read_config(folder: Path) -> ModelConfig:
    """The architecture that a config.json describes."""
    path = folder / CONFIG
    if not path.exists():
        raise XlmrError(f"{path}: no such file", "name a folder that pretrain.export wrote")
    values = read_json(path)
    norms = {model_type: norm for norm, (model_type, _) in TYPES.items()}
    if values.get("model_type") not in norms:
        raise XlmrError(f"{path}: model_type is {values.get('model_type')!r}", f"it must be one of {', '.join(norms)}")
    return ModelConfig(
        vocabulary_rows=values["vocab_size"],
        layers=values["num_hidden_layers"],
        width=values["hidden_size"],
        heads=values["num_attention_heads"],
        feed_forward=values["intermediate_size"],
        positions=values["max_position_embeddings"],
        norm=norms[values["model_type"]],  # type: ignore[arg-type]
        dropout=values["hidden_dropout_prob"],
        attention_dropout=values["attention_probs_dropout_prob"],
    )


def names(config: ModelConfig) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Our module -> theirs; three of theirs for the one matrix of query, key and value. Without weight and bias."""
    pre = config.norm == "pre"
    yield "encoder.embeddings.pieces", ("roberta.embeddings.word_embeddings",)
    yield "encoder.embeddings.positions", ("roberta.embeddings.position_embeddings",)
    if pre:
        yield "encoder.norm", ("roberta.encoder.LayerNorm",)
    else:
        yield "encoder.embeddings.norm", ("roberta.embeddings.LayerNorm",)
    for number in range(config.layers):
        ours, theirs = f"encoder.layers.{number}", f"roberta.encoder.layer.{number}"
        parts = tuple(f"{theirs}.attention.self.{part}" for part in ("query", "key", "value"))
        yield f"{ours}.attention.query_key_value", parts
        yield f"{ours}.attention.out", (f"{theirs}.attention.output.dense",)
        attention_norm = "self_attn_layer_norm" if pre else "output.LayerNorm"
        yield f"{ours}.attention_norm", (f"{theirs}.attention.{attention_norm}",)
        yield f"{ours}.feed_forward.up", (f"{theirs}.intermediate.dense",)
        yield f"{ours}.feed_forward.down", (f"{theirs}.output.dense",)
        yield f"{ours}.feed_forward_norm", (f"{theirs}.{'LayerNorm' if pre else 'output.LayerNorm'}",)
    yield "head.dense", ("lm_head.dense",)
    yield "head.norm", ("lm_head.layer_norm",)


def to_hugging_face(ours: Mapping[str, Tensor], config: ModelConfig) -> dict[str, Tensor]:
    """Our tensors under their names, in fp32."""
    theirs: dict[str, Tensor] = {}
    for our_name, their_names in names(config):
        for kind in ("weight", "bias"):
            tensor = ours.get(f"{our_name}.{kind}")
            if tensor is not None:
                for their_name, part in zip(their_names, tensor.chunk(len(their_names)), strict=True):
                    theirs[f"{their_name}.{kind}"] = part.detach().to("cpu", torch.float32).contiguous()
    theirs["lm_head.bias"] = ours["head.bias"].detach().to("cpu", torch.float32).contiguous()
    theirs[TOKEN_TYPE] = torch.zeros(1, config.width)
    return theirs


def from_hugging_face(theirs: Mapping[str, Tensor], config: ModelConfig, folder: Path) -> dict[str, Tensor]:
    """Their tensors under our names. Errors: XlmrError naming the first tensor that is missing."""
    ours: dict[str, Tensor] = {}
    try:
        for our_name, their_names in names(config):
            for kind in ("weight", "bias"):
                if f"{their_names[0]}.{kind}" in theirs or not our_name.startswith("encoder.embeddings"):
                    ours[f"{our_name}.{kind}"] = torch.cat([theirs[f"{name}.{kind}"] for name in their_names])
        ours["head.bias"] = theirs["lm_head.bias"]
    except KeyError as error:
        raise XlmrError(f"{folder / WEIGHTS}: has no tensor {error}", "it must hold a masked language model") from None
    if TOKEN_TYPE in theirs:
        ours["encoder.embeddings.positions.weight"] = ours["encoder.embeddings.positions.weight"] + theirs[TOKEN_TYPE]
    ours["head.weight"] = ours["encoder.embeddings.pieces.weight"]
    return ours


def _read_weights(folder: Path) -> dict[str, Tensor]:
    path = folder / WEIGHTS
    try:
        return load_file(path)
    except FileNotFoundError:
        raise XlmrError(f"{path}: no such file", "name a folder that pretrain.export wrote") from None
    except SafetensorError as error:
        raise XlmrError(f"{path}: not readable ({error})", "run pretrain.export again") from None
