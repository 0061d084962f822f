"""Signatures of documents: MinHash over shingles, one mined file at a time.

``signatures/<stem>.npy``  uint16 [rows, permutations]: the lowest bits of each minimum, enough to estimate with.
``bands/<stem>.npy``       uint64 [bands, rows]: one number for the rows of each band, what candidates agree in.

A shingle is some words that follow each other, or characters where words are not parted by spaces; text is normalised
as lines are before they are hashed. Its hash is a polynomial of its words' hashes, mixed. The permutations are rensa's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, compress, count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus.duplicates.arrays import Hashes
from corpus.duplicates.hash import digests_of
from corpus.duplicates.normalise import normalise_lines_for_hash
from pipeline.shards import ShardReport

if TYPE_CHECKING:
    from corpus.duplicates.settings import NearDuplicates

Signatures = npt.NDArray[np.uint16]
Lengths = npt.NDArray[np.int64]

ROWS_AT_ONCE = 1024
MISSED = 0.98
"""What a missed pair weighs against one compared in vain, when bands follow from the threshold."""

_FACTOR = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class MinedFile:
    """What is read of one mined file."""

    path: Path

    @property
    def stem(self) -> str:
        """The name of everything made of it."""
        return self.path.stem


def sign_file(settings: NearDuplicates, file: MinedFile, workspace: Path) -> ShardReport:
    """Write signatures and bands of one mined file."""
    bands, rows = bands_and_rows(settings)
    parts = [sign_texts(settings, texts, languages) for languages, texts in read_texts(file.path)]
    empty = np.empty((0, settings.permutations), np.uint16)
    signatures = np.concatenate([empty, *parts])
    for folder in ("signatures", "bands"):
        (workspace / folder).mkdir()
    np.save(workspace / "signatures" / f"{file.stem}.npy", signatures, allow_pickle=False)
    np.save(workspace / "bands" / f"{file.stem}.npy", band_keys(signatures, bands, rows), allow_pickle=False)
    return ShardReport({"documents": len(signatures)})


def read_texts(path: Path) -> Iterator[tuple[list[str], list[str]]]:
    """(languages, texts) of the documents of a mined file, some at a time, in order."""
    with pa.memory_map(str(path)) as source:
        schema = pa.ipc.open_file(source).schema
        wanted = [schema.get_field_index(name) for name in ("language", "raw_content")]
        reader = pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(included_fields=wanted))
        for number in range(reader.num_record_batches):
            batch = reader.get_batch(number)
            for start in range(0, batch.num_rows, ROWS_AT_ONCE):
                some = batch.slice(start, ROWS_AT_ONCE)
                yield some.column("language").to_pylist(), some.column("raw_content").to_pylist()


def sign_texts(settings: NearDuplicates, texts: Sequence[str], languages: Sequence[str]) -> Signatures:
    """[texts, permutations]: the signatures of some texts."""
    # One thread, as every worker is one; the library asks this when it is loaded.
    import os

    os.environ.setdefault("RAYON_NUM_THREADS", "1")
    from rensa import RMinHash

    signatures = np.empty((len(texts), settings.permutations), np.uint16)
    unspaced = np.isin(languages, settings.unspaced)
    for kind, size, unit_hashes in (
        (~unspaced, settings.words, hash_words),
        (unspaced, settings.characters, hash_characters),
    ):
        places = np.flatnonzero(kind)
        if len(places):
            units, lengths = unit_hashes(list(compress(texts, kind)))
            shingles, ends = hash_shingles(units, lengths, size)
            offsets = np.concatenate([[0], ends]).astype(np.uint64)
            matrix = RMinHash.digest_matrix_from_flat_token_hashes(
                shingles, offsets, settings.permutations, settings.seed
            )
            signatures[places] = (np.array(matrix.to_rows(), np.uint32) & 0xFFFF).astype(np.uint16)
    return signatures


def hash_words(texts: Sequence[str]) -> tuple[Hashes, Lengths]:
    """The hashes of the words of all ``texts``, one after the other, and how many each text has."""
    words = [text.split() for text in normalise_lines_for_hash([text.replace("\n", " ") for text in texts])]
    number: defaultdict[bytes, int] = defaultdict(count().__next__)
    numbers = np.fromiter(map(number.__getitem__, chain.from_iterable(words)), np.int64)
    return digests_of(list(number))[numbers], np.array(list(map(len, words)), np.int64)


def hash_characters(texts: Sequence[str]) -> tuple[Hashes, Lengths]:
    """The same of their characters; spaces do not count."""
    joined = [b"".join(text.split()) for text in normalise_lines_for_hash([t.replace("\n", " ") for t in texts])]
    points = [np.frombuffer(text.decode("utf-8", "replace").encode("utf-32-le"), "<u4") for text in joined]
    units: Hashes = mix(np.concatenate(points).astype(np.uint64) + np.uint64(1))
    return units, np.array(list(map(len, points)), np.int64)


def hash_shingles(units: Hashes, lengths: Lengths, size: int) -> tuple[Hashes, Lengths]:
    """The hashes of all runs of ``size`` units within a text, and where each text's end.

    A text with fewer units has one shingle, of all of them; one without any has one too, the same for all.
    """
    sums = np.zeros(len(units), np.uint64)
    power = np.uint64(1)
    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(units))  # units from here to the text's end
    with np.errstate(over="ignore"):
        for ahead in range(size):
            inside = np.flatnonzero(left > ahead)
            sums[inside] += units[inside + ahead] * power
            power = np.uint64(int(power) * int(_FACTOR) % 2**64)
    first = np.arange(len(units)) == np.repeat(np.cumsum(lengths) - lengths, lengths)
    chosen = (left >= size) | (first & (left < size))
    numbers = np.maximum(lengths - size + 1, 1)
    ends = np.cumsum(numbers)
    shingles = np.zeros(int(numbers.sum()), np.uint64)
    with_units = np.repeat(lengths > 0, numbers)
    shingles[with_units] = mix(sums[chosen])
    return shingles, ends


def mix(numbers: Hashes) -> Hashes:
    """A bijection of 64-bit numbers after which every bit depends on all. Source: splitmix64, Steele et al. 2014."""
    mixed = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    result: Hashes = mixed ^ (mixed >> np.uint64(31))
    return result


def band_keys(signatures: Signatures, bands: int, rows: int) -> Hashes:
    """[bands, documents]: one number for the ``rows`` values of each band."""
    keys = np.empty((bands, len(signatures)), np.uint64)
    for band in range(bands):
        key = np.full(len(signatures), band, np.uint64)
        for row in range(band * rows, (band + 1) * rows):
            key = mix(key * _FACTOR + signatures[:, row].astype(np.uint64) + np.uint64(1))
        keys[band] = key
    return keys


def bands_and_rows(settings: NearDuplicates) -> tuple[int, int]:
    """As set, or those of the threshold."""
    if settings.bands is not None and settings.rows is not None:
        return settings.bands, settings.rows
    return _best_bands(settings.threshold, settings.permutations)


@cache
def _best_bands(threshold: float, permutations: int) -> tuple[int, int]:
    """The bands × rows that err least. Source: Leskovec et al., Mining of Massive Datasets, 3.4; as datasketch does it.

    Two documents of similarity s agree in a band with 1 - (1 - s^rows)^bands. What that is above zero under the
    threshold is compared in vain, what it is below one above it is missed.
    """
    similarity = (np.arange(1000) + 0.5) / 1000
    under = similarity < threshold

    def error(bands: int, rows: int) -> float:
        agree = 1 - (1 - similarity**rows) ** bands
        return float((1 - MISSED) * agree[under].sum() + MISSED * (1 - agree[~under]).sum())

    choices = [(bands, rows) for rows in range(1, permutations + 1) for bands in range(1, permutations // rows + 1)]
    return min(choices, key=lambda choice: error(*choice))
