"""Stage pretrain.export: the last checkpoint in Hugging Face's layout, with its tokenizer beside it.

Checkpoint and tokenizer -> a folder for ``AutoModelForMaskedLM.from_pretrained`` and ``AutoTokenizer.from_pretrained``.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from pipeline.context import Context
from pipeline.counts import Counts
from pipeline.errors import XlmrError
from pipeline.stage import Inputs
from pipeline.storage import read_json, write_json
from pretrain.checkpoints.checkpoint import CheckpointFolder
from pretrain.checkpoints.state import WEIGHTS
from pretrain.folder import PIECES, save_weights
from pretrain.model import build, count_parameters
from pretrain.stages import ExportConfig
from pretrain.train import CHECKPOINTS
from tokenizer.folder import load_tokenizer

TOKENIZER, TOKENIZER_CONFIG, SPECIAL_TOKENS = "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"


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
    save_weights(weights, architecture, output, tokenizer / PIECES)
    copy_tokenizer(tokenizer, output, architecture.longest_sample)
    return {
        "parameters": count_parameters(build(architecture)),
        "updates": checkpoint.progress.update,
    }


def check_tokenizer(tokenizer: Path, vocabulary_size: int) -> None:
    """Errors: XlmrError naming a file of the tokenizer that is missing, or saying that it is of another size."""
    for name in (PIECES, TOKENIZER, TOKENIZER_CONFIG, SPECIAL_TOKENS):
        if not (tokenizer / name).is_file():
            raise XlmrError(f"{tokenizer / name}: no such file", "run tokenizer.train again")
    pieces = load_tokenizer(tokenizer).vocabulary_size
    if pieces != vocabulary_size:
        raise XlmrError(
            f"{tokenizer}: has {pieces} pieces, the model was trained on {vocabulary_size}",
            "export with the tokenizer of its samples",
        )


def copy_tokenizer(tokenizer: Path, folder: Path, longest: int) -> None:
    """Copy the files beside the tokenizer's model, which says then that texts are cut to ``longest`` pieces."""
    for name in (TOKENIZER, SPECIAL_TOKENS):
        shutil.copyfile(tokenizer / name, folder / name)
    write_json(folder / TOKENIZER_CONFIG, {**read_json(tokenizer / TOKENIZER_CONFIG), "model_max_length": longest})
