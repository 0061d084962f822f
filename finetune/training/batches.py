"""Batches by length: texts of like length stand together, so that little is padded, and every text comes once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

POOL = 16
"""Batches whose texts are sorted together: more would pad less, and be less random."""

Rows = NDArray[np.int64]


def training_batches(lengths: Rows, size: int, seed: int, epoch: int) -> list[Rows]:
    """Rows of each batch, shuffled anew for each (seed, epoch). Every row comes once; the last batch may be short."""
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths))
    pools = [order[start : start + POOL * size] for start in range(0, len(order), POOL * size)]
    ordered = np.concatenate([pool[np.argsort(lengths[pool], kind="stable")] for pool in pools])
    batches = list(_cut(ordered, size))
    return [batches[number] for number in rng.permutation(len(batches))]


def evaluation_batches(lengths: Rows, size: int) -> list[Rows]:
    """Rows of each batch, the longest texts first: where memory does not suffice, that shows at once."""
    return list(_cut(np.argsort(-lengths, kind="stable"), size))


def _cut(rows: Rows, size: int) -> Iterator[Rows]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
