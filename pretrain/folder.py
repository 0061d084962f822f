"""Hugging Face's folder layout: config.json, model.safetensors under their names, sentencepiece.bpe.model.

Post-LN models are XLMRobertaForMaskedLM there, pre-LN ones XLMRobertaXLForMaskedLM; the logits are the same.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline.errors import XlmrError
from pipeline.storage import publish, read_json, write_json
from pretrain.conversion import refuse_pickles
from pretrain.model import EPSILON, INITIAL_DEVIATION, PAD, Encoder, MaskedLanguageModel, ModelConfig, build
from pretrain.parallel import Group, put

CONFIG, WEIGHTS, PIECES = "config.json", "model.safetensors", "sentencepiece.bpe.model"
MANY, INDEX = "model-{:0>5}-of-{:0>5}.safetensors", "model.safetensors.index.json"

FILE_BYTES = 5_000_000_000
"""Of one file of weights, as Hugging Face cuts them. XL takes three, XXL nine."""

SHARED = {"layer_norm_eps": EPSILON, "hidden_act": "gelu", "position_embedding_type": "absolute"}
"""What all these models have in common; a config.json that says otherwise is of another model."""

TYPES = {"post": ("xlm-roberta", "XLMRobertaForMaskedLM"), "pre": ("xlm-roberta-xl", "XLMRobertaXLForMaskedLM")}

BIAS, OLD_BIAS = "lm_head.bias", "lm_head.decoder.bias"

PREFIX = "roberta."
"""Of the encoder's tensors in a model with a head. Saved alone (``AutoModel``), they have none."""

TOKEN_TYPE = "roberta.embeddings.token_type_embeddings.weight"
"""A single row that Hugging Face adds to every position. XLM-R has no segments, so it is zero in what we write."""


def save_model(model: MaskedLanguageModel, folder: Path, pieces: Path | None = None) -> None:
    """Write the model, in fp32, and a copy of its tokenizer's model file ``pieces``."""
    save_weights(model.state_dict(), model.config, folder, pieces)


def save_weights(
    weights: Mapping[str, Tensor],
    config: ModelConfig,
    folder: Path,
    pieces: Path | None = None,
    limit: int = FILE_BYTES,
) -> None:
    """The same from the parameters by name; each is asked for once. More than ``limit`` bytes go to several files."""
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in (*folder.glob(WEIGHTS), *folder.glob("model-*-of-*.safetensors"), *folder.glob(INDEX)):
        leftover.unlink()
    sizes = {name: 4 * tensor.numel() for name, tensor in to_hugging_face(_empty(config), config)}
    files = _fill(sizes, limit)
    named = [WEIGHTS] if len(files) == 1 else [MANY.format(n, len(files)) for n in range(1, len(files) + 1)]
    tensors = to_hugging_face(weights, config)
    for file_name, inside in zip(named, files, strict=True):
        temporary = folder / f".{file_name}.tmp"
        save_file(dict(islice(tensors, len(inside))), temporary, metadata={"format": "pt"})
        temporary.chmod(0o644)  # safetensors writes for the owner alone
        publish(temporary, folder / file_name)
    if len(files) > 1:
        weight_map = {name: file_name for file_name, inside in zip(named, files, strict=True) for name in inside}
        write_json(folder / INDEX, {"metadata": {"total_size": sum(sizes.values())}, "weight_map": weight_map})
    if pieces is not None:
        shutil.copyfile(pieces, folder / PIECES)
    write_json(folder / CONFIG, describe_config(config))


def load_model(folder: Path) -> MaskedLanguageModel:
    """Read a folder that we or Hugging Face wrote: one file or several, fp32 or less; the model is in fp32.

    Errors: XlmrError naming what is missing or does not fit.
    """
    model = build(read_config(folder))
    put(model, dict(fitting(model, from_hugging_face(Weights(folder), model.config, folder), folder)), {}, Group())
    return model.eval()


def load_encoder(folder: Path) -> Encoder:
    """The encoder alone, for fine-tuning, whatever head the folder has, or none. Errors: as of ``load_model``."""
    with torch.device("meta"):
        encoder = Encoder(read_config(folder))
    found = encoder_from_hugging_face(Weights(folder), encoder.config, folder)
    own = ((name.removeprefix("encoder."), tensor) for name, tensor in found)
    encoder.load_state_dict(dict(fitting(encoder, own, folder)), assign=True)
    return encoder.eval()


def fitting(model: nn.Module, found: Iterator[tuple[str, Tensor]], folder: Path) -> Iterator[tuple[str, Tensor]]:
    """The values by name, one after the other. Errors: XlmrError for one of another shape than the parameter's."""
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    for name, tensor in found:
        if tensor.shape != shapes[name]:
            raise XlmrError(
                f"{folder}: {name} is {tuple(tensor.shape)}, by {CONFIG} it is {tuple(shapes[name])}",
                "the weights are of another model than its configuration",
            )
        yield name, tensor


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
        refuse_pickles(folder)
        raise XlmrError(f"{path}: no such file", "name a folder that pretrain.export wrote")
    values = read_json(path)
    norms = {model_type: norm for norm, (model_type, _) in TYPES.items()}
    if values.get("model_type") not in norms:
        raise XlmrError(f"{path}: model_type is {values.get('model_type')!r}", f"it must be one of {', '.join(norms)}")
    for name, expected in (
        ("layer_norm_eps", EPSILON),
        ("hidden_act", "gelu"),
        ("position_embedding_type", "absolute"),
    ):
        if values.get(name, expected) != expected:
            raise XlmrError(f"{path}: {name} is {values[name]}", f"these models have {expected}")
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


def check_pieces(folder: Path, pieces: int, config: ModelConfig) -> None:
    """Errors: XlmrError for a tokenizer with more pieces, special ones included, than the model beside it has rows."""
    if pieces > config.vocabulary_rows:
        raise XlmrError(
            f"{folder}: the tokenizer has {pieces:,} pieces, the model {config.vocabulary_rows:,}",
            "they are not of one model",
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


def to_hugging_face(ours: Mapping[str, Tensor], config: ModelConfig) -> Iterator[tuple[str, Tensor]]:
    """Our tensors under their names, in fp32, one after the other."""
    for our_name, their_names in names(config):
        for kind in ("weight", "bias"):
            if _has(our_name, kind):
                parts = ours[f"{our_name}.{kind}"].chunk(len(their_names))
                for their_name, part in zip(their_names, parts, strict=True):
                    yield f"{their_name}.{kind}", _plain(part)
    yield BIAS, _plain(ours["head.bias"])
    yield TOKEN_TYPE, torch.zeros(1, config.width)


def from_hugging_face(theirs: Mapping[str, Tensor], config: ModelConfig, folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Their tensors under our names, in fp32. Errors: XlmrError naming the first tensor that is missing."""
    yield from encoder_from_hugging_face(theirs, config, folder)
    try:
        for our_name, their_names in names(config):
            if our_name.startswith("head."):
                yield from _ours(our_name, their_names, theirs)
        yield "head.bias", theirs[BIAS if BIAS in theirs else OLD_BIAS].to(torch.float32, copy=True)
    except KeyError as error:
        raise XlmrError(f"{folder / WEIGHTS}: has no tensor {error}", "it must hold a masked language model") from None


def encoder_from_hugging_face(
    theirs: Mapping[str, Tensor], config: ModelConfig, folder: Path
) -> Iterator[tuple[str, Tensor]]:
    """The same of the encoder alone, as ``encoder.…``; theirs with or without ``roberta.`` before them.

    Any model of XLM-R's has these: masked language model, fine-tuned, or the encoder by itself.
    """
    prefix = PREFIX if any(name.startswith(PREFIX) for name in theirs) else ""
    token_type = prefix + TOKEN_TYPE.removeprefix(PREFIX)
    try:
        for our_name, their_names in names(config):
            if our_name.startswith("encoder."):
                here = [prefix + name.removeprefix(PREFIX) for name in their_names]
                for name, tensor in _ours(our_name, here, theirs):
                    added = our_name == "encoder.embeddings.positions" and token_type in theirs
                    yield name, tensor + theirs[token_type].float() if added else tensor
    except KeyError as error:
        raise XlmrError(f"{folder / WEIGHTS}: has no tensor {error}", "it must hold an encoder of XLM-R's") from None


def _ours(our_name: str, their_names: Sequence[str], theirs: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Weight and bias of one of our modules, new tensors of their own."""
    for kind in ("weight", "bias"):
        if _has(our_name, kind):
            yield f"{our_name}.{kind}", torch.cat([theirs[f"{name}.{kind}"].float() for name in their_names])


class Weights(Mapping[str, Tensor]):
    """The tensors of a folder by name, in one safetensors file or in several, each read when it is asked for.

    Errors: XlmrError naming the file that is missing or not readable.
    """

    def __init__(self, folder: Path) -> None:
        self._files: dict[str, Any] = {}
        refuse_pickles(folder)
        index = folder / INDEX
        if index.exists() and not (folder / WEIGHTS).exists():
            found: dict[str, str] = read_json(index)["weight_map"]
            for file_name in sorted(set(found.values())):
                if Path(file_name).name != file_name:
                    raise XlmrError(f"{index}: names the file {file_name}", "files must lie beside it")
                self._add(folder / file_name, {name for name, place in found.items() if place == file_name})
        else:
            self._add(folder / WEIGHTS, None)

    def _add(self, path: Path, wanted: set[str] | None) -> None:
        try:
            opened = safe_open(path, "pt")
        except FileNotFoundError:
            raise XlmrError(f"{path}: no such file", "name a folder that pretrain.export wrote") from None
        except (SafetensorError, OSError) as error:
            raise XlmrError(f"{path}: not readable ({error})", "run pretrain.export again") from None
        there = set(opened.keys())
        if wanted is not None and wanted - there:
            raise XlmrError(f"{path}: has no tensor {min(wanted - there)!r}", f"it is not the file of {INDEX}")
        self._files |= dict.fromkeys(there, opened)

    def __getitem__(self, name: str) -> Tensor:
        tensor: Tensor = self._files[name].get_tensor(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def _has(our_name: str, kind: str) -> bool:
    return kind == "weight" or our_name not in {"encoder.embeddings.pieces", "encoder.embeddings.positions"}


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().to(torch.float32).to(tensor.device if tensor.is_meta else "cpu").contiguous()


def _empty(config: ModelConfig) -> dict[str, Tensor]:
    return dict(build(config).named_parameters())


def _fill(sizes: Mapping[str, int], limit: int) -> list[list[str]]:
    """The names in order, in as few runs of at most ``limit`` bytes as that gives (a larger tensor stands alone)."""
    files: list[list[str]] = [[]]
    room = limit
    for name, size in sizes.items():
        if size > room and files[-1]:
            files.append([])
            room = limit
        files[-1].append(name)
        room -= size
    return files
