"""Vectors of tokens, from comparable pages -> the first rows of a model's table; the others stay drawn by the seed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from pipeline.errors import XlmrError
from pretrain.model import INITIAL_DEVIATION, TABLE, Values

VECTORS = "vectors.safetensors"
DEVIATION = 3 * INITIAL_DEVIATION
"""Of the vectors' numbers: they say something, and positions, which are added to them, say nothing yet."""


def with_vectors(values: Values, folder: Path) -> Values:
    """The same first values, but for the rows of tokens that have a vector in ``folder``."""
    for name, make in values:
        yield name, partial(_table, make, folder) if name == TABLE else make


def put_vectors(table: Tensor, folder: Path) -> Tensor:
    """``table`` [rows, hidden_size] with the vectors of ``folder`` in place.

    Errors: XlmrError for vectors of another size.
    """
    path = folder / VECTORS
    found = load_file(path)
    tokens, vectors = found["tokens"], found["vectors"]
    if vectors.shape[1] != table.shape[1] or int(tokens.max()) >= len(table):
        raise XlmrError(
            f"{path}: vectors of {vectors.shape[1]} numbers for ids up to {int(tokens.max())},"
            f" the model's table is {tuple(table.shape)}",
            "run pretrain.comparable again",
        )
    table[tokens] = DEVIATION * vectors
    return table


def _table(make: Callable[[], Tensor], folder: Path) -> Tensor:
    return put_vectors(make(), folder)
