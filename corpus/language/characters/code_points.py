"""The code points of many texts as one array, and sums over each text: counting characters without looking at one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.uint32]

_SURROGATES = "surrogatepass"


def code_points(texts: Sequence[str], separator: str = "") -> tuple[Codes, npt.NDArray[np.int64]]:
    """All characters of all texts, the separator after each text, and where each begins (one more: the end)."""
    joined = np.frombuffer("".join(t + separator for t in texts).encode("utf-32-le", _SURROGATES), np.uint32)
    starts = np.cumsum([0, *(len(text) + len(separator) for text in texts)], dtype=np.int64)
    return joined, starts


def sums(values: npt.NDArray, starts: npt.NDArray[np.int64]) -> Floats:
    """The sum of the values of each text [texts]; 0 where there are none."""
    total = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    return total[starts[1:]] - total[starts[:-1]]
