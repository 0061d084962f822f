"""Samples of random pieces: what a benchmark reads where there is no corpus."""

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
class SampleSource:
    """Random samples in a folder as tokenizer.encode writes them."""

    folder: Path
    vocabulary_size: int
    length: int


@contextmanager
def random_samples(vocabulary_size: int, length: int, samples: int) -> Iterator[SampleSource]:
    """Two languages, of ``samples`` samples in all, for as long as the context lasts."""
    dtype = "uint16" if vocabulary_size <= 1 << 16 else "uint32"
    counts = {"aa": samples - samples // 4, "bb": samples // 4}
    languages: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, (language, count) in enumerate(counts.items()):
            ids = np.random.default_rng(number).integers(4, vocabulary_size - 1, (count, length))
            ids[:, 0] = 0
            (folder / language).mkdir()
            ids.astype(f"<{np.dtype(dtype).str[1:]}").tofile(folder / language / "train-00000.bin")
            entry = {"samples": count, "pieces": count * (length - 1), "files": [f"{language}/train-00000.bin"]}
            languages[language] = {"train": entry}
        listing = {
            "vocabulary_size": vocabulary_size, "sample_length": length, "dtype": dtype, "languages": languages,
        }  # fmt: skip
        (folder / "samples.json").write_text(json.dumps(listing))
        yield SampleSource(folder, vocabulary_size, length)
