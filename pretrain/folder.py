"""Hugging Face's folder layout: config.json, model.safetensors under their names, sentencepiece.bpe.model.

Post-LN models are XLMRobertaForMaskedLM there, pre-LN ones XLMRobertaXLForMaskedLM; the logits are the same.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from pipeline.errors import XlmrError
from pipeline.storage import publish, write_json
from pretrain.config_file import CONFIG, describe_config, read_config, read_hugging_face_config
from pretrain.model import Encoder, MaskedLanguageModel, ModelConfig, build
from pretrain.parallel import Group, put
from pretrain.weights_file import INDEX, WEIGHTS, Weights

TOKENIZER_MODEL = "sentencepiece.bpe.model"
MANY = "model-{:0>5}-of-{:0>5}.safetensors"

FILE_BYTES = 5_000_000_000
"""Of one file of weights, as Hugging Face cuts them. XL takes three, XXL nine."""

BIAS, OLD_BIAS = "lm_head.bias", "lm_head.decoder.bias"
DECODER = "lm_head.decoder.weight"
"""Written where it is not the table of the tokens, and by some releases where it is."""

PREFIX = "roberta."
"""Of the encoder's tensors in a model with a head. Saved alone (``AutoModel``), they have none."""

WORDS = "embeddings.word_embeddings.weight"

TOKEN_TYPE = "roberta.embeddings.token_type_embeddings.weight"
"""A row that Hugging Face adds to every position (where there are several: the first). XLM-R has no segments, so it is
zero in what we write."""


def save_model(model: MaskedLanguageModel, folder: Path, tokens: Path | None = None) -> None:
    """Write the model, in fp32, and a copy of its tokenizer's model file ``tokens``."""
    save_weights(model.state_dict(), model.config, folder, tokens)


def save_weights(
    weights: Mapping[str, Tensor],
    config: ModelConfig,
    folder: Path,
    tokens: Path | None = None,
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
    if tokens is not None:
        shutil.copyfile(tokens, folder / TOKENIZER_MODEL)
    write_json(folder / CONFIG, describe_config(config))


def load_model(folder: Path) -> MaskedLanguageModel:
    """Read a folder that we or Hugging Face wrote: one file or several, fp32 or less; the model is in fp32.

    Errors: XlmrError naming what is missing or does not fit.
    """
    model = build(read_config(folder))
    weights = open_weights(folder, model.config)
    check_tied(weights, folder)
    put(model, dict(from_hugging_face(weights, model.config, folder)), {}, Group())
    return model.eval()


def check_tied(weights: Weights, folder: Path) -> None:
    """Errors: XlmrError for a masked language model whose decoder is not its table of tokens.

    Its encoder is like any other: who needs no more need not ask.
    """
    untied = not read_hugging_face_config(folder).tie_word_embeddings
    problem = ""
    if DECODER in weights:
        different = not torch.equal(weights[DECODER], weights[PREFIX + WORDS])
        problem = f"{DECODER} is not the table of the tokens" if different else ""
    elif untied:
        problem = f"tie_word_embeddings is false in {CONFIG}, and there is no {DECODER}"
    if untied and not problem and {BIAS, OLD_BIAS} <= set(weights):
        problem = "" if torch.equal(weights[BIAS], weights[OLD_BIAS]) else f"{OLD_BIAS} is not {BIAS}"
    if problem:
        raise XlmrError(
            f"{folder}: the model is untied ({problem}), here a masked language model is tied",
            "fine-tune its encoder, or name a model whose tie_word_embeddings is true",
        )


def load_encoder(folder: Path) -> Encoder:
    """The encoder alone, for fine-tuning, whatever head the folder has, or none. Errors: as of ``load_model``."""
    with torch.device("meta"):
        encoder = Encoder(read_config(folder))
    found = encoder_from_hugging_face(open_weights(folder, encoder.config), encoder.config, folder)
    encoder.load_state_dict({name.removeprefix("encoder."): tensor for name, tensor in found}, assign=True)
    return encoder.eval()


def open_weights(folder: Path, config: ModelConfig) -> Weights:
    """The weights in a folder, none of them read yet. Errors: XlmrError for one of another shape, or a layer too many,
    than its configuration says.
    """
    weights = Weights(folder)
    prefix = prefix_of(weights)
    for name, tensor in to_hugging_face(_empty(config), config):
        here = prefix + name.removeprefix(PREFIX) if name.startswith(PREFIX) else name
        expected = tensor.shape[1:] if name == TOKEN_TYPE else tensor.shape
        if here in weights and (found := weights.shape(here))[-len(expected) :] != expected:
            raise XlmrError(
                f"{folder}: {here} is {tuple(found)}, by {CONFIG} it is {tuple(tensor.shape)}",
                "the weights are of another model than its configuration",
            )
    beyond = f"{prefix}encoder.layer.{config.num_hidden_layers}."
    if any(name.startswith(beyond) for name in weights):
        raise XlmrError(
            f"{folder}: the weights have a layer {config.num_hidden_layers},"
            f" by {CONFIG} num_hidden_layers is {config.num_hidden_layers}",
            "the weights are of another model than its configuration",
        )
    return weights


def prefix_of(weights: Weights) -> str:
    """What the names of an encoder's tensors begin with."""
    return PREFIX if any(name.startswith(PREFIX) for name in weights) else ""


def check_tokens(folder: Path, tokens: int, config: ModelConfig) -> None:
    """Errors: XlmrError for a tokenizer with more tokens, special ones included, than the model beside it has rows."""
    if tokens > config.vocab_size:
        raise XlmrError(
            f"{folder}: the tokenizer has {tokens:,} tokens, the model {config.vocab_size:,}",
            "they are not of one model, or tokens were added without rows (transformers: resize_token_embeddings)",
        )


def names(config: ModelConfig) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Our module -> theirs; three of theirs for the one matrix of query, key and value. Without weight and bias."""
    pre = config.norm == "pre"
    yield "encoder.embeddings.tokens", ("roberta.embeddings.word_embeddings",)
    yield "encoder.embeddings.positions", ("roberta.embeddings.position_embeddings",)
    if pre:
        yield "encoder.norm", ("roberta.encoder.LayerNorm",)
    else:
        yield "encoder.embeddings.norm", ("roberta.embeddings.LayerNorm",)
    for number in range(config.num_hidden_layers):
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
    yield TOKEN_TYPE, torch.zeros(1, config.hidden_size)


def from_hugging_face(theirs: Weights, config: ModelConfig, folder: Path) -> Iterator[tuple[str, Tensor]]:
    """Their tensors under our names. Errors: XlmrError naming the first tensor that is missing."""
    yield from encoder_from_hugging_face(theirs, config, folder)
    try:
        for our_name, their_names in names(config):
            if our_name.startswith("head."):
                yield from _ours(our_name, their_names, theirs)
        yield "head.bias", theirs[BIAS if BIAS in theirs else OLD_BIAS]
    except KeyError as error:
        raise XlmrError(f"{folder / WEIGHTS}: has no tensor {error}", "it must hold a masked language model") from None


def encoder_from_hugging_face(theirs: Weights, config: ModelConfig, folder: Path) -> Iterator[tuple[str, Tensor]]:
    """The same of the encoder alone, as ``encoder.…``; theirs with or without ``roberta.`` before them.

    Any model of XLM-R's has these: masked language model, fine-tuned, or the encoder by itself.
    """
    prefix = prefix_of(theirs)
    token_type = prefix + TOKEN_TYPE.removeprefix(PREFIX)
    try:
        for our_name, their_names in names(config):
            if our_name.startswith("encoder."):
                here = [prefix + name.removeprefix(PREFIX) for name in their_names]
                for name, tensor in _ours(our_name, here, theirs):
                    if our_name == "encoder.embeddings.positions" and token_type in theirs:
                        tensor.add_(theirs[token_type][:1])
                    yield name, tensor
    except KeyError as error:
        raise XlmrError(f"{folder / WEIGHTS}: has no tensor {error}", "it must hold an encoder of XLM-R's") from None


def _ours(our_name: str, their_names: Sequence[str], theirs: Weights) -> Iterator[tuple[str, Tensor]]:
    """Weight and bias of one of our modules; ``theirs`` gives each tensor in memory of its own."""
    for kind in ("weight", "bias"):
        if _has(our_name, kind):
            parts = [theirs[f"{name}.{kind}"] for name in their_names]
            yield f"{our_name}.{kind}", parts[0] if len(parts) == 1 else torch.cat(parts)


def _has(our_name: str, kind: str) -> bool:
    return kind == "weight" or our_name not in {"encoder.embeddings.tokens", "encoder.embeddings.positions"}


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().to(torch.float32).to(tensor.device if tensor.is_meta else "cpu").contiguous()


def _empty(config: ModelConfig) -> dict[str, Tensor]:
    return dict(build(config).named_parameters())


def _fill(sizes: Mapping[str, int], limit: int) -> list[list[str]]:
    """The names in order, in as few runs of at most ``limit`` bytes as that gives (a larger tensor stands alone)."""
    files: list[list[str]] = [[]]
    space = limit
    for name, size in sizes.items():
        if size > space and files[-1]:
            files.append([])
            space = limit
        files[-1].append(name)
        space -= size
    return files
