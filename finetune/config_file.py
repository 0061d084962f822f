"""The keys of ``config.json`` that say what a model was fine-tuned for: its kind, its labels, how texts are cut."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, FiniteFloat, model_validator

from finetune.heads.kind import Kind
from finetune.heads.kinds import KINDS, ClassificationKind, RegressionKind, SpanKind, TaggingKind
from finetune.stages import Recipe
from pipeline.errors import XlmrError
from pipeline.json_file import read_json_as
from pretrain.config_file import CONFIG, Dropout, read_config
from pretrain.model import ModelConfig

STEMS = {"post": "XLMRoberta", "pre": "XLMRobertaXL"}

OWN = "xlmr"
"""Key with what Hugging Face's config.json has no place for: the kind, and how texts are cut."""

MEAN = "MeanPooled"
"""Of the class's name where the head of a text reads the mean of its vectors: Hugging Face has none."""

LABELLED = (ClassificationKind.name, TaggingKind.name)
"""Kinds whose scores are of labels."""

BESIDE_A_QUESTION = 8
"""Tokens that a window has at least besides a question: special ones, and some of the context."""

Tokens = Annotated[int, Field(ge=1, lt=2**31)]


class Own(BaseModel):
    """What stands under ``xlmr``."""

    kind: Literal["classification", "regression", "tagging", "span"]
    task: str = ""
    longest: Tokens | None = None
    stride: Tokens | None = None
    longest_question: Tokens | None = None
    longest_answer: Tokens | None = None
    no_answer_threshold: FiniteFloat | None = None
    pooling: Literal["first", "mean"] = "first"


LIMITS = tuple(name for name in Own.model_fields if name not in {"kind", "task", "pooling"})


class TunedConfig(BaseModel):
    """What config.json says of a head; of an encoder alone it says nothing, and all is left at its default."""

    architectures: list[str] | None = None
    problem_type: str | None = None
    classifier_dropout: Dropout | None = None
    id2label: dict[str, str] | None = None
    xlmr: Own | None = None

    @model_validator(mode="after")
    def _labels_are_numbered_through(self) -> Self:
        numbered = self.id2label or {}
        if missing := [number for number in range(len(numbered)) if str(number) not in numbered]:
            raise ValueError(f"id2label has {len(numbered)} labels and none numbered {missing[0]}")
        if len(set(numbered.values())) < len(numbered):
            raise ValueError("id2label has a label twice")
        return self

    @property
    def pooling(self) -> Literal["first", "mean"]:
        """What the head of a text reads."""
        return self.xlmr.pooling if self.xlmr else "first"

    @property
    def labels(self) -> tuple[str, ...]:
        """In the order of the scores."""
        numbered = self.id2label or {}
        return tuple(numbered[str(number)] for number in range(len(numbered)))

    def kind_name(self, config: ModelConfig) -> str | None:
        """The kind of the head; None where there is none that is known here."""
        suffix = (self.architectures or [""])[0].removeprefix(STEMS[config.norm]).removeprefix(MEAN)
        fitting = [name for name, kind in KINDS.items() if kind.suffix == suffix]
        if self.problem_type == "regression":
            fitting = [RegressionKind.name] if RegressionKind.name in fitting else []
        if not fitting:
            return None
        return self.xlmr.kind if self.xlmr and self.xlmr.kind in fitting else fitting[0]


def read_tuned_config(folder: Path) -> TunedConfig:
    """What the folder's config.json says of a head. Errors: XlmrError naming the file and the key."""
    return read_json_as(TunedConfig, folder / CONFIG, "name the model/ folder of a finetune stage")


def read_kind(folder: Path) -> Kind:
    """The kind of a fine-tuned model. Errors: XlmrError for a folder of no such model, or that contradicts itself."""
    config, described = read_config(folder), read_tuned_config(folder)
    name, path = described.kind_name(config), folder / CONFIG
    if name is None:
        raise XlmrError(f"{path}: not a fine-tuned model", "name the model/ folder of a finetune stage")
    if name in LABELLED and not described.labels:
        raise XlmrError(f"{path}: id2label is missing", f"a model for {name} names its labels there")
    given = described.xlmr.model_dump(exclude_none=True) if described.xlmr else {}
    limits = {"longest": config.max_sequence_length} | {key: given[key] for key in LIMITS if key in given}
    if not 3 <= limits["longest"] <= config.max_sequence_length:
        raise XlmrError(
            f"{path}: {OWN}.longest is {limits['longest']}, the model reads {config.max_sequence_length} tokens",
            f"set it to a number from 3 to {config.max_sequence_length}",
        )
    if name == SpanKind.name:
        limits |= {"longest_question": _longest_question(limits, path)}
    recipe = Recipe(**limits, dtype="fp32", pooling=described.pooling)  # predictions must not depend on the processor
    return KINDS[name](described.labels if name in LABELLED else (), recipe, given.get("task", ""))


def _longest_question(limits: Mapping[str, Any], path: Path) -> int:
    """Tokens of a question, beside which a window needs some for the context. Errors: XlmrError where it has none."""
    most: int = limits["longest"] - BESIDE_A_QUESTION
    given: int = limits.get("longest_question", min(Recipe().longest_question, most))
    if not 1 <= given <= most:
        raise XlmrError(
            f"{path}: {OWN}.longest_question is {given}, of windows of {limits['longest']} tokens",
            f"set it to a number from 1 to {most}" if most > 0 else "the model is too short for questions and contexts",
        )
    return given
