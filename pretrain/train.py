"""Stage pretrain.train: sequences in; checkpoints, metrics.jsonl and baselines.json out. The loop stands in ``loop``.

An interrupted run resumes from its newest whole checkpoint, and gives the same weights as one that was not: to the bit
on CPUs; on GPUs up to the order in which some sums are made, unless ``deterministic`` is set.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from pipeline.context import Context
from pipeline.counts import Counts
from pipeline.errors import XlmrError
from pipeline.stage import Inputs
from pretrain.comparable.start import with_vectors
from pretrain.data.material import open_material
from pretrain.data.sequences import SequenceFolder
from pretrain.engine import Engine
from pretrain.loop import CHECKPOINTS, Training
from pretrain.model import MaskedLanguageModel, ModelConfig, Values, build, count_parameters, initial_values
from pretrain.ranks.device import enough_memory, free_memory, missed_gpus
from pretrain.ranks.stopping import lost_ranks
from pretrain.settings import ModelSettings, PretrainConfig, TrainSettings, usual_warmup_steps
from pretrain.stages import COMPARABLE
from pretrain.start import read_start
from pretrain.validation import count_tokens

SMALLER = (
    "lower pretrain.train.micro_batch, set pretrain.train.activation_checkpointing, or raise zero_stage or"
    " tensor_parallel; xlmr pretrain plan says what fits"
)
"""What to do where a GPU's memory does not suffice."""

__all__ = ["CHECKPOINTS", "architecture_of", "init_bias_from_unigram", "run"]


def run(config: PretrainConfig, inputs: Inputs, output: Path, context: Context) -> Counts:
    """The stage. Errors: XlmrError when the sequences do not fit the model, or when the steps are not finite."""
    try:
        return _train(config, inputs, output, context)
    finally:
        free_memory()  # processes that fine-tune come next, on the same GPU


def _train(config: PretrainConfig, inputs: Inputs, output: Path, context: Context) -> Counts:
    settings = config.train
    material = open_material(inputs)
    warn_of_languages(material.sequences, context)
    warn_of_warmup(settings, context)
    if missed := missed_gpus():
        context.warn(f"training runs on the CPU, and this machine has GPUs: {missed}")
    architecture, start = architecture_of(config.model, material.sequences), None
    if settings.init_from:
        start = read_start(Path(settings.init_from), architecture, inputs["tokenizer.train"])
        architecture = replace(architecture, layer_norm_eps=start.config.layer_norm_eps)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    torch.set_flush_denormal(True)  # denormal numbers take a CPU a hundred times longer
    model = build(architecture)
    about: Counts = {"parameters": count_parameters(model)}
    values = None
    if start is not None:
        values, about = start.values(model, config.data.seed), about | start.counts()
    elif settings.init_bias_from_unigram:
        init_bias_from_unigram(model, material.sequences)
    if settings.from_comparable_pages:
        values = with_vectors(initial_values(model, config.data.seed), inputs[COMPARABLE])
    try:
        with algorithms(deterministic=settings.deterministic), training_engine(model, config, values) as engine:
            return Training(engine, architecture, material, config, output, context).run() | about
    finally:
        torch.set_flush_denormal(False)  # it holds for the whole process, and what runs after us may count on them


@contextmanager
def training_engine(model: MaskedLanguageModel, config: PretrainConfig, values: Values | None) -> Iterator[Engine]:
    """The engine, closed at the end.

    Errors: XlmrError, also for what a collective says of a rank that is gone, and for memory that does not suffice.
    """
    with enough_memory(SMALLER), lost_ranks():
        engine = Engine(model, config.train, config.data.seed, values)
        try:
            yield engine
        finally:
            engine.close()


@contextmanager
def algorithms(*, deterministic: bool) -> Iterator[None]:
    """Let sums be made in one order on GPUs too, if that is asked for. Errors: RuntimeError where PyTorch cannot."""
    if not deterministic:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it is first used
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # nobody reads it
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def warn_of_languages(sequences: SequenceFolder, context: Context) -> None:
    """Say which languages are left out, and which have one sequence that is seen again and again."""
    if sequences.empty:
        context.warn(f"no training sequences, so left out: {', '.join(sequences.empty)}")
    alone = [language for language, array in sequences.train.items() if len(array) == 1]
    if alone:
        context.warn(f"one training sequence only, which is seen again and again: {', '.join(alone)}")


def warn_of_warmup(settings: TrainSettings, context: Context) -> None:
    """Say when the training ends before its learning rate has reached the peak, as with a few steps of a long one's."""
    if settings.warmup_steps >= settings.steps:
        context.warn(
            f"warmup_steps {settings.warmup_steps:,} is not under steps {settings.steps:,}, so the learning"
            f" rate reaches no peak; 6 % of the steps are usual, here {usual_warmup_steps(settings.steps):,}"
        )


def architecture_of(settings: ModelSettings, sequences: SequenceFolder) -> ModelConfig:
    """The architecture for these sequences. Errors: XlmrError when the sequences are longer than the position table."""
    values = settings.model_dump()
    multiple = values.pop("pad_vocab_to_multiple_of")
    config = ModelConfig(vocab_size=-(-sequences.vocabulary_size // multiple) * multiple, **values)
    if sequences.sequence_length > config.max_sequence_length:
        raise XlmrError(
            f"sequences have {sequences.sequence_length} tokens,"
            f" the model has positions for {config.max_sequence_length}",
            f"set pretrain.model.max_position_embeddings to {sequences.sequence_length + 2} or more",
        )
    return config


def init_bias_from_unigram(model: MaskedLanguageModel, sequences: SequenceFolder) -> None:
    """Let the head's bias be ln of the tokens' frequencies, add-one; the rest of the model may be on the meta device.

    Adam moves a bias by about the learning rate a step, so a short run would otherwise pay thousands of steps
    for it, or bend the tied table into saying it.
    """
    counts = np.sum(list(count_tokens(sequences).values()), axis=0) + 1.0
    bias = torch.full(model.head.bias.shape, -float(np.log(counts.sum())))
    bias[: len(counts)] = torch.from_numpy(np.log(counts / counts.sum()))
    model.head.bias = nn.Parameter(bias)
