"""Texts as tokens, tokenised once and shared by all runs: rows of ids, stored flat, with their labels.

A row is what the model reads at once: a text, a pair of texts, a part of a sentence, or a window over a context.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.storage import atomic_write
from pretrain.ranks.device import sent
from tokenizer.pieces import BOS, EOS, PAD, UNK, Ids, Tokenizer

ENCODED = "encoded.npz"

IGNORED = -100
"""Target of a token that is not judged: PyTorch's own number for it."""

Rows = NDArray[np.int64]
Numbers = NDArray[np.int64] | NDArray[np.float32]


@dataclass(frozen=True)
class Encoded:
    """One file's rows. ``tokens`` is flat, row i is tokens[offsets[i]:offsets[i + 1]].

    ``labels``  of each row (a class, a value, or a first and a last token), or of each token, flat like ``tokens``.
    ``examples`` number of the example that each row is from; rows of one example stand together.
    ``places``   flat like ``tokens``: which word begins there, or which characters stand there; [0, …] where it does
                 not matter. −1 where nothing of that kind is.
    """

    tokens: Ids
    offsets: Rows
    labels: Numbers
    examples: Rows
    places: Rows

    @classmethod
    def of(
        cls,
        rows: Sequence[Ids],
        labels: Numbers | Sequence[int],
        examples: Sequence[int] | None = None,
        places: Rows | None = None,
    ) -> Encoded:
        """From the tokens of each row; without ``examples``, each row is one."""
        offsets = np.cumsum([0, *(len(tokens) for tokens in rows)], dtype=np.int64)
        flat = np.concatenate(rows) if rows else np.empty(0, np.int32)
        origin = np.arange(len(rows)) if examples is None else np.array(examples, dtype=np.int64)
        return cls(flat, offsets, np.asarray(labels), origin, np.empty(0, np.int64) if places is None else places)

    @classmethod
    def joined(cls, parts: Sequence[Encoded]) -> Encoded:
        """The rows of all parts, one after the other; examples are numbered through."""
        before = np.cumsum([0, *(part.examples[-1] + 1 if len(part) else 0 for part in parts)])
        return cls(
            np.concatenate([part.tokens for part in parts]),
            np.concatenate([[0], np.cumsum(np.concatenate([part.lengths for part in parts]))]),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.examples + start for part, start in zip(parts, before, strict=False)]),
            np.concatenate([part.places for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Rows:
        """Tokens of each row, <s> and </s> included."""
        return np.diff(self.offsets)

    @property
    def by_token(self) -> bool:
        """Whether targets are of tokens: a row has two tokens at least, so the numbers cannot meet otherwise."""
        return len(self.labels) == len(self.tokens) != len(self)

    def batch(self, rows: Rows, device: torch.device) -> tuple[Tensor, Tensor | None]:
        """Ids [rows, longest] int64 padded with <pad>, and their attention mask; None where nothing was padded."""
        present, index = self.grid(rows)
        ids = np.full(present.shape, PAD, dtype=np.int64)
        ids[present] = self.tokens[index]
        return sent(ids, device), None if present.all() else sent(present, device)

    def batch_labels(self, rows: Rows, device: torch.device) -> Tensor:
        """Targets of the rows; those of tokens are padded like ids, with IGNORED."""
        if not self.by_token:
            return sent(self.labels[rows], device)
        present, index = self.grid(rows)
        labels = np.full(present.shape, IGNORED, dtype=np.int64)
        labels[present] = self.labels[index]
        return sent(labels, device)

    def units(self, rows: Rows) -> int:
        """What a mean loss over the rows is a mean over: tokens that are judged, or the rows themselves."""
        return int((self.labels[self.grid(rows)[1]] != IGNORED).sum()) if self.by_token else len(rows)

    def grid(self, rows: Rows) -> tuple[NDArray[np.bool_], Rows]:
        """Where in a padded batch tokens are [rows, longest], and which of the flat ones those are."""
        lengths = self.lengths[rows]
        steps = np.arange(lengths.max())
        present = steps < lengths[:, None]
        return present, (self.offsets[rows, None] + steps)[present]


def encode_texts(texts: list[str], tokenizer: Tokenizer, longest: int, threads: int = 1) -> list[Ids]:
    """Each text as <s> tokens </s>, at most ``longest`` in all."""
    found = tokenizer.encode_batch(texts, threads=threads)
    return [row_of(tokens[: longest - 2]) for tokens in found]


def encode_pairs(
    first: list[str], second: list[str], tokenizer: Tokenizer, longest: int, threads: int = 1
) -> list[Ids]:
    """Each pair as <s> A </s></s> B </s>, at most ``longest`` in all; the longer of the two is cut first."""
    found = tokenizer.encode_batch([*first, *second], threads=threads)
    rows = []
    for a, b in zip(found[: len(first)], found[len(first) :], strict=True):
        one, two = lengths_of_pair(len(a), len(b), longest - 4)
        rows.append(row_of(a[:one], b[:two]))
    return rows


def row_of(first: Ids, second: Ids | None = None) -> Ids:
    """``<s> A </s>``, or ``<s> A </s></s> B </s>``: the form of RoBERTa and XLM-R."""
    parts: list[Ids | list[int]] = [[BOS], first, [EOS]]
    if second is not None:
        parts += [[EOS], second, [EOS]]
    return np.concatenate(parts).astype(np.int32)


def lengths_of_pair(first: int, second: int, most: int) -> tuple[int, int]:
    """What is kept of two texts: only the longer is cut, then both to halves (``longest_first`` of ``tokenizers``)."""
    if first + second <= most:
        return first, second
    short = min(first, second)
    long = max(short, most - short)
    if short + long > most:
        short, long = most // 2, most // 2 + most % 2
    return (short, long) if first <= second else (long, short)


def counts_of(encoded: Encoded, longest: int) -> dict[str, int]:
    """texts, rows, tokens without the special ones, unknown (tokens that are <unk>), full (rows of ``longest``)."""
    special = (encoded.tokens == BOS) | (encoded.tokens == EOS)
    return {
        "texts": int(encoded.examples[-1]) + 1 if len(encoded) else 0,
        "rows": len(encoded),
        "tokens": int((~special).sum()),
        "unknown": int((encoded.tokens == UNK).sum()),
        "full": int((encoded.lengths == longest).sum()),
    }


def write_encoded(encoded: dict[str, Encoded], path: Path) -> None:
    """One NumPy archive with five arrays a file."""
    arrays = {
        f"{name}/{field.name}": getattr(one, field.name) for name, one in encoded.items() for field in fields(Encoded)
    }
    with atomic_write(path) as handle:
        np.savez(handle, allow_pickle=False, **arrays)


def read_encoded(path: Path) -> dict[str, Encoded]:
    """What ``write_encoded`` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        names = dict.fromkeys(key.rpartition("/")[0] for key in arrays.files)
        return {name: Encoded(*(arrays[f"{name}/{field.name}"] for field in fields(Encoded))) for name in names}
