"""A fine-tuned classifier in Hugging Face's layout: XLMRobertaForSequenceClassification (XL: the XL class) reads it.

config.json names the labels, model.safetensors holds encoder and head, sentencepiece.bpe.model the pieces.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from finetune.classification import SequenceClassifier
from pipeline.errors import XlmrError
from pipeline.storage import publish, read_json, write_json
from pretrain.folder import CONFIG, PIECES, TOKEN_TYPE, WEIGHTS, describe_config, names, read_config
from pretrain.model import Encoder, ModelConfig
from tokenizer.pieces import Tokenizer

TOKENIZER = "tokenizer_config.json"

ARCHITECTURES = {
    "post": "XLMRobertaForSequenceClassification",
    "pre": "XLMRobertaXLForSequenceClassification",
}

HEAD = {"head.dense": ("classifier.dense",), "head.out_proj": ("classifier.out_proj",)}


@dataclass(frozen=True)
class Classifier:
    """What a folder holds: the model, its labels in the order of its scores, its tokenizer, the longest text."""

    model: SequenceClassifier
    labels: list[str]
    tokenizer: Tokenizer
    longest: int


def save_classifier(model: SequenceClassifier, labels: list[str], longest: int, pieces: Path, folder: Path) -> None:
    """Write the folder; ``pieces`` is the tokenizer's model file and is copied. Weights are fp32."""
    config = model.encoder.config
    folder.mkdir(parents=True, exist_ok=True)
    ours, theirs = model.state_dict(), {TOKEN_TYPE: torch.zeros(1, config.width)}
    for our_name, their_names in _tensors(config):
        if our_name in ours:
            for their_name, part in zip(their_names, ours[our_name].chunk(len(their_names)), strict=True):
                theirs[their_name] = part.detach().to("cpu", torch.float32).contiguous()
    temporary = folder / f".{WEIGHTS}.tmp"
    save_file(theirs, temporary, metadata={"format": "pt"})
    publish(temporary, folder / WEIGHTS)
    shutil.copyfile(pieces, folder / PIECES)
    write_json(folder / TOKENIZER, {"tokenizer_class": "XLMRobertaTokenizer", "model_max_length": longest})
    described = describe_config(config) | {
        "architectures": [ARCHITECTURES[config.norm]],
        "classifier_dropout": model.head.dropout.p,
        "id2label": {str(number): label for number, label in enumerate(labels)},
        "label2id": {label: number for number, label in enumerate(labels)},
        "problem_type": "single_label_classification",
    }
    write_json(folder / CONFIG, described)


def load_classifier(folder: Path) -> Classifier:
    """Read a folder of ours. Errors: XlmrError naming what is missing or is no classifier."""
    config = read_config(folder)
    described = read_json(folder / CONFIG)
    if described.get("architectures") != [ARCHITECTURES[config.norm]]:
        raise XlmrError(f"{folder / CONFIG}: not a classifier", "name the model/ folder that a finetune stage wrote")
    labels = [described["id2label"][str(number)] for number in range(len(described["id2label"]))]
    model = SequenceClassifier(Encoder(config), len(labels), described["classifier_dropout"])
    theirs = _read_weights(folder / WEIGHTS)
    ours: dict[str, Tensor] = {}
    wanted = model.state_dict().keys()
    for our_name, their_names in _tensors(config):
        if our_name in wanted:
            missing = [name for name in their_names if name not in theirs]
            if missing:
                raise XlmrError(f"{folder / WEIGHTS}: has no tensor {missing[0]}", "run the finetune stage again")
            ours[our_name] = torch.cat([theirs[name] for name in their_names])
    model.load_state_dict(ours)
    longest = int(read_json(folder / TOKENIZER)["model_max_length"])
    return Classifier(model.eval(), labels, Tokenizer.load(folder), longest)


def _tensors(config: ModelConfig) -> Iterator[tuple[str, list[str]]]:
    """Our tensor -> theirs, of encoder and head; a few are named that a model may not have (a bias, a norm)."""
    modules = [(ours, theirs) for ours, theirs in names(config) if ours.startswith("encoder.")]
    for ours, theirs in [*modules, *HEAD.items()]:
        for kind in ("weight", "bias"):
            yield f"{ours}.{kind}", [f"{name}.{kind}" for name in theirs]


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise XlmrError(f"{path}: no such file", "name the model/ folder that a finetune stage wrote") from None
    except SafetensorError as error:
        raise XlmrError(f"{path}: not readable ({error})", "run the finetune stage again") from None
