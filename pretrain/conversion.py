"""Which files of a model's folder are read; pickles are not: what those hold, and how it becomes safetensors.

Light, so that a plan can say it before anything heavy is imported.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import XlmrError
from tokenizer.names import tokenizer_files

PICKLES = {
    "pytorch_model*.bin": "convert it once by transformers: from_pretrained(FOLDER).save_pretrained(FOLDER) of"
    " AutoModel, or of the AutoModelFor… of its head",
    "model.pt": "it is fairseq's: transformers 4 converts it to safetensors by its"
    " convert_roberta_original_pytorch_checkpoint_to_pytorch.py (XL, XXL: convert_xlm_roberta_xl_original_…)",
}
"""Name of a file -> what to do with it."""


def files_of(folder: Path) -> list[str]:
    """What is read of a model's folder. Errors: XlmrError for weights in a form that is not read."""
    refuse_pickles(folder)
    weights = sorted(path.name for path in folder.glob("model*.safetensors*")) or ["model.safetensors"]
    tokenizer = [path.name for path in tokenizer_files(folder)]
    return [str(folder / name) for name in ("config.json", *weights, *tokenizer)]


def refuse_pickles(folder: Path) -> None:
    """Errors: XlmrError for a folder without safetensors that has the same weights as a pickle."""
    if any(folder.glob("model*.safetensors*")):
        return
    for pattern, fix in PICKLES.items():
        if found := sorted(folder.glob(pattern)):
            raise XlmrError(f"{found[0]}: is a pickle, which may hold programs; safetensors are read", fix)
