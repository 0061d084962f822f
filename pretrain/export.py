"""Stage pretrain.export: the last checkpoint in Hugging Face's layout, with its tokenizer and a model card.

Checkpoint and tokenizer -> a folder for ``AutoModelForMaskedLM.from_pretrained`` and ``AutoTokenizer.from_pretrained``.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.context import Context
from pipeline.counts import Counts
from pipeline.errors import XlmrError
from pipeline.stage import Inputs
from pretrain.checkpoints.checkpoint import CheckpointFolder
from pretrain.checkpoints.state import WEIGHTS
from pretrain.folder import TOKENIZER_MODEL, save_weights
from pretrain.model import build, count_parameters
from pretrain.model_card import write_card
from pretrain.stages import ExportConfig
from pretrain.tokenizer_files import check_tokenizer, copy_tokenizer
from pretrain.train import CHECKPOINTS


def run(config: ExportConfig, inputs: Inputs, output: Path, context: Context) -> Counts:
    """The stage. Errors: XlmrError when there is no whole checkpoint, or no whole tokenizer of the model's size."""
    del config
    checkpoint, faults = CheckpointFolder(inputs["pretrain.train"] / CHECKPOINTS).newest()
    for line in faults:
        context.warn(f"{line}; the checkpoint before it is exported")
    if checkpoint is None:
        raise XlmrError(f"{inputs['pretrain.train']}: no checkpoint", "run pretrain.train first")
    tokenizer, architecture = inputs["tokenizer.train"], checkpoint.architecture
    check_tokenizer(tokenizer, checkpoint.about.vocabulary_size)
    weights = checkpoint.load()[WEIGHTS]  # read one at a time: XXL's are 43 GB
    save_weights(weights, architecture, output, tokenizer / TOKENIZER_MODEL)
    copy_tokenizer(tokenizer, output, architecture.max_sequence_length)
    parameters = count_parameters(build(architecture))
    write_card(output, inputs, architecture, parameters)
    return {
        "parameters": parameters,
        "steps": checkpoint.progress.step,
    }
