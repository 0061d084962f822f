"""The samples that tokenizer.encode wrote: memory-mapped files of pieces, by language and split. Nothing is copied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import XlmrError
from pipeline.storage import read_json, sha256_of_file
from pretrain.data.masking import FIRST_ORDINARY, MaskedVocabulary

LISTING = "samples.json"
TRAIN, VALIDATION = "train", "validation"
AGAIN = "run tokenizer.encode again"


class SampleArray:
    """The samples of one language and split: several files, read as one array [samples, length]."""

    def __init__(
        self, files: list[Path], samples: int, length: int, dtype: np.dtype[Any], vocabulary_size: int
    ) -> None:
        self._files, self._vocabulary_size = files, vocabulary_size
        self._parts = [_map_file(path, length, dtype) for path in files]
        self._starts = np.cumsum([0, *map(len, self._parts)])
        if self._starts[-1] != samples:
            where = files[0].parent if files else "no files"
            raise XlmrError(f"{where}: {self._starts[-1]} samples, {LISTING} says {samples}", AGAIN)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def read(self, index: NDArray[np.int64], out: NDArray[np.int64]) -> None:
        """Copy the samples ``index`` [n] into ``out`` [n, length]. Errors: XlmrError when a piece is out of range."""
        part = np.searchsorted(self._starts, index, side="right") - 1
        for number in np.unique(part):
            chosen = part == number
            inside = index[chosen] - self._starts[number]
            block = self._parts[number][inside]
            if block.max(initial=0) >= self._vocabulary_size:
                raise self._out_of_range(number, block, inside)
            out[chosen] = block

    def count_pieces(self, limit: int) -> NDArray[np.int64]:
        """How often each id occurs in the first ``limit`` samples: [vocabulary_size]."""
        counts = np.zeros(self._vocabulary_size, np.int64)
        for number, (part, start) in enumerate(zip(self._parts, self._starts, strict=False)):
            for first in range(0, min(len(part), max(limit - int(start), 0)), 4096):
                block = part[first : min(first + 4096, limit - int(start))]
                if block.max(initial=0) >= self._vocabulary_size:
                    raise self._out_of_range(number, block, np.arange(first, first + len(block)))
                counts += np.bincount(block.reshape(-1), minlength=self._vocabulary_size)
        return counts

    def _out_of_range(self, number: int, block: NDArray[Any], inside: NDArray[np.int64]) -> XlmrError:
        row = int(block.max(axis=1).argmax())
        return XlmrError(
            f"{self._files[number]}: sample {inside[row]} has piece {block[row].max()}, the vocabulary has"
            f" {self._vocabulary_size}",
            AGAIN,
        )


@dataclass(frozen=True)
class SampleFolder:
    """An output of tokenizer.encode. ``train`` and ``validation`` by language, sorted, none of them empty.

    ``empty``: languages that are listed and have nothing to train on. ``vocabulary``: the SHA-256 of the tokenizer's
    model file, '' where samples.json does not say. ``mask``: the id of <mask>.
    """

    vocabulary_size: int
    sample_length: int
    dtype: np.dtype[Any]
    train: Mapping[str, SampleArray]
    validation: Mapping[str, SampleArray]
    mask: int
    empty: tuple[str, ...] = ()
    vocabulary: str = ""

    @property
    def masked(self) -> MaskedVocabulary:
        """The vocabulary as masking needs it."""
        return MaskedVocabulary(self.vocabulary_size, self.mask)


def open_samples(folder: Path) -> SampleFolder:
    """Map an output of tokenizer.encode. Errors: XlmrError naming the file that is not what samples.json says."""
    samples = read_listing(folder)
    if not samples.train:
        raise XlmrError(f"{folder}: no training samples", "the corpus is too small; give it more text")
    return samples


def read_listing(folder: Path) -> SampleFolder:
    """The same, where there may be no samples at all."""
    path = folder / LISTING
    if not path.exists():
        raise XlmrError(f"{path}: no such file", AGAIN)
    try:
        return _open_listed(folder, read_json(path))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise XlmrError(f"{path}: not a list of samples ({error!r})", AGAIN) from None


def check_tokenizer(folder: Path, samples: SampleFolder, size: int) -> None:
    """Errors: XlmrError when the samples in ``folder`` are not of a tokenizer of ``size`` ids."""
    if samples.vocabulary_size != size:
        raise XlmrError(f"{folder}: encoded with {samples.vocabulary_size} pieces, the tokenizer has {size}", AGAIN)


def check_vocabulary(folder: Path, samples: SampleFolder, model: Path) -> None:
    """Errors: XlmrError when the samples in ``folder`` are of another vocabulary than ``model``, be it as large."""
    if samples.vocabulary and samples.vocabulary != sha256_of_file(model):
        raise XlmrError(f"{folder}: encoded with another vocabulary than {model}", AGAIN)


def _open_listed(folder: Path, listing: Mapping[str, Any]) -> SampleFolder:
    length, size, dtype = listing["sample_length"], listing["vocabulary_size"], np.dtype(listing["dtype"])
    if dtype.kind != "u":
        raise ValueError(f"dtype {dtype} is not unsigned")
    dtype = dtype.newbyteorder("<")
    splits: dict[str, dict[str, SampleArray]] = {TRAIN: {}, VALIDATION: {}}
    for language, entries in sorted(listing["languages"].items()):
        for split, arrays in splits.items():
            entry = entries.get(split)
            if entry and entry["samples"]:
                files = [_locate(folder, language, name) for name in entry["files"]]
                arrays[language] = SampleArray(files, entry["samples"], length, dtype, size)
    empty = tuple(sorted(listing["languages"].keys() - splits[TRAIN].keys()))
    vocabulary = str(listing.get("vocabulary_sha256", ""))
    mask = int(listing.get("mask", size - 1))  # the last id, before there were tokens added behind it
    if not FIRST_ORDINARY < mask < size:
        raise ValueError(f"mask {mask} is no id of a vocabulary of {size}")
    return SampleFolder(size, length, dtype, splits[TRAIN], splits[VALIDATION], mask, empty, vocabulary)


def _locate(folder: Path, language: str, name: str) -> Path:
    """Files may be listed with or without their language's folder."""
    path = folder / name
    return path if path.exists() else folder / language / name


def _map_file(path: Path, length: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    if not path.exists():
        raise XlmrError(f"{path}: no such file, although {LISTING} lists it", AGAIN)
    size = path.stat().st_size
    row = length * dtype.itemsize
    if size % row or not size:
        raise XlmrError(f"{path}: {size} bytes are not whole samples of {row} bytes", AGAIN)
    return np.memmap(path, dtype, mode="r", shape=(size // row, length))
