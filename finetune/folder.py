"""A fine-tuned model in Hugging Face's layout: XLMRobertaFor… of its kind reads it (XL: the XL class), pipelines too.

config.json names the labels, model.safetensors holds encoder and head, tokenizer.json and its fellows the pieces.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from finetune.heads.kinds import KINDS, ClassificationKind, Kind, RegressionKind, SpanKind, TaggingKind
from finetune.stages import Recipe
from pipeline.errors import XlmrError
from pipeline.storage import publish, read_json, write_json
from pretrain.folder import (
    CONFIG,
    TOKEN_TYPE,
    WEIGHTS,
    Weights,
    check_pieces,
    describe_config,
    load_encoder,
    names,
    read_config,
)
from pretrain.model import Encoder, ModelConfig
from tokenizer.hugging_face import write_files
from tokenizer.pieces import Tokenizer

STEMS = {"post": "XLMRoberta", "pre": "XLMRobertaXL"}

TEXT_HEAD = {"head.dense": "classifier.dense", "head.out_proj": "classifier.out_proj"}
HEADS: dict[str, Mapping[str, str]] = {
    ClassificationKind.name: TEXT_HEAD,
    RegressionKind.name: TEXT_HEAD,
    TaggingKind.name: {"head.out": "classifier"},
    SpanKind.name: {"head.out": "qa_outputs"},
}
"""Kind -> our module of the head -> theirs."""

PROBLEMS = {"classification": "single_label_classification", "regression": "regression"}

OWN = "xlmr"
"""Key of config.json with what Hugging Face's has no place for: the kind, and how texts are cut."""

LIMITS = ("longest", "stride", "longest_question", "longest_answer")


@dataclass(frozen=True)
class FineTuned:
    """What a folder holds."""

    model: nn.Module
    kind: Kind
    tokenizer: Tokenizer


def save_fine_tuned(
    model: nn.Module, kind: Kind, pieces: Path, folder: Path, weights: Mapping[str, Tensor] | None = None
) -> None:
    """Write the folder; ``pieces`` is the tokenizer's model file and is copied. Weights are fp32.

    ``weights`` are those to write where ``model`` has only a part of them.
    """
    encoder: Encoder = model.encoder  # type: ignore[assignment]
    config = encoder.config
    folder.mkdir(parents=True, exist_ok=True)
    ours, theirs = weights or model.state_dict(), {TOKEN_TYPE: torch.zeros(1, config.width)}
    for our_name, their_names in _tensors(config, kind.name):
        if our_name in ours:
            for their_name, part in zip(their_names, ours[our_name].chunk(len(their_names)), strict=True):
                theirs[their_name] = part.detach().to("cpu", torch.float32).contiguous()
    temporary = folder / f".{WEIGHTS}.tmp"
    save_file(theirs, temporary, metadata={"format": "pt"})
    temporary.chmod(0o644)  # safetensors writes for the owner alone
    publish(temporary, folder / WEIGHTS)
    write_files(pieces, folder, kind.recipe.longest)
    write_json(folder / CONFIG, describe_config(config) | _described(model, kind, config))


def _described(model: nn.Module, kind: Kind, config: ModelConfig) -> dict[str, Any]:
    """What a fine-tuned model's config.json has besides its encoder's."""
    labels = list(kind.labels) or [f"LABEL_{number}" for number in range(kind.outputs)]
    described: dict[str, Any] = {
        "architectures": [f"{STEMS[config.norm]}{kind.suffix}"],
        "classifier_dropout": model.head.dropout.p,  # type: ignore[union-attr]
        "id2label": {str(number): label for number, label in enumerate(labels)},
        "label2id": {label: number for number, label in enumerate(labels)},
        OWN: {"kind": kind.name, "task": kind.task} | {name: getattr(kind.recipe, name) for name in LIMITS},
    }
    if kind.name in PROBLEMS:
        described["problem_type"] = PROBLEMS[kind.name]
    return described


def load_fine_tuned(folder: Path) -> FineTuned:
    """Read a folder of ours, or one that Hugging Face saved. Errors: XlmrError naming what is missing or unfit."""
    config = read_config(folder)
    described = read_json(folder / CONFIG)
    kind = _kind_of(described, config, folder)
    model = kind.model(load_encoder(folder), described.get("classifier_dropout") or 0.0)
    model.head.load_state_dict(_head_tensors(folder, kind.name))  # type: ignore[union-attr]
    tokenizer = Tokenizer.load(folder)
    check_pieces(folder, tokenizer.vocabulary_size, config)
    return FineTuned(model.eval(), kind, tokenizer)


def why_new_head(folder: Path, kind: Kind) -> str:
    """Why training in ``kind`` cannot go on from the head in ``folder``; empty where it can.

    It can where there is one of the same kind, and for classes and tags with the same labels, in whatever order.
    """
    config, described = read_config(folder), read_json(folder / CONFIG)
    name, labels = _kind_name(described, config), _labels(described)
    if name is None:
        return "the encoder's folder has none"
    if name != kind.name:
        return f"the one in the encoder's folder is for {name}"
    if kind.labels and sorted(labels) != sorted(kind.labels):
        return f"the labels of the one in the encoder's folder are {', '.join(labels)}"
    if name == RegressionKind.name and len(labels) != 1:
        return f"the one in the encoder's folder gives {len(labels)} values"
    return ""


def take_head(model: nn.Module, folder: Path, kind: Kind) -> None:
    """Give a new model the head in ``folder``, which must fit (``why_new_head``); labels may stand in another order."""
    tensors = _head_tensors(folder, kind.name)
    if kind.labels:
        theirs = _labels(read_json(folder / CONFIG))
        order = torch.tensor([theirs.index(label) for label in kind.labels])
        last = [*HEADS[kind.name]][-1].removeprefix("head.")
        for part in ("weight", "bias"):
            tensors[f"{last}.{part}"] = tensors[f"{last}.{part}"][order]
    model.head.load_state_dict(tensors)  # type: ignore[union-attr]


def _head_tensors(folder: Path, kind: str) -> dict[str, Tensor]:
    """The tensors of a head by our names, without ``head.``, in fp32."""
    theirs = Weights(folder)
    found = {}
    for our_name, their_name in HEADS[kind].items():
        for part in ("weight", "bias"):
            if f"{their_name}.{part}" not in theirs:
                raise XlmrError(
                    f"{folder / WEIGHTS}: has no tensor {their_name}.{part}",
                    f"by {CONFIG} it is a model for {kind}: the two are not of one model",
                )
            found[f"{our_name}.{part}".removeprefix("head.")] = theirs[f"{their_name}.{part}"].float()
    return found


def _kind_name(described: Mapping[str, Any], config: ModelConfig) -> str | None:
    """The kind that a config.json tells of; None where it is of no fine-tuned model."""
    architecture = (described.get("architectures") or [""])[0]
    suffix = architecture.removeprefix(STEMS[config.norm])
    fitting = [name for name, kind in KINDS.items() if kind.suffix == suffix]
    if described.get("problem_type") == "regression":
        fitting = [RegressionKind.name] if RegressionKind.name in fitting else []
    if not fitting:
        return None
    own: str = described.get(OWN, {}).get("kind", fitting[0])
    return own


def _labels(described: Mapping[str, Any]) -> tuple[str, ...]:
    """Those of config.json, in the order of the scores."""
    numbered = described.get("id2label", {})
    return tuple(numbered[str(number)] for number in range(len(numbered)))


def _kind_of(described: Mapping[str, Any], config: ModelConfig, folder: Path) -> Kind:
    name, own = _kind_name(described, config), described.get(OWN, {})
    if name is None:
        raise XlmrError(f"{folder / CONFIG}: not a fine-tuned model", "name the model/ folder of a finetune stage")
    labels = _labels(described)
    limits = {"longest": config.longest_sample} | {key: own[key] for key in LIMITS if key in own}
    recipe = Recipe(**limits, dtype="fp32")  # what is told must not depend on the processor
    return KINDS[name](labels if name in {"classification", "tagging"} else (), recipe, own.get("task", ""))


def _tensors(config: ModelConfig, kind: str) -> Iterator[tuple[str, list[str]]]:
    """Our tensor -> theirs, of encoder and head; a few are named that a model may not have (a bias, a norm)."""
    modules = [(ours, theirs) for ours, theirs in names(config) if ours.startswith("encoder.")]
    for ours, theirs in [*modules, *((ours, (theirs,)) for ours, theirs in HEADS[kind].items())]:
        for part in ("weight", "bias"):
            yield f"{ours}.{part}", [f"{name}.{part}" for name in theirs]
