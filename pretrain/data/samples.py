"""The samples that tokenizer.encode wrote: memory-mapped files of pieces, by language and split. Nothing is copied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, Field, model_validator

from pipeline.errors import XlmrError
from pipeline.json_file import read_json_as
from pipeline.storage import sha256_of_file
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


def _inside(name: str) -> str:
    """Errors: ValueError for a name that leads out of its folder, or that no file can have."""
    if not name.isprintable() or Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"{name!r} is no file of this folder")
    return name


class _Entry(BaseModel):
    """The samples of one language and split."""

    samples: Annotated[int, Field(ge=0)]
    files: list[Annotated[str, AfterValidator(_inside)]] = []


class _Listing(BaseModel):
    """``samples.json``."""

    vocabulary_size: Annotated[int, Field(gt=FIRST_ORDINARY, lt=2**31)]
    sample_length: Annotated[int, Field(ge=2, lt=2**31)]
    dtype: Literal["uint8", "uint16", "uint32"]
    languages: dict[str, dict[str, _Entry | None]]
    vocabulary_sha256: str = ""
    mask: int | None = None  # not named before tokens could be added behind it: the last id then

    @model_validator(mode="after")
    def _mask_is_an_id(self) -> Self:
        if self.mask is not None and not FIRST_ORDINARY < self.mask < self.vocabulary_size:
            raise ValueError(f"mask {self.mask} is no id of a vocabulary of {self.vocabulary_size}")
        return self


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
    return _open_listed(folder, read_json_as(_Listing, folder / LISTING, AGAIN))


def check_tokenizer(folder: Path, samples: SampleFolder, size: int) -> None:
    """Errors: XlmrError when the samples in ``folder`` are not of a tokenizer of ``size`` ids."""
    if samples.vocabulary_size != size:
        raise XlmrError(f"{folder}: encoded with {samples.vocabulary_size} pieces, the tokenizer has {size}", AGAIN)


def check_vocabulary(folder: Path, samples: SampleFolder, model: Path) -> None:
    """Errors: XlmrError when the samples in ``folder`` are of another vocabulary than ``model``, be it as large."""
    if samples.vocabulary and samples.vocabulary != sha256_of_file(model):
        raise XlmrError(f"{folder}: encoded with another vocabulary than {model}", AGAIN)


def _open_listed(folder: Path, listing: _Listing) -> SampleFolder:
    dtype, size = np.dtype(listing.dtype).newbyteorder("<"), listing.vocabulary_size
    splits: dict[str, dict[str, SampleArray]] = {TRAIN: {}, VALIDATION: {}}
    for language, entries in sorted(listing.languages.items()):
        for split, arrays in splits.items():
            entry = entries.get(split)
            if entry is not None and entry.samples:
                files = [_locate(folder, language, name) for name in entry.files]
                arrays[language] = SampleArray(files, entry.samples, listing.sample_length, dtype, size)
    return SampleFolder(
        size,
        listing.sample_length,
        dtype,
        splits[TRAIN],
        splits[VALIDATION],
        size - 1 if listing.mask is None else listing.mask,
        tuple(sorted(listing.languages.keys() - splits[TRAIN].keys())),
        listing.vocabulary_sha256,
    )


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
