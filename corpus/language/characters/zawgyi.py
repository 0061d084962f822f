"""How likely a Burmese text is encoded as Zawgyi: the Markov chain of google/myanmar-tools, on whole batches.

Zawgyi uses the code points of Unicode in another order and with other meanings; bigrams of characters tell the two
apart. Same answers as the package myanmartools, which walks through each text in Python. ``zawgyi.dat`` is its
model file (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from corpus.language.characters.code_points import Floats, code_points, sums

_RANGES = ((0x1000, 0x103F), (0x104A, 0x109F), (0xAA60, 0xAA7F), (0xA9E0, 0xA9FF), (0x2000, 0x200B))
"""Characters that the model knows, in the order of its states; spaces (the last) only in its first form."""

_HEAD = len(b"UZMODEL ") + 4
_TAG = b"BMARKOV "


def zawgyi_probabilities(texts: Sequence[str]) -> Floats:
    """The probability of each text; 0 where it has no Burmese character."""
    states, weights = _model()
    points, starts = code_points(["", *texts], "\n")  # no text's first character follows another text's last
    state = states[points]
    pairs = weights[state[:-1], state[1:]]
    known = (state[:-1] > 0) | (state[1:] > 0)
    starts = starts[1:] - 1  # a text's pairs begin with (what stands before it, its first character)
    score = sums(pairs, starts)  # ln P(Unicode) − ln P(Zawgyi)
    return np.where(sums(known, starts) > 0, 1 / (1 + np.exp(np.clip(score, -700, 700))), 0.0)


@lru_cache(maxsize=1)
def _model() -> tuple[npt.NDArray[np.int16], npt.NDArray[np.float32]]:
    """State of each code point (0: not Burmese), and the weight of each pair of states."""
    data = Path(__file__).with_name("zawgyi.dat").read_bytes()
    version = int.from_bytes(data[8:_HEAD], "big")
    without_spaces = version == 2 and int.from_bytes(data[_HEAD : _HEAD + 4], "big") == 1
    ranges = _RANGES[:-1] if without_spaces else _RANGES
    characters = sorted(chain.from_iterable(range(first, last + 1) for first, last in ranges))
    states = np.zeros(0x110000, np.int16)
    states[characters] = np.arange(1, len(characters) + 1)
    return states, _weights(data, data.index(_TAG) + len(_TAG) + 4)


def _weights(data: bytes, at: int) -> npt.NDArray[np.float32]:
    """Each state's row: how many pairs differ from its default, the default, then (state, weight) of those."""
    size = int.from_bytes(data[at : at + 2], "big")
    weights = np.zeros((size, size), np.float32)
    at += 2
    for row in weights:
        count = int.from_bytes(data[at : at + 2], "big")
        at += 2
        if count:
            row[:] = np.frombuffer(data, ">f4", 1, at)[0]
            pairs = np.frombuffer(data, [("state", ">i2"), ("weight", ">f4")], count, at + 4)
            row[pairs["state"]] = pairs["weight"]
            at += 4 + 6 * count
    weights[0, 0] = 0
    return weights
