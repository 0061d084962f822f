"""Sequences of random tokens: what a benchmark reads where there is no corpus."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class SequenceSource:
    """Random sequences in a folder as tokenizer.encode writes them."""

    folder: Path
    vocabulary_size: int
    length: int


@contextmanager
def random_sequences(vocabulary_size: int, length: int, sequences: int) -> Iterator[SequenceSource]:
    """Two languages, of ``sequences`` sequences in all, for as long as the context lasts."""
    dtype = "uint16" if vocabulary_size <= 1 << 16 else "uint32"
    counts = {"aa": sequences - sequences // 4, "bb": sequences // 4}
    languages: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, (language, count) in enumerate(counts.items()):
            ids = np.random.default_rng(number).integers(4, vocabulary_size - 1, (count, length))
            ids[:, 0] = 0
            (folder / language).mkdir()
            ids.astype(f"<{np.dtype(dtype).str[1:]}").tofile(folder / language / "train-00000.bin")
            entry = {"sequences": count, "tokens": count * (length - 1), "files": [f"{language}/train-00000.bin"]}
            languages[language] = {"train": entry}
        listing = {
            "vocab_size": vocabulary_size, "sequence_length": length, "dtype": dtype,
            "mask_token_id": vocabulary_size - 1, "languages": languages,
        }  # fmt: skip
        (folder / "sequences.json").write_text(json.dumps(listing))
        yield SequenceSource(folder, vocabulary_size, length)
