"""A vocabulary of 702 tokens, trained in a second on ``rights.tsv``: docstrings and pages show it."""

from __future__ import annotations

from pathlib import Path

from tokenizer.hugging_face import write_files
from tokenizer.names import MODEL_FILE
from tokenizer.settings import SentencePieceSettings
from tokenizer.train import train_model

TEXT = Path(__file__).with_name("rights.tsv")


def write_vocabulary(folder: Path) -> Path:
    """Write the files that ``tokenizer.train`` writes for a model of 700 pieces."""
    folder.mkdir()
    text, model = folder / ".text", folder / MODEL_FILE
    lines = [line.partition("\t")[2] for line in TEXT.read_text(encoding="utf-8").splitlines()]
    text.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    train_model(SentencePieceSettings(vocab_size=700), [text], model, folder / ".trainer.log")
    write_files(model, folder)
    text.unlink()
    return folder
