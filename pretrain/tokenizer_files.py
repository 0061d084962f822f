"""The tokenizer's files that go into the folder of a trained model: whether they are there, and their copies."""

from __future__ import annotations

import shutil
from pathlib import Path

from pipeline.errors import XlmrError
from pipeline.json_file import read_json_as
from pipeline.storage import read_json, write_json
from pretrain.folder import TOKENIZER_MODEL
from tokenizer.folder import load_tokenizer

TOKENIZER, TOKENIZER_CONFIG, SPECIAL_TOKENS = "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"


def check_files(tokenizer: Path) -> None:
    """Errors: XlmrError naming a file of the tokenizer that is missing, or that is not as it was written."""
    for name in (TOKENIZER_MODEL, TOKENIZER, TOKENIZER_CONFIG, SPECIAL_TOKENS):
        if not (tokenizer / name).is_file():
            raise XlmrError(f"{tokenizer / name}: no such file", "run tokenizer.train again")
    read_json_as(dict, tokenizer / TOKENIZER_CONFIG, "run tokenizer.train again")


def check_tokenizer(tokenizer: Path, vocabulary_size: int) -> None:
    """Errors: XlmrError for files that ``check_files`` refuses, or of a tokenizer of another size."""
    check_files(tokenizer)
    tokens = load_tokenizer(tokenizer).vocab_size
    if tokens != vocabulary_size:
        raise XlmrError(
            f"{tokenizer}: has {tokens} tokens, the model was trained on {vocabulary_size}",
            "export with the tokenizer of its sequences",
        )


def copy_tokenizer(tokenizer: Path, folder: Path, longest: int) -> None:
    """Copy the files beside the tokenizer's model, which says then that texts are cut to ``longest`` tokens."""
    for name in (TOKENIZER, SPECIAL_TOKENS):
        shutil.copyfile(tokenizer / name, folder / name)
    write_json(folder / TOKENIZER_CONFIG, {**read_json(tokenizer / TOKENIZER_CONFIG), "model_max_length": longest})
