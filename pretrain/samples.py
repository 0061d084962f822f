"""The samples that tokenizer.encode wrote: memory-mapped files of pieces, by language and split. Nothing is copied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import XlmrError
from pipeline.storage import read_json

TRAIN, VALIDATION = "train", "validation"


class SampleArray:
    """The samples of one language and split: several files, read as one array [samples, length]."""

    def __init__(self, files: list[Path], samples: int, length: int, dtype: np.dtype[Any]) -> None:
        self._parts = [_map_file(path, length, dtype) for path in files]
        self._starts = np.cumsum([0, *map(len, self._parts)])
        if self._starts[-1] != samples:
            raise XlmrError(
                f"{files[0].parent}: {self._starts[-1]} samples, samples.json says {samples}",
                "run tokenizer.encode again",
            )

    def __len__(self) -> int:
        return int(self._starts[-1])

    def read(self, index: NDArray[np.int64], out: NDArray[np.int64]) -> None:
        """Copy the samples ``index`` [n] into ``out`` [n, length]."""
        part = np.searchsorted(self._starts, index, side="right") - 1
        for number in np.unique(part):
            chosen = part == number
            out[chosen] = self._parts[number][index[chosen] - self._starts[number]]

    def count_pieces(self, vocabulary_size: int, limit: int) -> NDArray[np.int64]:
        """How often each id occurs in the first ``limit`` samples: [vocabulary_size]."""
        counts = np.zeros(vocabulary_size, np.int64)
        for part, start in zip(self._parts, self._starts, strict=False):
            for first in range(0, min(len(part), max(limit - int(start), 0)), 4096):
                block = part[first : min(first + 4096, limit - int(start))]
                counts += np.bincount(block.reshape(-1), minlength=vocabulary_size)
        return counts


@dataclass(frozen=True)
class SampleFolder:
    """An output of tokenizer.encode. ``train`` and ``validation`` by language, sorted, none of them empty."""

    vocabulary_size: int
    sample_length: int
    train: Mapping[str, SampleArray]
    validation: Mapping[str, SampleArray]


def open_samples(folder: Path) -> SampleFolder:
    """Map an output of tokenizer.encode. Errors: XlmrError naming the file that is not what samples.json says."""
    listing = read_json(folder / "samples.json")
    length, dtype = listing["sample_length"], np.dtype(listing["dtype"]).newbyteorder("<")
    splits: dict[str, dict[str, SampleArray]] = {TRAIN: {}, VALIDATION: {}}
    for language, entries in sorted(listing["languages"].items()):
        for split, arrays in splits.items():
            entry = entries.get(split)
            if entry and entry["samples"]:
                files = [_locate(folder, language, name) for name in entry["files"]]
                arrays[language] = SampleArray(files, entry["samples"], length, dtype)
    if not splits[TRAIN]:
        raise XlmrError(f"{folder}: no training samples", "the corpus is too small; give it more text")
    return SampleFolder(listing["vocabulary_size"], length, splits[TRAIN], splits[VALIDATION])


def _locate(folder: Path, language: str, name: str) -> Path:
    """Files may be listed with or without their language's folder."""
    path = folder / name
    return path if path.exists() else folder / language / name


def _map_file(path: Path, length: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    size = path.stat().st_size
    row = length * dtype.itemsize
    if size % row or not size:
        raise XlmrError(f"{path}: {size} bytes are not whole samples of {row} bytes", "run tokenizer.encode again")
    return np.memmap(path, dtype, mode="r", shape=(size // row, length))
