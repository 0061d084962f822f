"""What a training asks of a machine: an architecture, the length of its samples and how it is trained.

From a YAML file of a run, or from the name of one of the papers' sizes. Light: no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError, XlmrError
from pretrain.presets import SHAPES, Shape, parameters_of
from pretrain.stages import TrainSettings
from tokenizer.folder import load_tokenizer

DEMO = "demo"
SIZES = {DEMO: Shape(4, 256, 4, 1024, pieces=16_000), **SHAPES}
"""The papers' shapes, and that of configs/demo.yaml."""


@dataclass(frozen=True)
class Workload:
    """An architecture at work. ``length`` counts the pieces of a sample, its ``<s>`` included."""

    name: str
    shape: Shape
    length: int
    train: TrainSettings
    positions: int = 514
    dropout: float = 0.1
    attention_dropout: float = 0.1
    mask_rate: float = 0.15

    @property
    def parameters(self) -> int:
        """Numbers to learn, the tied table once."""
        return parameters_of(self.shape, self.positions)


def of_size(name: str) -> Workload:
    """One of the papers' sizes, or the demo's. Errors: UsageError."""
    if name not in SIZES:
        raise UsageError(f"{name}: no such size", f"the sizes are {', '.join(SIZES)}")
    if name == DEMO:
        train = TrainSettings(global_batch=16, micro_batch=16, updates=1000, warmup=60)
        return Workload(name, SIZES[name], 128, train, 130, 0.0, 0.0)
    large = SIZES[name].norm == "pre"
    train = TrainSettings(global_batch=2048, micro_batch=8, updates=500_000) if large else TrainSettings()
    return Workload(name, SIZES[name], 512, train)


def of_config(path: Path, overrides: Sequence[str] = ()) -> Workload:
    """What a run's YAML file asks for. Errors: UsageError, XlmrError where samples are longer than the positions."""
    from pipeline.dag import Dag

    config: Any = Dag.default().load_config(path, overrides)
    model, encode = config.pretrain.model, config.tokenizer.encode
    if encode.sample_length > model.positions - 2:
        raise XlmrError(
            f"{path}: samples have {encode.sample_length} pieces, the model has positions for {model.positions - 2}",
            f"set pretrain.model.positions to {encode.sample_length + 2} or more",
        )
    shape = Shape(
        model.layers, model.width, model.heads, model.feed_forward, model.norm, model.rows_multiple_of,
        _pieces(config.tokenizer),
    )  # fmt: skip
    return Workload(
        config.run.project, shape, encode.sample_length, config.pretrain.train, model.positions,
        model.dropout, model.attention_dropout, config.pretrain.data.mask_rate,
    )  # fmt: skip


def _pieces(tokenizer: Any) -> int:
    """Of the vocabulary that is to be learnt, or of the one that is there. Errors: XlmrError naming its file."""
    existing = tokenizer.existing.path()
    if existing is None:
        return int(tokenizer.train.vocabulary_size)
    if not existing.exists():
        fix = "it is named by tokenizer.existing.model: fix the setting or put it there"
        raise XlmrError(f"{existing}: no such file", fix)
    return load_tokenizer(existing).vocabulary_size - 2  # <pad> and <mask>
