"""A tokenizer of sixty tokens, and sequences that say that they are of it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import sentencepiece
from tiny_corpus import write_sequences

from pipeline.storage import sha256_of_file
from pretrain.folder import TOKENIZER_MODEL
from tokenizer.hugging_face import write_files

WORDS = ("the", "dog", "and", "cat", "go", "home", "now", "der", "Hund", "und", "die", "Katze")


def make_tokenizer(folder: Path, seed: int = 0) -> Path:
    """A folder as tokenizer.train makes it, of 60 tokens; another text with another seed."""
    rng = np.random.default_rng(seed)
    text = [f"{n} " + " ".join(rng.choice(WORDS, rng.integers(1, 9))) for n in range(300)]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text), model_writer=model, vocab_size=60, minloglevel=2, num_threads=1
    )
    folder.mkdir()
    (folder / TOKENIZER_MODEL).write_bytes(model.getvalue())
    write_files(folder / TOKENIZER_MODEL, folder)
    return folder


def encoded_with(folder: Path, tokenizer: Path) -> Path:
    """Sequences that say which vocabulary they are of."""
    write_sequences(folder, {"aa": 40, "bb": 10}, vocabulary=62)
    listing = json.loads((folder / "sequences.json").read_text())
    listing["vocabulary_sha256"] = sha256_of_file(tokenizer / TOKENIZER_MODEL)
    (folder / "sequences.json").write_text(json.dumps(listing))
    return folder
