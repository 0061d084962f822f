"""What the finetune package offers to the core: settings, one stage a task, report, tools. Light: nothing heavy here.

pretrain.export's folder + labelled files -> finetune.<task> (results, predictions, the best model's folder).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import model_validator

from finetune.data.settings import HelpPages, TaskSettings
from pipeline.config import LocalPath, Section, Seed, setting
from pipeline.errors import XlmrError
from pipeline.stage import Inputs, Package, Stage
from pipeline.storage import read_json
from pretrain.conversion import files_of

EXPORT, COMPARABLE, ABLATION = "pretrain.export", "pretrain.comparable", "pretrain.ablation"
MADE = (EXPORT, COMPARABLE, ABLATION)
"""The stages that make what an encoder begins with."""
XNLI = "XLM-R's known XNLI recipe"
WINDOWS = ("recipe.stride", "recipe.longest_question", "recipe.longest_answer")


Initialisation = Literal["pretrained", "random", "comparable_pages", "ablation"]
"""What the weights of an encoder are when its fine-tuning begins."""

MADE_BY: Mapping[str, str] = {"pretrained": EXPORT, "comparable_pages": COMPARABLE, "ablation": ABLATION}
"""Initialisation -> the stage that makes it."""


class EncoderFolder(Section):
    """Where the encoder comes from."""

    folder: LocalPath = setting(
        "",
        "folder of an XLM-R as Hugging Face lays it out (config.json, model.safetensors, and"
        " sentencepiece.bpe.model or tokenizer.json), whatever its head; empty: pretrain.export's",
        affects_result=False,  # what is in it counts, not where it lies
    )
    head: bool = setting(
        True,
        "start from the head too, where the folder holds a model fine-tuned on a task of the same kind (and with the"
        " same labels, if it has any); else begin a new one",
    )

    def files(self) -> dict[str, str]:
        """Its files, each with the setting that named it; none where it is pretrain.export's.

        Errors: XlmrError for weights in a form that is not read, which says how to convert them.
        """
        return dict.fromkeys(files_of(Path(self.folder)), "encoder.folder") if self.folder else {}


class Recipe(Section):
    """How every run is fine-tuned, from pretrained and from random weights alike."""

    renamed: ClassVar[Mapping[str, str]] = {
        "recompute": "activation_checkpointing",
        "updates_an_epoch": "steps_per_epoch",
        "warmup": "warmup_ratio",
        "clip": "max_grad_norm",
        "runs_on_a_gpu": "runs_per_gpu",
    }

    longest: int = setting(512, "tokens of a text, <s> and </s> included; the rest is cut", source="XLM-R", ge=3)
    stride: int = setting(
        128, "of questions: tokens from the start of one window over a context to the next", source="MLQA's code", ge=1
    )
    longest_question: int = setting(64, "tokens of a question; the rest is cut", source="MLQA's code", ge=1)
    longest_answer: int = setting(30, "tokens of an answer", source="MLQA's code", ge=1)
    no_answer_threshold: float | None = setting(
        None,
        "of questions: nothing is answered where the score of no answer exceeds the best answer's by more than this;"
        " empty: 0 for a task with questions that have no answer (SQuAD 2.0), else there is always an answer",
        source="BERT's code for SQuAD 2.0",
    )
    batch: int = setting(32, "texts a step", source="XL paper, section 3", ge=1)
    epochs: int = setting(10, "passes over the training texts", source="XL paper, section 3", ge=1)
    steps_per_epoch: int = setting(
        0, "steps after which dev is scored; 0 is a pass over the training texts", source=f"{XNLI}: 5,000", ge=0
    )
    patience: int = setting(5, "epochs without a better dev score after which a run stops", source=XNLI, ge=1)
    learning_rates: tuple[float, ...] = setting(
        (5e-6,),
        "peaks to try; each initialisation keeps the one with the best mean dev score",
        source=f"{XNLI}: 2e-6, 5e-6, 7.5e-6, 1e-5",
        min_length=1,
    )
    warmup_ratio: float = setting(0.06, "share of the steps to warm up in", source="RoBERTa, GLUE", ge=0, lt=1)
    betas: tuple[float, float] = setting((0.9, 0.98), "of Adam", source="RoBERTa")
    epsilon: float = setting(1e-6, "of Adam", source="RoBERTa", gt=0)
    weight_decay: float = setting(0.1, "decoupled; not on biases and norms", source="RoBERTa, GLUE", ge=0)
    max_grad_norm: float = setting(1.0, "largest norm of the gradient", gt=0)
    pooling: Literal["first", "mean"] = setting(
        "first",
        "what the head of whole texts reads: the vector of <s>, or the mean over the text's tokens; transformers has no"
        " class for the mean",
        source="XLM-R: <s>",
    )
    embedding_rate: float = setting(
        1.0, "learning rate of the tokens' table, as a share of the others'; 0: it stays as it is", ge=0, le=1
    )
    layerwise_lr_decay: float = setting(
        1.0,
        "learning rate of each layer, as a share of the one's above; the embeddings are below the first layer",
        source="1: RoBERTa; 0.8: ELECTRA, Small",
        gt=0,
        le=1,
    )
    dropout: float = setting(0.1, "in the head, before both matrices", source="RoBERTa", ge=0, lt=1)
    encoder_dropout: float | None = setting(
        None, "dropout inside the encoder; empty: what its config.json says (XLM-R: 0.1)", ge=0, lt=1
    )
    dtype: Literal["auto", "fp32", "bf16"] = setting(
        "auto", "arithmetic of the matrix products; auto is bf16 where the processor has it, else fp32"
    )
    tensor_parallel: int = setting(
        1,
        "ranks that share each matrix; ranks are started by python -m finetune --ranks N run CONFIG",
        source="XL paper, section 2: XL 2, XXL 8",
        affects_result=False,
        ge=1,
    )
    zero_stage: Literal[0, 1, 2, 3] = setting(
        0,
        "what the other ranks share, by DeepSpeed ZeRO: 1 Adam's state, 2 gradients too, 3 weights too",
        affects_result=False,
    )
    micro_batch: int = setting(
        0, "texts of a batch that go through the model at once on one rank; 0: all", affects_result=False, ge=0
    )
    activation_checkpointing: bool = setting(
        False, "work activations out again on the way back instead of keeping them: less memory", affects_result=False
    )
    runs_per_gpu: int = setting(
        1,
        "runs that share a GPU; no more go at once than the GPUs then take, nor than run.workers",
        affects_result=False,
        ge=1,
    )
    threads: int = setting(1, "threads of each run; part of the result, for sums are added in another order", ge=1)


class Protocol(Section):
    """What is compared."""

    seeds: tuple[Seed, ...] = setting((1, 2, 3, 4, 5), "one run each", source="XLM-R: mean of 5 seeds", min_length=1)
    initialisations: tuple[Initialisation, ...] = setting(
        ("pretrained", "random"),
        "where the encoder's weights come from; random is the same network untrained, comparable_pages that network"
        " with the vectors of pretrain.comparable, ablation the model of pretrain.ablation",
    )
    choose: Literal["joint", "language"] = setting(
        "joint",
        "what epoch and learning rate are chosen by: the mean over dev's languages, which keeps one model, or for each"
        " language its own dev score",
        source="XLM-R, Table 1: #M = 1 and #M = N",
    )
    baselines: bool = setting(True, "also score what needs no model: majority, fastText, a word list and their like")
    baseline_rows: int = setting(
        100_000,
        "training texts that fastText learns from, drawn by chance where there are more; 0: all. It has one thread, so"
        " as to say the same each time: of millions of texts it would learn for hours",
        ge=0,
    )

    def inert(self) -> Collection[str]:
        """The rows that baselines learn from, where there are none."""
        return () if self.baselines else ("baseline_rows",)

    @model_validator(mode="after")
    def _each_once(self) -> Protocol:
        for values in (self.seeds, self.initialisations):
            if len(set(values)) != len(values):
                raise ValueError(f"{values} names something twice")
        return self


class FinetuneConfig(Section):
    """The package's settings."""

    encoder: EncoderFolder = setting(default_factory=EncoderFolder, description="what is fine-tuned")
    help_pages: HelpPages = setting(default_factory=HelpPages, description="which module a help page is about")
    task: TaskSettings = setting(default_factory=TaskSettings, description="any other task")
    recipe: Recipe = setting(default_factory=Recipe, description="the optimisation")
    protocol: Protocol = setting(default_factory=Protocol, description="the comparison")


@dataclass(frozen=True)
class Encoders:
    """What runs start from: the folder of the pretrained encoder, and initialisation -> the folder of what it takes."""

    pretrained: Path
    others: Mapping[str, Path] = field(default_factory=dict)


class HelpPagesConfig(Section):
    """What ``finetune.help_pages`` reads."""

    encoder: EncoderFolder = EncoderFolder()
    help_pages: HelpPages
    recipe: Recipe
    protocol: Protocol

    def inert(self) -> Collection[str]:
        """Windows over contexts, where there are no questions."""
        return () if self.task.has_questions else WINDOWS

    @property
    def task(self) -> TaskSettings:
        """The pages as a task like every other."""
        return TaskSettings(name="own", own=self.help_pages, test_languages=self.help_pages.test_languages)


class TaskConfig(Section):
    """What ``finetune.task`` reads."""

    encoder: EncoderFolder = EncoderFolder()
    task: TaskSettings
    recipe: Recipe
    protocol: Protocol

    def inert(self) -> Collection[str]:
        """How a task is trained, where there is none; windows over contexts, where it has no questions."""
        if self.task.name == "none":
            return ("encoder", "recipe", "protocol")
        return () if self.task.has_questions else WINDOWS


def _help_pages_files(config: Any) -> dict[str, str]:
    from finetune.data.own import files

    named = {address: f"help_pages.{split}" for split, some in files(config.task).items() for address in some.values()}
    return named | config.encoder.files()


def _task_files(config: Any) -> dict[str, str]:
    from finetune.data.reading import task_files

    if config.task.name == "none":
        return {}
    return dict.fromkeys(task_files(config.task), "task") | config.encoder.files()


def _needs(config: HelpPagesConfig | TaskConfig) -> tuple[str, ...]:
    wanted = {MADE_BY[name] for name in config.protocol.initialisations if name in MADE_BY} | {EXPORT}
    return tuple(stage for stage in MADE if stage in wanted and not (stage == EXPORT and config.encoder.folder))


def check_longest(settings: Mapping[str, Any]) -> None:
    """Whether the encoder has positions for the texts. Errors: XlmrError; for another fault of its folder, its own."""
    folder, longest = settings["finetune.encoder.folder"], settings["finetune.recipe.longest"]
    positions = settings.get("pretrain.model.max_position_embeddings")
    if folder:
        described = read_json(Path(folder) / "config.json")
        positions = described.get("max_position_embeddings") if isinstance(described, dict) else None
    if isinstance(positions, int) and longest > positions - 2:
        raise too_long(longest, positions - 2)


def check_task(settings: Mapping[str, Any]) -> None:
    """The same for ``finetune.task``, where there is one."""
    if settings["finetune.task.name"] != "none":
        check_longest(settings)


def too_long(longest: int, most: int) -> XlmrError:
    """What is wrong with texts of more tokens than the encoder reads."""
    return XlmrError(
        f"finetune.recipe.longest is {longest}, the encoder reads {most} tokens",
        f"set finetune.recipe.longest to {most} or less",
    )


def encoder_of(config: HelpPagesConfig | TaskConfig, inputs: Inputs) -> Encoders:
    """The folder of the encoder that a stage is given, and those that it is compared with."""
    pretrained = Path(config.encoder.folder) if config.encoder.folder else inputs[EXPORT]
    others = {name: inputs[stage] for name, stage in MADE_BY.items() if stage != EXPORT and stage in inputs}
    return Encoders(pretrained, others)


PACKAGE = Package(
    name="finetune",
    config=FinetuneConfig,
    stages=(
        Stage(
            name="finetune.help_pages",
            version=4,
            extra="train",
            config=HelpPagesConfig,
            run="finetune.help_pages:run",
            fits="finetune.stages:check_longest",
            gpu=True,
            summary="tell what a help page is about, in languages never trained on",
            then="xlmr finetune predict 'A text of yours.' --model {output}/model",
            inputs=MADE,
            needs=_needs,
            instead="finetune.encoder.folder",
            outside=_help_pages_files,
            resumable=True,
        ),
        Stage(
            name="finetune.task",
            version=4,
            extra="train",
            config=TaskConfig,
            run="finetune.task_stage:run",
            fits="finetune.stages:check_task",
            gpu=True,
            summary="fine-tune and test on the task that finetune.task names (none by default)",
            inputs=MADE,
            needs=_needs,
            instead="finetune.encoder.folder",
            outside=_task_files,
            resumable=True,
        ),
    ),
    report="finetune.report:sections",
    measures="finetune.measures:measures",
    examples={
        "predict": (
            "xlmr finetune predict 'The sum of a range of cells.' --model runs/demo/finetune.help_pages/KEY/model",
            "xlmr finetune predict --input texts.tsv --output predictions.tsv --model MODEL",
        ),
        "table": ("xlmr finetune table xnli runs/xnli-transfer",),
    },
    tools={"predict": "finetune.predict_tool:predict", "table": "finetune.tables:table"},
)
