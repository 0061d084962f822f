"""A fine-tuned model in Hugging Face's layout: XLMRobertaFor… of its kind reads it (XL: the XL class), pipelines too.

config.json names the labels, model.safetensors holds encoder and head, tokenizer.json and its fellows the tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from finetune.config_file import LIMITS, MEAN, OWN, STEMS, read_kind, read_tuned_config
from finetune.heads.kind import Kind
from finetune.heads.kinds import ClassificationKind, RegressionKind, SpanKind, TaggingKind
from pipeline.errors import XlmrError
from pipeline.storage import publish, write_json
from pretrain.config_file import CONFIG, describe_config, read_config
from pretrain.folder import TOKEN_TYPE, check_tokens, load_encoder, names
from pretrain.model import Encoder, ModelConfig
from pretrain.weights_file import WEIGHTS, Weights
from tokenizer.folder import load_tokenizer
from tokenizer.hugging_face import write_files
from tokenizer.pieces import Tokenizer

TEXT_HEAD = {"head.dense": "classifier.dense", "head.out_proj": "classifier.out_proj"}
ON_MEAN = {"head.dense": "mean_classifier.dense", "head.out_proj": "mean_classifier.out_proj"}
"""Names of their own: under the usual ones Hugging Face's class would take this head for one on <s>, and be wrong."""
HEADS: dict[str, Mapping[str, str]] = {
    ClassificationKind.name: TEXT_HEAD,
    RegressionKind.name: TEXT_HEAD,
    TaggingKind.name: {"head.out": "classifier"},
    SpanKind.name: {"head.out": "qa_outputs"},
}
"""Kind -> our module of the head -> theirs."""

POOLED = (ClassificationKind.name, RegressionKind.name)
"""Kinds whose head reads one vector of a text."""

PROBLEMS = {"classification": "single_label_classification", "regression": "regression"}


@dataclass(frozen=True)
class FineTuned:
    """What a folder holds."""

    model: nn.Module
    kind: Kind
    tokenizer: Tokenizer


def save_fine_tuned(
    model: nn.Module, kind: Kind, tokenizer: Path, folder: Path, weights: Mapping[str, Tensor] | None = None
) -> None:
    """Write the folder, and into it the tokenizer that lies in another folder (or file). Weights are fp32.

    ``weights`` are those to write where ``model`` has only a part of them.
    """
    encoder: Encoder = model.encoder  # type: ignore[assignment]
    config = encoder.config
    folder.mkdir(parents=True, exist_ok=True)
    ours, theirs = weights or model.state_dict(), {TOKEN_TYPE: torch.zeros(1, config.hidden_size)}
    for our_name, their_names in _tensors(config, kind):
        if our_name in ours:
            for their_name, part in zip(their_names, ours[our_name].chunk(len(their_names)), strict=True):
                theirs[their_name] = part.detach().to("cpu", torch.float32).contiguous()
    temporary = folder / f".{WEIGHTS}.tmp"
    save_file(theirs, temporary, metadata={"format": "pt"})
    temporary.chmod(0o644)  # safetensors writes for the owner alone
    publish(temporary, folder / WEIGHTS)
    write_files(tokenizer, folder, kind.recipe.longest)
    write_json(folder / CONFIG, describe_config(config) | _described(model, kind, config))


def _described(model: nn.Module, kind: Kind, config: ModelConfig) -> dict[str, Any]:
    """What a fine-tuned model's config.json has besides its encoder's."""
    labels = list(kind.labels) or [f"LABEL_{number}" for number in range(kind.outputs)]
    mean = _reads_mean(kind)
    described: dict[str, Any] = {
        "architectures": [f"{STEMS[config.norm]}{MEAN * mean}{kind.suffix}"],
        "classifier_dropout": model.head.dropout.p,  # type: ignore[union-attr]
        "id2label": {str(number): label for number, label in enumerate(labels)},
        "label2id": {label: number for number, label in enumerate(labels)},
        OWN: {"kind": kind.name, "task": kind.task} | {name: getattr(kind.recipe, name) for name in LIMITS},
    }
    if mean:
        described[OWN]["pooling"] = "mean"
    if kind.name in PROBLEMS:
        described["problem_type"] = PROBLEMS[kind.name]
    return described


def load_fine_tuned(folder: Path) -> FineTuned:
    """Read a folder of ours, or one that Hugging Face saved. Errors: XlmrError naming what is missing or unfit."""
    config, kind = read_config(folder), read_kind(folder)
    model = kind.model(load_encoder(folder), read_tuned_config(folder).classifier_dropout or 0.0)
    _take_tensors(model, folder, kind)
    tokenizer = load_tokenizer(folder)
    check_tokens(folder, tokenizer.vocab_size, config)
    return FineTuned(model.eval(), kind, tokenizer)


def why_new_head(folder: Path, kind: Kind) -> str:
    """Why training in ``kind`` cannot start from the head in ``folder``; empty where it can.

    It can where there is one of the same kind, and for classes and tags with the same labels, in whatever order.
    """
    described = read_tuned_config(folder)
    name, labels = described.kind_name(read_config(folder)), described.labels
    if name is None:
        return "the encoder's folder has none"
    if name != kind.name:
        return f"the one in the encoder's folder is for {name}"
    if name in POOLED and described.pooling != kind.recipe.pooling:
        return f"finetune.recipe.pooling of the one in the encoder's folder is {described.pooling}"
    if kind.labels and sorted(labels) != sorted(kind.labels):
        return f"the labels of the one in the encoder's folder are {', '.join(labels)}"
    if name == RegressionKind.name and len(labels) != 1:
        return f"the one in the encoder's folder gives {len(labels)} values"
    return ""


def take_head(model: nn.Module, folder: Path, kind: Kind) -> None:
    """Give a new model the head in ``folder``, which must fit (``why_new_head``); labels may stand in another order."""
    order = None
    if kind.labels:
        theirs = read_tuned_config(folder).labels
        order = torch.tensor([theirs.index(label) for label in kind.labels])
    _take_tensors(model, folder, kind, order)


def _take_tensors(model: nn.Module, folder: Path, kind: Kind, order: Tensor | None = None) -> None:
    """Put the head's tensors in a folder into ``model``, its outputs in another order where one is given.

    Errors: XlmrError naming the first tensor that is missing, or of another shape than the configuration says.
    """
    theirs, head, found = Weights(folder), model.head.state_dict(), {}  # type: ignore[union-attr]
    names_of_head = _names_of_head(kind)
    for our_name, their_name in names_of_head.items():
        last = our_name == [*names_of_head][-1]
        for part in ("weight", "bias"):
            name, ours = f"{their_name}.{part}", f"{our_name}.{part}".removeprefix("head.")
            if name not in theirs:
                raise XlmrError(
                    f"{folder / WEIGHTS}: has no tensor {name}",
                    f"by {CONFIG} it is a model for {kind.name}: the two are not of one model",
                )
            if theirs.shape(name) != head[ours].shape:
                raise XlmrError(
                    f"{folder}: {name} is {tuple(theirs.shape(name))}, by {CONFIG} it is {tuple(head[ours].shape)}"
                    + f" ({kind.outputs} labels)" * last,
                    "the weights are of another model than its configuration",
                )
            found[ours] = theirs[name][order] if last and order is not None else theirs[name]
    model.head.load_state_dict(found)  # type: ignore[union-attr]


def _reads_mean(kind: Kind) -> bool:
    return kind.name in POOLED and kind.recipe.pooling == "mean"


def _names_of_head(kind: Kind) -> Mapping[str, str]:
    return ON_MEAN if _reads_mean(kind) else HEADS[kind.name]


def _tensors(config: ModelConfig, kind: Kind) -> Iterator[tuple[str, list[str]]]:
    """Our tensor -> theirs, of encoder and head; a few are named that a model may not have (a bias, a norm)."""
    modules = [(ours, theirs) for ours, theirs in names(config) if ours.startswith("encoder.")]
    for ours, theirs in [*modules, *((ours, (theirs,)) for ours, theirs in _names_of_head(kind).items())]:
        for part in ("weight", "bias"):
            yield f"{ours}.{part}", [f"{name}.{part}" for name in theirs]
