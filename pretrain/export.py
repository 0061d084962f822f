"""Stage pretrain.export: the last checkpoint in Hugging Face's layout, with its tokenizer beside it."""

from __future__ import annotations

from pathlib import Path

from pipeline.context import Context
from pipeline.counts import Counts
from pipeline.errors import XlmrError
from pipeline.stage import Inputs
from pretrain.checkpoints.checkpoint import CheckpointFolder
from pretrain.checkpoints.state import WEIGHTS
from pretrain.folder import PIECES, save_weights
from pretrain.model import build, count_parameters
from pretrain.stages import ExportConfig
from pretrain.train import CHECKPOINTS


def run(config: ExportConfig, inputs: Inputs, output: Path, context: Context) -> Counts:
    """The stage. Errors: XlmrError when there is no whole checkpoint, or the tokenizer is not the model's."""
    del config
    checkpoint, faults = CheckpointFolder(inputs["pretrain.train"] / CHECKPOINTS).newest()
    for line in faults:
        context.warn(f"{line}; the checkpoint before it is exported")
    if checkpoint is None:
        raise XlmrError(f"{inputs['pretrain.train']}: no checkpoint", "run pretrain.train first")
    weights = checkpoint.load()[WEIGHTS]  # read one at a time: XXL's are 43 GB
    save_weights(weights, checkpoint.architecture, output, inputs["tokenizer.train"] / PIECES)
    return {
        "parameters": count_parameters(build(checkpoint.architecture)),
        "updates": checkpoint.progress.update,
    }
