"""Chance by counter: numbers that depend on nothing but the words they are asked with, so nothing has to be stored.

The same (seed, epoch, position) gives the same number on any machine, rank and after any restart.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Words = NDArray[np.uint64]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
ROUNDS = 6
"""Of the Feistel network; four are enough for pseudorandomness in theory (Luby and Rackoff 1988)."""


def mix(*words: ArrayLike) -> Words:
    """One uint64 for the words, which are broadcast against each other: a chain of SplitMix64 steps."""
    state: Words = np.zeros((), np.uint64)
    with np.errstate(over="ignore"):
        for word in words:
            state = _finalise((state ^ np.asarray(word).astype(np.uint64)) + GOLDEN)
    return state


def uniform(*words: ArrayLike) -> NDArray[np.float64]:
    """One number in [0, 1) for the words."""
    return (mix(*words) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def below(bound: ArrayLike, *words: ArrayLike) -> NDArray[np.int64]:
    """One integer in [0, bound) for the words."""
    return (uniform(*words) * np.asarray(bound)).astype(np.int64)


def shuffled(index: NDArray[np.int64], size: int, *words: ArrayLike) -> NDArray[np.int64]:
    """Where ``index`` stands in a random order of range(size), without making that order.

    A Feistel network over the next power of four permutes; what lies outside ``size`` is sent through again
    (Black and Rogaway 2002), so that range(size) is permuted. Constant memory for any size.
    """
    half = np.uint64(max(1, (max(size - 1, 1).bit_length() + 1) // 2))
    key = mix(*words)
    value = _feistel(index.astype(np.uint64), half, key)
    while (outside := value >= size).any():
        value[outside] = _feistel(value[outside], half, key)
    return value.astype(np.int64)


def _feistel(value: Words, half: np.uint64, key: Words) -> Words:
    mask = (np.uint64(1) << half) - np.uint64(1)
    left, right = value >> half, value & mask
    for turn in range(ROUNDS):
        left, right = right, left ^ (mix(key, turn, right) & mask)
    return (left << half) | right


def _finalise(value: Words) -> Words:
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
