"""Stage pretrain.ablation: the training of pretrain.train without comparable pages, and its export.

Sequences -> a folder in Hugging Face's layout, and the training's own files beside it: what fine-tuning compares with.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.context import Context
from pipeline.counts import Counts
from pipeline.report.body import ReportFigure
from pipeline.stage import Inputs
from pretrain.export import run as export
from pretrain.ranks.launch import run as train
from pretrain.report import live_loss as loss_of_training
from pretrain.stages import AblationConfig, ExportConfig

TRAINING, MODEL = "training", "model"


def run(config: AblationConfig, inputs: Inputs, output: Path, context: Context) -> Counts:
    """The stage; nothing unless it is asked for. Errors: XlmrError, those of pretrain.train and pretrain.export."""
    if not config.live:
        return {}
    plain, training = config.without_comparable_pages, output / TRAINING
    training.mkdir(parents=True, exist_ok=True)
    counts = train(plain, inputs, training, context)
    made = {**inputs, "pretrain.train": training}
    export(ExportConfig(model=plain.model), made, output / MODEL, context)
    return counts


def live_loss(output: Path) -> ReportFigure | None:
    """The loss so far of its training, while it runs; None before its first numbers."""
    return loss_of_training(output / TRAINING)
