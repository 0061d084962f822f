"""Texts as pieces, tokenised once and shared by all runs: <s> pieces </s>, cut to a length, stored flat in one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from finetune.tasks import Example, Task
from pipeline.storage import atomic_write
from tokenizer.pieces import BOS, EOS, PAD, UNK, Tokenizer

ENCODED = "encoded.npz"


@dataclass(frozen=True)
class Encoded:
    """One file's texts. ``pieces`` is flat, text i is pieces[offsets[i]:offsets[i + 1]]; ``classes`` are its labels."""

    pieces: NDArray[np.int32]
    offsets: NDArray[np.int64]
    classes: NDArray[np.int64]

    @classmethod
    def of(cls, texts: Sequence[NDArray[np.int32]], classes: Sequence[int]) -> Encoded:
        """From the pieces of each text and its class."""
        offsets = np.cumsum([0, *(len(pieces) for pieces in texts)], dtype=np.int64)
        return cls(np.concatenate(texts), offsets, np.array(classes, dtype=np.int64))

    @classmethod
    def joined(cls, parts: Sequence[Encoded]) -> Encoded:
        """The texts of all parts, one after the other."""
        lengths = np.concatenate([part.lengths for part in parts])
        return cls(
            np.concatenate([part.pieces for part in parts]),
            np.concatenate([[0], np.cumsum(lengths)]),
            np.concatenate([part.classes for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Pieces of each text, <s> and </s> included."""
        return np.diff(self.offsets)

    def batch(self, rows: NDArray[np.int64], device: torch.device) -> tuple[Tensor, Tensor | None]:
        """Ids [texts, longest] int64 padded with <pad>, and where texts are; None where nothing was padded."""
        lengths = self.lengths[rows]
        places = np.arange(lengths.max())
        keep = places < lengths[:, None]
        ids = np.full(keep.shape, PAD, dtype=np.int64)
        ids[keep] = self.pieces[(self.offsets[rows, None] + places)[keep]]
        mask = None if keep.all() else torch.from_numpy(keep).to(device)
        return torch.from_numpy(ids).to(device), mask


def encode_texts(texts: list[str], tokenizer: Tokenizer, longest: int, threads: int = 1) -> list[NDArray[np.int32]]:
    """Each text as <s> pieces </s>, at most ``longest`` in all."""
    found = tokenizer.encode_batch(texts, threads=threads)
    return [np.concatenate([[BOS], pieces[: longest - 2], [EOS]]).astype(np.int32) for pieces in found]


def encode_examples(
    examples: list[Example], labels: list[str], tokenizer: Tokenizer, longest: int, threads: int
) -> tuple[Encoded, dict[str, int]]:
    """One file's texts, and its counts: texts, pieces, unknown (pieces that are <unk>), full (texts of ``longest``)."""
    found = encode_texts([example.text for example in examples], tokenizer, longest, threads)
    place = {label: number for number, label in enumerate(labels)}
    encoded = Encoded.of(found, [place[example.label] for example in examples])
    counts = {
        "texts": len(examples),
        "pieces": len(encoded.pieces) - 2 * len(examples),
        "unknown": int((encoded.pieces == UNK).sum()),
        "full": int((encoded.lengths == longest).sum()),
    }
    return encoded, counts


def encode_task(
    task: Task, tokenizer: Tokenizer, longest: int, threads: int
) -> tuple[dict[str, Encoded], dict[str, dict[str, int]]]:
    """Every file of the task, and the counts of each."""
    encoded, counts = {}, {}
    for name, examples in task.splits():
        encoded[name], counts[name] = encode_examples(examples, task.labels, tokenizer, longest, threads)
    return encoded, counts


def write_encoded(encoded: dict[str, Encoded], path: Path) -> None:
    """One NumPy archive with three arrays a file."""
    arrays = {
        f"{name}/{field}": getattr(one, field)
        for name, one in encoded.items()
        for field in Encoded.__dataclass_fields__
    }
    with atomic_write(path) as handle:
        np.savez(handle, allow_pickle=False, **arrays)


def read_encoded(path: Path) -> dict[str, Encoded]:
    """What ``write_encoded`` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        names = dict.fromkeys(key.rpartition("/")[0] for key in arrays.files)
        return {name: Encoded(*(arrays[f"{name}/{field}"] for field in Encoded.__dataclass_fields__)) for name in names}
