"""What a training asks of a machine: an architecture, the length of its sequences and how it is trained.

From a YAML file of a run, or from the name of one of the papers' sizes. Light: no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError, XlmrError
from pretrain.presets import SHAPES, Shape, parameters_of
from pretrain.settings import TrainSettings
from tokenizer.folder import load_tokenizer

DEMO = "demo"
SIZES = {DEMO: Shape(4, 256, 4, 1024, vocabulary_size=16_000), **SHAPES}
"""The papers' shapes, and that of configs/demo.yaml."""


@dataclass(frozen=True)
class Workload:
    """An architecture at work. ``length`` counts the tokens of a sequence, its ``<s>`` included."""

    name: str
    shape: Shape
    length: int
    train: TrainSettings
    max_position_embeddings: int = 514
    dropout: float = 0.1
    attention_dropout: float = 0.1
    mask_rate: float = 0.15

    @property
    def parameters(self) -> int:
        """Numbers to learn, the tied table once."""
        return parameters_of(self.shape, self.max_position_embeddings)


def of_size(name: str) -> Workload:
    """One of the papers' sizes, or the demo's. Errors: UsageError."""
    if name not in SIZES:
        raise UsageError(f"{name}: no such size", f"the sizes are {', '.join(SIZES)}")
    if name == DEMO:
        train = TrainSettings(global_batch=16, micro_batch=16, steps=1000, warmup_steps=60)
        return Workload(name, SIZES[name], 128, train, 130, 0.0, 0.0)
    large = SIZES[name].norm == "pre"
    train = TrainSettings(global_batch=2048, micro_batch=8, steps=500_000) if large else TrainSettings()
    return Workload(name, SIZES[name], 512, train)


def of_config(path: Path, overrides: Sequence[str] = ()) -> Workload:
    """What a run's YAML file asks for. Errors: UsageError, XlmrError where sequences are longer than the positions."""
    from pipeline.dag import Dag

    return of_settings(Dag.default().load_config(path, overrides), str(path))


def of_settings(config: Any, source: str) -> Workload:
    """What a whole configuration asks for; ``source`` names it. Errors: as ``of_config``."""
    model, encode = config.pretrain.model, config.tokenizer.encode
    if encode.sequence_length > model.max_position_embeddings - 2:
        raise XlmrError(
            f"{source}: sequences have {encode.sequence_length} tokens,"
            f" the model has positions for {model.max_position_embeddings - 2}",
            f"set pretrain.model.max_position_embeddings to {encode.sequence_length + 2} or more",
        )
    shape = Shape(
        model.num_hidden_layers, model.hidden_size, model.num_attention_heads, model.intermediate_size, model.norm,
        model.pad_vocab_to_multiple_of, _tokens(config.tokenizer),
    )  # fmt: skip
    return Workload(
        config.run.project, shape, encode.sequence_length, config.pretrain.train, model.max_position_embeddings,
        model.dropout, model.attention_dropout, config.pretrain.data.mask_rate,
    )  # fmt: skip


def _tokens(tokenizer: Any) -> int:
    """Of the vocabulary that is to be learnt, or of the one that is there. Errors: XlmrError naming its file."""
    existing = tokenizer.existing.path()
    if existing is None:
        return int(tokenizer.train.vocab_size)
    if not existing.exists():
        fix = "it is named by tokenizer.existing.model: fix the setting or put it there"
        raise XlmrError(f"{existing}: no such file", fix)
    return load_tokenizer(existing).vocab_size - 2  # <pad> and <mask>
