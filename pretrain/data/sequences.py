"""The sequences that tokenizer.encode wrote: memory-mapped files of tokens, by language and split."""

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

LISTING = "sequences.json"
TRAIN, VALIDATION = "train", "validation"
AGAIN = "run tokenizer.encode again"


class SequenceArray:
    """The sequences of one language and split: several files, read as one array [sequences, length]."""

    def __init__(
        self, files: list[Path], sequences: int, length: int, dtype: np.dtype[Any], vocabulary_size: int
    ) -> None:
        self._files, self._vocabulary_size = files, vocabulary_size
        self._parts = [_map_file(path, length, dtype) for path in files]
        self._starts = np.cumsum([0, *map(len, self._parts)])
        if self._starts[-1] != sequences:
            place = files[0].parent if files else "no files"
            raise XlmrError(f"{place}: {self._starts[-1]} sequences, {LISTING} says {sequences}", AGAIN)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def read(self, index: NDArray[np.int64], out: NDArray[np.int64]) -> None:
        """Copy the sequences ``index`` [n] into ``out`` [n, length]. Errors: XlmrError when a token is out of range."""
        part = np.searchsorted(self._starts, index, side="right") - 1
        for number in np.unique(part):
            chosen = part == number
            inside = index[chosen] - self._starts[number]
            block = self._parts[number][inside]
            if block.max(initial=0) >= self._vocabulary_size:
                raise self._out_of_range(number, block, inside)
            out[chosen] = block

    def count_tokens(self, limit: int) -> NDArray[np.int64]:
        """How often each id occurs in the first ``limit`` sequences: [vocabulary_size]."""
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
            f"{self._files[number]}: sequence {inside[row]} has token {block[row].max()}, the vocabulary has"
            f" {self._vocabulary_size}",
            AGAIN,
        )


def _inside(name: str) -> str:
    """Errors: ValueError for a name that leads out of its folder, or that no file can have."""
    if not name.isprintable() or Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"{name!r} is no file of this folder")
    return name


class _Entry(BaseModel):
    """The sequences of one language and split."""

    sequences: Annotated[int, Field(ge=0)]
    files: list[Annotated[str, AfterValidator(_inside)]] = []


class _Listing(BaseModel):
    """``sequences.json``."""

    vocab_size: Annotated[int, Field(gt=FIRST_ORDINARY, lt=2**31)]
    sequence_length: Annotated[int, Field(ge=2, lt=2**31)]
    dtype: Literal["uint8", "uint16", "uint32"]
    languages: dict[str, dict[str, _Entry | None]]
    vocabulary_sha256: str = ""
    mask_token_id: Annotated[int, Field(gt=FIRST_ORDINARY)]

    @model_validator(mode="after")
    def _mask_is_an_id(self) -> Self:
        if self.mask_token_id >= self.vocab_size:
            raise ValueError(f"mask_token_id {self.mask_token_id} is no id of a vocabulary of {self.vocab_size}")
        return self


@dataclass(frozen=True)
class SequenceFolder:
    """An output of tokenizer.encode. ``train`` and ``validation`` by language, sorted, none of them empty.

    ``empty``: languages that are listed and have nothing to train on. ``vocabulary``: the SHA-256 of the tokenizer's
    model file, '' where sequences.json does not say. ``mask``: the id of <mask>.
    """

    vocabulary_size: int
    sequence_length: int
    dtype: np.dtype[Any]
    train: Mapping[str, SequenceArray]
    validation: Mapping[str, SequenceArray]
    mask: int
    empty: tuple[str, ...] = ()
    vocabulary: str = ""

    @property
    def masked(self) -> MaskedVocabulary:
        """The vocabulary as masking needs it."""
        return MaskedVocabulary(self.vocabulary_size, self.mask)


def open_sequences(folder: Path) -> SequenceFolder:
    """Map an output of tokenizer.encode. Errors: XlmrError naming the file that is not what sequences.json says."""
    sequences = read_listing(folder)
    if not sequences.train:
        raise XlmrError(f"{folder}: no training sequences", "the corpus is too small; give it more text")
    return sequences


def read_listing(folder: Path) -> SequenceFolder:
    """The same, where there may be no sequences at all."""
    return _open_listed(folder, read_json_as(_Listing, folder / LISTING, AGAIN))


def check_tokenizer(folder: Path, sequences: SequenceFolder, size: int) -> None:
    """Errors: XlmrError when the sequences in ``folder`` are not of a tokenizer of ``size`` ids."""
    if sequences.vocabulary_size != size:
        raise XlmrError(f"{folder}: encoded with {sequences.vocabulary_size} tokens, the tokenizer has {size}", AGAIN)


def check_vocabulary(folder: Path, sequences: SequenceFolder, model: Path) -> None:
    """Errors: XlmrError when the sequences in ``folder`` are of another vocabulary than ``model``, be it as large."""
    if sequences.vocabulary and sequences.vocabulary != sha256_of_file(model):
        raise XlmrError(f"{folder}: encoded with another vocabulary than {model}", AGAIN)


def _open_listed(folder: Path, listing: _Listing) -> SequenceFolder:
    dtype, size = np.dtype(listing.dtype).newbyteorder("<"), listing.vocab_size
    splits: dict[str, dict[str, SequenceArray]] = {TRAIN: {}, VALIDATION: {}}
    for language, entries in sorted(listing.languages.items()):
        for split, arrays in splits.items():
            entry = entries.get(split)
            if entry is not None and entry.sequences:
                files = [_locate(folder, language, name) for name in entry.files]
                arrays[language] = SequenceArray(files, entry.sequences, listing.sequence_length, dtype, size)
    return SequenceFolder(
        size,
        listing.sequence_length,
        dtype,
        splits[TRAIN],
        splits[VALIDATION],
        listing.mask_token_id,
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
        raise XlmrError(f"{path}: {size} bytes are not whole sequences of {row} bytes", AGAIN)
    return np.memmap(path, dtype, mode="r", shape=(size // row, length))
