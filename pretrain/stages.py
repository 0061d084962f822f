"""What the pretrain package offers: its stages, its report and its tools. Light: nothing heavy here.

tokenizer.encode's sequences, and those of pretrain.pairs -> pretrain.train (checkpoints, metrics)
-> pretrain.export (Hugging Face's layout). Where training starts from comparable pages, they are pretrain.comparable's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline.config import Section, setting
from pipeline.errors import XlmrError
from pipeline.stage import FirstSetting, Package, Stage
from pipeline.storage import read_json
from pretrain.comparable.settings import ComparableSettings
from pretrain.conversion import files_of
from pretrain.settings import (
    DataSettings,
    ModelSettings,
    PairSettings,
    PretrainConfig,
    TrainSettings,
    usual_warmup_steps,
)

SEQUENCES = ("tokenizer.encode", "tokenizer.train", "pretrain.pairs")
COMPARABLE = "pretrain.comparable"


class PairsConfig(Section):
    """What ``pretrain.pairs`` reads."""

    pairs: PairSettings


class ComparableConfig(Section):
    """What ``pretrain.comparable`` reads."""

    model: ModelSettings
    data: DataSettings
    comparable: ComparableSettings
    train: TrainSettings

    def inert(self) -> Collection[str]:
        """Everything, where training starts otherwise; else all but the vectors' size, the seed and the pages."""
        if not self.train.from_comparable_pages:
            return ("model", "data", "comparable", "train")
        return (
            *_all_but(ModelSettings, "model", "hidden_size"),
            *_all_but(DataSettings, "data", "seed"),
            *_all_but(TrainSettings, "train", "initialisation"),
            "comparable.ablation",
        )


class AblationConfig(PretrainConfig):
    """What ``pretrain.ablation`` reads."""

    @property
    def live(self) -> bool:
        """Whether there is something to compare with, and somebody asks."""
        return self.comparable.ablation and self.train.from_comparable_pages

    @property
    def without_comparable_pages(self) -> PretrainConfig:
        """The same training as one without them would be: nothing of its table is held back then."""
        train = self.train.model_copy(update={"initialisation": "normal", "embedding_rate": 1.0})
        return PretrainConfig.model_construct(**{**dict(self), "train": train})

    def inert(self) -> Collection[str]:
        """Everything, where there is nothing to compare with; else what the training does without."""
        if not self.live:
            return ("model", "data", "pairs", "comparable", "train")
        own = _all_but(ComparableSettings, "comparable", "ablation")
        return ("pairs", "train.initialisation", "train.embedding_rate", *own)


def _all_but(section: type[Section], name: str, kept: str) -> Iterable[str]:
    return [f"{name}.{field}" for field in section.model_fields if field != kept]


def _comparable_needs(config: ComparableConfig) -> tuple[str, ...]:
    return ("corpus.regroup", "tokenizer.train") if config.train.from_comparable_pages else ()


def _group_files(config: ComparableConfig) -> dict[str, str]:
    return dict.fromkeys(config.comparable.groups, "pretrain.comparable.groups")


def _train_needs(config: PretrainConfig) -> tuple[str, ...]:
    return (*SEQUENCES, COMPARABLE) if config.train.from_comparable_pages else SEQUENCES


def _ablation_needs(config: AblationConfig) -> tuple[str, ...]:
    return SEQUENCES if config.live else ()


def _pair_files(config: PairsConfig) -> dict[str, str]:
    return dict.fromkeys(config.pairs.files, "pairs.files")


def _start_files(config: PretrainConfig) -> dict[str, str]:
    folder = config.train.init_from
    return dict.fromkeys(files_of(Path(folder)), "train.init_from") if folder else {}


class ExportConfig(Section):
    """What export is checked against before training begins; the checkpoint says what is written."""

    model: ModelSettings = setting(default_factory=ModelSettings, description="the architecture")

    def inert(self) -> Collection[str]:
        """All of it: the key of pretrain.train has it."""
        return ("model",)


def check_export(config: ExportConfig) -> None:
    """Errors: XlmrError for a model that Hugging Face's layout has no place for."""
    if config.model.layer != "standard":
        raise XlmrError(
            f"pretrain.model.layer is {config.model.layer}, which Hugging Face's layout has no place for",
            "add --until pretrain.train",
        )


def check_lengths(settings: Mapping[str, Any]) -> None:
    """Whether the model has positions for the sequences, where the tokenizer is ours. Errors: XlmrError."""
    length = settings.get("tokenizer.encode.sequence_length", 0)
    most = settings["pretrain.model.max_position_embeddings"] - 2
    if length > most:
        raise XlmrError(
            f"tokenizer.encode.sequence_length is {length}, the model has positions for {most}",
            f"set pretrain.model.max_position_embeddings to {length + 2} or more",
        )


SIZES = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size", "max_position_embeddings")
"""What the settings and a ``config.json`` call by the same name."""


def check_training(settings: Mapping[str, Any]) -> None:
    """The same, and whether a model to start from has the sizes that are set. Errors: XlmrError.

    All that its ``config.json`` says is checked where training begins (``pretrain.start``), which needs PyTorch.
    """
    check_lengths(settings)
    if not settings["pretrain.train.init_from"]:
        return
    path = Path(settings["pretrain.train.init_from"]) / "config.json"
    described = read_json(path)
    theirs = {name: described.get(name) for name in SIZES} if isinstance(described, dict) else {}
    ours = {name: settings[f"pretrain.model.{name}"] for name in SIZES}
    differ = {name: value for name, value in theirs.items() if isinstance(value, int) and value != ours[name]}
    if differ:
        raise other_shape(path, differ, ours)


def other_shape(path: Path, differ: Mapping[str, Any], ours: Mapping[str, Any]) -> XlmrError:
    """What is wrong with a model to start from that has not the shape of the settings."""
    return XlmrError(
        f"{path}: the model to start from has {', '.join(f'{name} {value}' for name, value in differ.items())};"
        f" the settings say {', '.join(str(ours[name]) for name in differ)}",
        f"set {', '.join(f'pretrain.model.{name}' for name in differ)} to that",
    )


def _first_warmup_steps(settings: Mapping[str, Any]) -> int:
    steps = settings.get("pretrain.train.steps")  # of any type: it is checked later
    return usual_warmup_steps(steps) if isinstance(steps, int) else 0


PACKAGE = Package(
    name="pretrain",
    config=PretrainConfig,
    stages=(
        Stage(
            name="pretrain.pairs",
            version=2,
            config=PairsConfig,
            run="pretrain.data.pairs:run",
            summary="pairs of translations as sequences, for the objective TLM; none unless files are named",
            inputs=("tokenizer.encode", "tokenizer.train"),
            outside=_pair_files,
            resumable=True,
        ),
        Stage(
            name=COMPARABLE,
            version=1,
            config=ComparableConfig,
            run="pretrain.comparable.stage:run",
            summary="vectors of tokens, from pages in several languages; none unless training starts from them",
            inputs=("corpus.regroup", "tokenizer.train"),
            needs=_comparable_needs,
            outside=_group_files,
            extra="train",
        ),
        Stage(
            name="pretrain.train",
            version=3,
            extra="train",
            config=PretrainConfig,
            run="pretrain.ranks.launch:run",
            live="pretrain.report:live_loss",
            fits="pretrain.stages:check_training",
            gpu=True,
            job_script="pretrain",
            summary="train a masked language model on the sequences",
            inputs=(*SEQUENCES, COMPARABLE),
            needs=_train_needs,
            outside=_start_files,
            resumable=True,
        ),
        Stage(
            name="pretrain.export",
            version=3,
            extra="train",
            config=ExportConfig,
            run="pretrain.export:run",
            check="pretrain.stages:check_export",
            summary="write the trained model in Hugging Face's layout, with its tokenizer and a model card",
            then="xlmr pretrain fill-mask 'A text with a <mask>.' --model {output}",
            inputs=("pretrain.train", "tokenizer.train"),
        ),
        Stage(
            name="pretrain.ablation",
            version=1,
            extra="train",
            config=AblationConfig,
            run="pretrain.ablation:run",
            live="pretrain.ablation:live_loss",
            gpu=True,
            summary="the same training without comparable pages, exported; none unless comparable.ablation asks",
            inputs=SEQUENCES,
            needs=_ablation_needs,
            resumable=True,
        ),
    ),
    report="pretrain.report:sections",
    measures="pretrain.measures:measures",
    estimate="pretrain.cost.estimate:estimate",
    checks="pretrain.installation:check",
    first=(
        FirstSetting(
            "pretrain.model.preset", "pretrain.train", "base", "Size of the model (base, large, xl, xxl)?", "size"
        ),
        FirstSetting("pretrain.train.steps", "pretrain.train", 12_500, "Steps of the training?", "steps"),
        FirstSetting("pretrain.train.global_batch", "pretrain.train", 2048),
        FirstSetting("pretrain.train.micro_batch", "pretrain.train", 32),
        FirstSetting("pretrain.train.warmup_steps", "pretrain.train", derive=_first_warmup_steps),
    ),
    examples={
        "benchmark": (
            "xlmr pretrain benchmark",
            "xlmr pretrain benchmark configs/xlmr-base.yaml --alone",
        ),
        "fill-mask": (
            "xlmr pretrain fill-mask 'Click the <mask> button.' --model runs/demo/pretrain.export/KEY",
            "xlmr pretrain fill-mask - --model models/xlm-roberta-base --json < texts.txt",
        ),
        "plan": (
            "xlmr pretrain plan configs/xlmr-xl.yaml --gpus 8 --gpu-memory 80GB",
            "xlmr pretrain plan base --gpus 4 --json",
        ),
        "retrieval": ("xlmr pretrain retrieval runs/demo/pretrain.export/KEY --corpus runs/demo",),
    },
    tools={
        "benchmark": "pretrain.benchmark.tool:benchmark",
        "fill-mask": "pretrain.fill_mask:fill_mask",
        "plan": "pretrain.cost.plan:plan",
        "retrieval": "pretrain.comparable.retrieval:retrieval",
    },
)
