"""The settings of the pretrain package. Light: nothing heavy here."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Annotated, Any, ClassVar, Literal

from pydantic import field_validator, model_validator

from pipeline.config import FileAddress, LocalPath, Section, Seed, setting
from pretrain.choices import LAYERS, MASKING, MIXING, TRACKERS
from pretrain.comparable.settings import ComparableSettings
from pretrain.presets import SHAPES

ROBERTA = "RoBERTa's practice; unpublished for XLM-R"


class ModelSettings(Section):
    """The architecture. The defaults are XLM-R Base; ``preset`` changes them, and what is given besides goes first."""

    renamed: ClassVar[Mapping[str, str]] = {
        "layers": "num_hidden_layers",
        "width": "hidden_size",
        "heads": "num_attention_heads",
        "feed_forward": "intermediate_size",
        "positions": "max_position_embeddings",
        "rows_multiple_of": "pad_vocab_to_multiple_of",
    }

    preset: str | None = setting(
        None, f"defaults of another model: {', '.join(SHAPES)}", source="the papers", affects_result=False, exclude=True
    )
    num_hidden_layers: int = setting(12, "Transformer layers", source="XLM-R paper, section 3", ge=1)
    hidden_size: int = setting(768, "size of the hidden vectors", source="XLM-R paper, section 3", ge=8)
    num_attention_heads: int = setting(
        12, "attention heads; they divide the hidden size", source="XLM-R paper, section 3", ge=1
    )
    intermediate_size: int = setting(3072, "inner size of the feed-forward layers", source="XLM-R paper", ge=8)
    norm: Literal["post", "pre"] = setting(
        "post", "LayerNorm after each sum (Base, Large) or before each branch (XL, XXL)", source="XL paper, section 2"
    )
    layer: Annotated[str, LAYERS] = setting(
        "standard", "what each layer is; another one than ours is trained, and has no place in Hugging Face's layout"
    )
    max_position_embeddings: int = setting(
        514, "rows of the position table: the longest sequence + 2", source="fairseq", ge=4
    )
    dropout: float = setting(0.1, "dropout on hidden vectors", source="RoBERTa", ge=0, lt=1)
    attention_dropout: float = setting(0.1, "dropout on attention weights", source="RoBERTa", ge=0, lt=1)
    pad_vocab_to_multiple_of: int = setting(
        1, "the embedding table gets rows up to a multiple of this (XL, XXL: 1024)", source="XL's released table", ge=1
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, values: Any) -> Any:
        name = values.get("preset") if isinstance(values, dict) else None
        if name is None:
            return values
        if not isinstance(name, str) or name not in SHAPES:
            near = difflib.get_close_matches(str(name), SHAPES, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"no preset {name} among {', '.join(SHAPES)}{hint}")
        shape = {key: value for key, value in asdict(SHAPES[name]).items() if key != "vocabulary_size"}
        return {**shape, **values}

    @model_validator(mode="after")
    def _heads_divide_hidden_size(self) -> ModelSettings:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads {self.num_attention_heads}"
            )
        return self


class DataSettings(Section):
    """Which sequences are seen, in which order, with which masks."""

    renamed: ClassVar[Mapping[str, str]] = {
        "validation_samples": "validation_sequences",
    }

    mixing: Annotated[str, MIXING] = setting("alpha", "what gives the shares of the languages")
    alpha: float = setting(
        0.3, "languages are drawn with p ∝ (n/N)^alpha, n in sequences", source="XLM-R paper, section 3", gt=0, le=1
    )
    weights: dict[str, float] = setting(
        {}, "of languages, for mixing: weights; a language that is not named is not trained on"
    )
    seed: Seed = setting(1, "of the weights, the order of sequences, the masks and the dropout")
    masking: Annotated[str, MASKING] = setting(
        "token", "which positions are predicted", source="XLM-R: token; BERT: whole-word; SpanBERT: span"
    )
    mask_rate: float = setting(0.15, "share of positions to predict", source="BERT, RoBERTa", gt=0, lt=1)
    validation_sequences: int = setting(16, "validation sequences of each language that are scored", ge=1)
    pair_share: float = setting(
        0.0,
        "share of the sequences of each global batch that are pairs of translations: 0 is MLM alone, 1 TLM alone",
        source="TLM: Conneau and Lample 2019, section 3.3; XLM-R does without, section 5.1",
        ge=0,
        le=1,
    )

    @model_validator(mode="after")
    def _weights_are_given(self) -> DataSettings:
        if self.mixing == "weights" and not any(weight > 0 for weight in self.weights.values()):
            raise ValueError("mixing: weights needs weights, a number above 0 for one language at least")
        if any(weight < 0 for weight in self.weights.values()):
            raise ValueError("weights are numbers of 0 or more")
        return self

    def inert(self) -> Collection[str]:
        """What another mixing strategy reads."""
        return [name for name, strategy in {"alpha": "alpha", "weights": "weights"}.items() if self.mixing != strategy]


class PairSettings(Section):
    """Parallel text, for the objective TLM."""

    files: tuple[FileAddress, ...] = setting(
        (),
        "addresses or patterns of parallel text: NAME.de-en.tsv (two columns), or NAME.de-en.de beside NAME.de-en.en;"
        " .gz, .xz, .bz2 too",
        source="the layout of OPUS",
    )
    validation_share: float = setting(
        0.001, "share of the pairs kept for validation, by a hash of their text", gt=0, lt=1
    )

    def inert(self) -> Collection[str]:
        """The share of no pairs."""
        return () if self.files else ("validation_share",)


LARGEST_BUCKET = 500_000_000
"""Gradients that are collected before they are sent: DeepSpeed's default, which it takes whole for any model."""

OVERLAPPED_BUCKET = 25_000_000
"""The same where they are sent during the backward pass: 100 MB in fp32, enough to use a network's bandwidth."""

RAW_SECTIONS = ("zero_optimization", "prescale_gradients", "gradient_predivide_factor")
"""DeepSpeed's settings that ``deepspeed`` may give. All others follow from this section, or do nothing here."""

OWN_SETTINGS = {
    "stage": "zero_stage", "overlap_comm": "overlap_comm", "reduce_bucket_size": "reduce_bucket_size",
    "allgather_bucket_size": "allgather_bucket_size", "offload_optimizer": "offload_optimizer",
    "cpu_offload": "offload_optimizer",
}  # fmt: skip
"""DeepSpeed's settings of zero_optimization that pretrain.train gives -> the setting there."""


class TrainSettings(Section):
    """How the model is trained. The defaults are XLM-R Base's, at a global batch of 8,192 sequences."""

    renamed: ClassVar[Mapping[str, str]] = {
        "updates": "steps",
        "warmup": "warmup_steps",
        "clip": "max_grad_norm",
        "head_chunk": "loss_chunk_size",
        "start_from": "init_from",
        "start_from_frequencies": "init_bias_from_unigram",
        "recompute": "activation_checkpointing",
        "keep": "keep_last",
    }

    steps: int = setting(1_500_000, "optimiser steps in all", source="XLM-R paper, section 4", ge=1)
    global_batch: int = setting(8192, "sequences per step, over all ranks", source="XLM-R paper, section 4", ge=1)
    micro_batch: int = setting(
        32, "sequences that go through the model at once on one rank", affects_result=False, ge=1
    )
    peak_learning_rate: float = setting(6e-4, "reached after the warm-up", source=ROBERTA, gt=0)
    warmup_steps: int = setting(24_000, "steps of linear warm-up; linear decay to 0 follows", source=ROBERTA, ge=0)
    betas: tuple[float, float] = setting((0.9, 0.98), "of Adam", source=ROBERTA)
    epsilon: float = setting(1e-6, "of Adam", source=ROBERTA, gt=0)
    weight_decay: float = setting(0.01, "decoupled, on all parameters", source=ROBERTA, ge=0)
    max_grad_norm: float = setting(1.0, "largest norm of the gradient; 0 does not clip", ge=0)
    dtype: Literal["auto", "fp32", "bf16"] = setting(
        "auto", "arithmetic of the matrix products; auto is bf16 where the processor has it, else fp32"
    )
    weights: Literal["auto", "fp32", "bf16"] = setting(
        "auto", "weights that bf16 products use: fp32, or bf16 beside fp32 masters; auto is bf16 on a GPU"
    )
    zero_stage: Literal[0, 1, 2, 3] = setting(
        0, "DeepSpeed ZeRO; at least 1 where weights are bf16", affects_result=False
    )
    overlap_comm: bool | None = setting(
        None,
        "whether gradients are sent during the backward pass: on several GPUs, at zero_stage 2 or 3, or 1 with fp32"
        " weights; not given: at zero_stage 3 only",
        source="DeepSpeed",
        affects_result=False,
    )
    reduce_bucket_size: int = setting(
        0,
        "gradients (numbers, not bytes) that are collected before they are sent, under ZeRO; 0: all, up to 500 million,"
        " or 25 million where overlap_comm is true",
        affects_result=False,
        ge=0,
    )
    allgather_bucket_size: int = setting(
        500_000_000,
        "weights that are gathered at once after a step, at zero_stage 1 and 2",
        source="DeepSpeed",
        affects_result=False,
        ge=1,
    )
    gradient_dtype: Literal["fp32", "bf16"] = setting(
        "fp32", "type in which ranks sum their gradients; bf16 sends half the bytes and rounds sums to 8 bits"
    )
    offload_optimizer: bool = setting(
        False,
        "keep Adam and the fp32 weights in the machine's memory, and step on the CPU; at zero_stage 1, 2 or 3",
        affects_result=False,
    )
    deepspeed: dict[str, Any] = setting(
        {}, f"DeepSpeed's own settings, merged over those that follow from this section: {', '.join(RAW_SECTIONS)}"
    )
    tensor_parallel: int = setting(
        1, "ranks that share each matrix", source="XL paper, section 2: XL 2, XXL 8", affects_result=False, ge=1
    )
    loss_chunk_size: int = setting(
        4096, "masked positions whose scores over the vocabulary are held at once; 0 is all", affects_result=False, ge=0
    )
    compile: bool = setting(False, "torch.compile for each layer and for the head's softmax", affects_result=False)
    initialisation: Literal["normal", "mimetic", "comparable_pages"] = setting(
        "normal",
        "of the weights: N(0, 0.02); with one matrix for queries and keys in each head, so that alike looks at alike"
        " from the first step on (mimetic: short runs of small models need not learn it first); or with the tokens'"
        " vectors of pretrain.comparable, a signal across languages that XLM-R does without",
        source="RoBERTa; mimetic: Trockman and Kolter 2023; comparable_pages: Søgaard et al. 2015",
    )
    embedding_rate: float = setting(
        1.0,
        "learning rate of the tokens' table, as a share of the others'; 0: it stays as it is, and costs no gradient",
        ge=0,
        le=1,
    )
    init_from: LocalPath = setting(
        "",
        "folder of a model as Hugging Face lays it out (XLM-R, say), whose weights training starts from; tokens that"
        " its vocabulary lacks begin as the mean of its tokens that spell them; empty: weights are drawn by the seed",
        affects_result=False,  # what is in it counts, not where it lies
    )
    init_bias_from_unigram: bool = setting(
        False, "the head's bias starts at ln of the tokens' frequencies; short runs need not learn them first"
    )
    activation_checkpointing: bool = setting(
        False, "recompute activations in the backward pass instead of keeping them", affects_result=False
    )
    threads: int = setting(0, "threads of a CPU rank; 0 leaves it to PyTorch", affects_result=False, ge=0)
    timeout_minutes: float = setting(
        60,
        "for which a rank waits for the others: the first alone hashes checkpoints and waits for the disk",
        affects_result=False,
        gt=0,
    )
    stall_seconds: float = setting(
        60,
        "after which all ranks end where one stands still within a step; the first step, checkpoints and resuming have"
        " timeout_minutes",
        affects_result=False,
        gt=0,
    )
    deterministic: bool = setting(
        False,
        "PyTorch's deterministic algorithms: on GPUs too, sums have a fixed order, at some speed",
        affects_result=False,
    )
    max_skipped: int = setting(20, "non-finite steps in a row after which the run stops", affects_result=False, ge=1)
    log_every: int = setting(10, "steps between two lines of metrics.jsonl", affects_result=False, ge=1)
    evaluate_every: int = setting(1000, "steps between two validations", affects_result=False, ge=1)
    checkpoint_every: int = setting(1000, "steps between two checkpoints", affects_result=False, ge=1)
    checkpoint_seconds: float = setting(
        1800, "seconds after which a checkpoint is due anyway", affects_result=False, gt=0
    )
    checkpoint_memory: float = setting(
        64, "GB of memory that may hold copies of the state which wait for the disk", affects_result=False, gt=0
    )
    keep_last: int = setting(2, "newest checkpoints kept", affects_result=False, ge=1)
    keep_every: int = setting(
        0, "checkpoints whose step is a multiple of this stay too; 0: none", affects_result=False, ge=0
    )
    keep_best: bool = setting(
        False,
        "the one of the lowest validation loss stays too; what is exported is the last all the same",
        source="XLM-R paper, section 5.1: validation perplexity is a bad stopping rule",
        affects_result=False,
    )
    trackers: tuple[Annotated[str, TRACKERS], ...] = setting(
        (), "who gets the numbers besides metrics.jsonl and TensorBoard's file; extras", affects_result=False
    )

    @property
    def from_comparable_pages(self) -> bool:
        """Whether the tokens' table starts from the vectors of pretrain.comparable."""
        return self.initialisation == "comparable_pages"

    @field_validator("deepspeed")
    @classmethod
    def _raw_settings_are_known(cls, given: dict[str, Any]) -> dict[str, Any]:
        for name in given:
            if name not in RAW_SECTIONS:
                raise ValueError(f"{name} cannot be given here; these can: {', '.join(RAW_SECTIONS)}")
        zero = given.get("zero_optimization", {})
        if not isinstance(zero, dict):
            raise ValueError("zero_optimization is a section")
        for name, own in OWN_SETTINGS.items():
            if name in zero:
                raise ValueError(f"zero_optimization.{name} is given by pretrain.train.{own}: set that")
        return given

    @model_validator(mode="after")
    def _settings_of_zero(self) -> TrainSettings:
        if not self.zero_stage:
            given = {
                "overlap_comm": self.overlap_comm,
                "reduce_bucket_size": self.reduce_bucket_size,
                "offload_optimizer": self.offload_optimizer,
                "deepspeed.zero_optimization": self.deepspeed.get("zero_optimization"),
            }
            for name, value in given.items():
                if value:
                    raise ValueError(f"{name} needs zero_stage 1, 2 or 3")
        default = type(self).model_fields["allgather_bucket_size"].default
        if self.zero_stage in (0, 3) and self.allgather_bucket_size != default:
            raise ValueError("allgather_bucket_size needs zero_stage 1 or 2")
        return self

    @model_validator(mode="after")
    def _one_start(self) -> TrainSettings:
        if self.init_from and (self.init_bias_from_unigram or self.initialisation != "normal"):
            raise ValueError("init_from brings its weights: leave out init_bias_from_unigram and initialisation")
        return self


def usual_warmup_steps(steps: int) -> int:
    """6 % of the steps. Source: RoBERTa Base's 24,000 of 500,000 are 5 %, its fine-tuning's share is 6 %."""
    return steps * 6 // 100


def largest_bucket(train: TrainSettings) -> int:
    """Gradients (numbers) that are collected before they are sent, unless there are fewer.

    A bucket as large as the model would be sent when the backward pass has ended: so it is small where they overlap.
    """
    return train.reduce_bucket_size or (OVERLAPPED_BUCKET if train.overlap_comm else LARGEST_BUCKET)


class PretrainConfig(Section):
    """The package's settings."""

    model: ModelSettings = setting(default_factory=ModelSettings, description="the architecture")
    data: DataSettings = setting(default_factory=DataSettings, description="sequences and masks")
    pairs: PairSettings = setting(default_factory=PairSettings, description="parallel text")
    comparable: ComparableSettings = setting(
        default_factory=ComparableSettings, description="the same page in several languages"
    )
    train: TrainSettings = setting(default_factory=TrainSettings, description="the optimisation")

    def inert(self) -> Collection[str]:
        """Pairs and comparable pages: training reads what pretrain.pairs and pretrain.comparable made of them."""
        return ("pairs", "comparable")
