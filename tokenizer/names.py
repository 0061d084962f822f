"""Names of a tokenizer's files and special pieces, and which pieces a person may define."""

from __future__ import annotations

import unicodedata
from pathlib import Path

MODEL_FILE = "sentencepiece.bpe.model"
"""Its name in Hugging Face's folders, although the model is a unigram."""

TOKENIZER, CONFIG, ADDED = "tokenizer.json", "tokenizer_config.json", "added_tokens.json"
"""Files of transformers: the whole tokenizer, its settings, and what was added to those of older releases."""

SPECIAL, MASK = ("<s>", "<pad>", "</s>", "<unk>"), "<mask>"


def tokenizer_files(path: Path) -> list[Path]:
    """The files that are read of a tokenizer: the file itself, or those in a folder (``tokenizer.folder``)."""
    if not path.is_dir():
        return [path]
    wanted = (MODEL_FILE, TOKENIZER) if (path / TOKENIZER).is_file() else (MODEL_FILE, CONFIG, ADDED)
    return [path / name for name in wanted if (path / name).is_file()] or [path / MODEL_FILE]


def refused_piece(piece: str, *, folds_case: bool) -> str:
    """Why a text cannot be a user-defined piece that every tokenizer reads alike; empty where it can.

    SentencePiece finds such pieces before it normalises the text, others after that.
    """
    if not piece or not piece.isprintable() or any(sign.isspace() or sign in "▁▅" for sign in piece):
        return "is empty, or has white space, ▁, ▅ or characters that cannot be printed"
    if piece in {*SPECIAL, MASK}:
        return "is a special piece already"
    normal = unicodedata.normalize("NFKC", piece)
    if piece != (normal.casefold() if folds_case else normal):
        return f"is normalised, to {normal.casefold() if folds_case else normal!r}: write it so"
    return ""
