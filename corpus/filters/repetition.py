"""N-grams that repeat inside a document: shares of its characters, for a batch of documents at once.

An n-gram that repeats has in it two (n-1)-grams that repeat. So one sort over all 2-grams leaves few places to look at
for 3-grams, and fewer for each longer one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from corpus.filters.text import UNITS_AT_MOST, DocumentText, NgramShares

Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

UNITS_AT_ONCE = 2**16
"""Words (or characters) that are sorted at once: few enough to stay in the cache."""

_BASE = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)


@dataclass(frozen=True)
class Units:
    """The words or characters of some documents, one after the other."""

    hashes: Hashes
    lengths: Ints
    owner: Ints
    """Which document each belongs to, ascending."""
    documents: int


def measure_ngrams(texts: Sequence[DocumentText], top: Sequence[int], duplicate: Sequence[int]) -> list[NgramShares]:
    """The shares of each text, for the ``n`` of ``top`` and of ``duplicate``."""
    by_width: dict[int, list[int]] = defaultdict(list)
    for place, text in enumerate(texts):
        by_width[text.characters_per_word].append(place)
    shares: dict[int, NgramShares] = {}
    for width, places in by_width.items():
        for some in _in_batches(texts, places):
            units = _characters([texts[i] for i in some]) if width else _words([texts[i] for i in some])
            measured = _measure(units, sorted(set(top)), sorted(set(duplicate)), max(width, 1))
            shares.update(zip(some, measured, strict=True))
    return [shares[place] for place in range(len(texts))]


def _in_batches(texts: Sequence[DocumentText], places: Sequence[int]) -> Iterator[list[int]]:
    some: list[int] = []
    units = 0
    for place in places:
        text = texts[place]
        size = min(text.word_characters, UNITS_AT_MOST) if text.characters_per_word else len(text.words)
        if some and units + size > UNITS_AT_ONCE:
            yield some
            some, units = [], 0
        some.append(place)
        units += size
    if some:
        yield some


def _words(texts: Sequence[DocumentText]) -> Units:
    """Words, by Python's own hash of 64 bits (keyed anew in each process: nobody can aim at a collision)."""
    words = [word for text in texts for word in text.words]
    hashes = np.fromiter(map(hash, words), np.int64, len(words)).view(np.uint64)
    lengths = np.fromiter(map(len, words), np.int64, len(words))
    owner = np.repeat(np.arange(len(texts)), [len(text.words) for text in texts])
    return Units(hashes, lengths, owner, len(texts))


def _characters(texts: Sequence[DocumentText]) -> Units:
    glued = ["".join(text.words)[:UNITS_AT_MOST] for text in texts]
    codes = np.frombuffer("".join(glued).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    owner = np.repeat(np.arange(len(texts)), list(map(len, glued)))
    return Units(_mixed(codes), np.ones(len(codes), np.int64), owner, len(texts))


def _mixed(values: Hashes) -> Hashes:
    """Each value spread over 64 bits, one to one (the finaliser of SplitMix64 without its last step)."""
    values = values * _BASE
    values = (values ^ (values >> np.uint64(30))) * _MIX
    mixed: Hashes = values ^ (values >> np.uint64(27))
    return mixed


def _measure(units: Units, top: Sequence[int], duplicate: Sequence[int], width: int) -> list[NgramShares]:
    total = np.maximum(np.bincount(units.owner, units.lengths, units.documents), 1)
    zero: npt.NDArray[Any] = np.zeros(units.documents)
    tops, duplicates = dict.fromkeys(top, zero), dict.fromkeys(duplicate, zero)
    for n, repeated in _repeated_ngrams(units, sorted({*top, *duplicate}), width):
        if n in tops:
            tops[n] = _covered(units, _most_frequent(units, repeated), repeated.size) / total
        if n in duplicates:
            later = repeated.places != repeated.firsts[repeated.group]
            duplicates[n] = _covered(units, repeated.places[later], repeated.size) / total
    top_rows, duplicate_rows = _rows(tops, units.documents), _rows(duplicates, units.documents)
    return [NgramShares(*pair) for pair in zip(top_rows, duplicate_rows, strict=True)]


def _rows(columns: dict[int, npt.NDArray[Any]], documents: int) -> list[dict[int, float]]:
    if not columns:
        return [{} for _ in range(documents)]
    values = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in values]


@dataclass(frozen=True)
class Repeated:
    """The n-grams of ``size`` units that occur twice or more in their document."""

    size: int
    places: Ints
    """Where each of their copies starts, those of one n-gram together."""
    group: Ints
    """The number of the n-gram at each place."""
    firsts: Ints
    """The first place of each n-gram."""


def _repeated_ngrams(units: Units, sizes: Sequence[int], width: int) -> Iterator[tuple[int, Repeated]]:
    """For each n of ``sizes``, as long as there are any; an n-gram has n * width units."""
    count = len(units.hashes)
    salted = units.hashes + _mixed(units.owner.astype(np.uint64) + np.uint64(1))  # documents do not mix
    ends = np.searchsorted(units.owner, units.owner, side="right") if count else units.owner
    places, values, size = np.arange(count), salted, 1
    candidate = np.ones(count, bool)
    for n in sizes:
        grown = n * width
        fits = places + grown <= ends[places]
        places, values = places[fits], values[fits]
        goes_on = candidate[places + (grown - size)]
        places, values = places[goes_on], values[goes_on]
        for further in range(size, grown):
            values = values * _BASE + salted[places + further]
        size = grown
        repeated, values = _grouped(places, values, size)
        places = repeated.places
        if not len(places):
            return
        yield n, repeated
        candidate = np.zeros(count, bool)
        candidate[places] = True


def _grouped(places: Ints, values: Hashes, size: int) -> tuple[Repeated, Hashes]:
    """The places whose value occurs twice or more, equal ones together, and their values."""
    order = np.argsort(values)
    places, values = places[order], values[order]
    same = values[1:] == values[:-1]
    in_group = np.zeros(len(values), bool)
    in_group[1:] = same
    in_group[:-1] |= same
    places, values = places[in_group], values[in_group]
    starts = np.ones(len(values), bool)
    starts[1:] = values[1:] != values[:-1]
    firsts = np.minimum.reduceat(places, np.flatnonzero(starts)) if len(places) else places
    return Repeated(size, places, np.cumsum(starts) - 1, firsts), values


def _most_frequent(units: Units, repeated: Repeated) -> Ints:
    """The places of each document's most frequent n-gram; of equal ones that with most characters, then the first."""
    before = np.concatenate([[0], np.cumsum(units.lengths)])
    characters = before[repeated.firsts + repeated.size] - before[repeated.firsts]
    counts = np.bincount(repeated.group)
    owner = units.owner[repeated.firsts]
    order = np.lexsort((-repeated.firsts, characters, counts, owner))
    last = np.ones(len(order), bool)
    last[:-1] = owner[order[1:]] != owner[order[:-1]]
    best = np.zeros(len(order), bool)
    best[order[last]] = True
    chosen: Ints = repeated.places[best[repeated.group]]
    return chosen


def _covered(units: Units, places: Ints, size: int) -> npt.NDArray[Any]:
    """Characters of each document that lie in the n-grams at ``places``, each once."""
    covered = np.zeros(len(units.owner), bool)
    for further in range(size):
        covered[places + further] = True
    return np.bincount(units.owner[covered], units.lengths[covered], units.documents)
