"""Clusters of near-duplicates out of signatures: band by band, and a band in parts that fit into memory.

Documents that agree in a band are candidates: each is compared with the first of them by its whole signature, and
joined to its cluster if they are similar enough. Which pairs are compared follows from the bands alone, so clusters do
not depend on how the bands are cut into parts. In memory: one number a document, and one part of one band.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from corpus.duplicates.arrays import Hashes
from corpus.duplicates.minhash import Signatures

Numbers = npt.NDArray[np.int64]

BYTES_PER_DOCUMENT = 40
"""Of one part of a band: keys and numbers as read and as sorted, their order, masks."""

PAIRS_AT_ONCE = 4096
MOST_BITS = 24


class SignatureFiles:
    """The signatures and bands of all mined files, with documents numbered through in the order of files."""

    def __init__(self, folder: Path, stems: Sequence[str]) -> None:
        self._signatures = [folder / "signatures" / f"{stem}.npy" for stem in stems]
        self._bands = [folder / "bands" / f"{stem}.npy" for stem in stems]
        lengths = [_map(path).shape[0] for path in self._signatures]
        self.starts: Numbers = np.cumsum([0, *lengths])
        self.documents = int(self.starts[-1])
        self.bands = _map(self._bands[0]).shape[0] if stems else 0

    def keys(self, band: int, bits: int, part: int) -> tuple[Hashes, Numbers]:
        """The keys of one band whose top ``bits`` bits are ``part``, and the documents that have them."""
        keys, documents = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
        for path, start in zip(self._bands, self.starts, strict=False):
            all_keys = np.array(_map(path)[band])
            rows = np.flatnonzero(all_keys >> np.uint64(64 - bits) == part) if bits else np.arange(len(all_keys))
            keys.append(all_keys[rows])
            documents.append(rows + start)
        return np.concatenate(keys), np.concatenate(documents)

    def signatures(self, documents: Numbers) -> Signatures:
        """[documents, permutations]."""
        files = np.searchsorted(self.starts, documents, "right") - 1
        found: Signatures | None = None
        for file in np.unique(files):
            chosen = np.flatnonzero(files == file)
            rows = _map(self._signatures[file])[documents[chosen] - self.starts[file]]
            if found is None:
                found = np.empty((len(documents), rows.shape[1]), np.uint16)
            found[chosen] = rows
        assert found is not None, "asked for no documents"
        return found

    def similarity(self, some: Numbers, others: Numbers) -> npt.NDArray[np.float32]:
        """The estimated similarity of each of ``some`` with its partner in ``others``."""
        parts = [np.empty(0, np.float32)]
        for start in range(0, len(some), PAIRS_AT_ONCE):
            pairs = slice(start, start + PAIRS_AT_ONCE)
            same = self.signatures(some[pairs]) == self.signatures(others[pairs])
            parts.append(same.mean(axis=1, dtype=np.float64).astype(np.float32))
        return np.concatenate(parts)


def _map(path: Path) -> npt.NDArray[np.uint64]:
    array: npt.NDArray[np.uint64] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


class Forest:
    """Clusters that grow together; the number of a cluster is its first document's."""

    def __init__(self, documents: int) -> None:
        self.parents: Numbers = np.arange(documents)

    def roots(self, documents: Numbers) -> Numbers:
        """The cluster of each document."""
        roots = self.parents[documents]
        while (self.parents[roots] != roots).any():
            roots = self.parents[roots]
        self.parents[documents] = roots
        return roots

    def join(self, some: Numbers, others: Numbers) -> None:
        """Join the clusters of each pair."""
        for one, other in zip(some.tolist(), others.tolist(), strict=True):
            low, high = sorted((self._root(one), self._root(other)))
            self.parents[high] = low

    def _root(self, document: int) -> int:
        while (parent := int(self.parents[document])) != document:
            self.parents[document] = self.parents[parent]
            document = parent
        return document


def find_clusters(files: SignatureFiles, threshold: float, memory_bytes: int) -> Forest:
    """Join all documents that agree in a band and are similar by ``threshold`` or more."""
    forest = Forest(files.documents)
    bits = 0
    while files.documents * BYTES_PER_DOCUMENT >> bits > memory_bytes and bits < MOST_BITS:
        bits += 1
    for band in range(files.bands):
        for part in range(2**bits):
            for firsts, others in _candidates(*files.keys(band, bits, part)):
                new = forest.roots(firsts) != forest.roots(others)
                new[new] = files.similarity(firsts[new], others[new]) >= threshold
                forest.join(firsts[new], others[new])
    return forest


def _candidates(keys: Hashes, documents: Numbers) -> Iterator[tuple[Numbers, Numbers]]:
    """Pairs of the first document with a key and another that has it; some at a time."""
    order = np.argsort(keys, kind="stable")
    keys, documents = keys[order], documents[order]
    begins = np.ones(len(keys), bool)
    begins[1:] = keys[1:] != keys[:-1]
    others = np.flatnonzero(~begins)
    firsts = np.maximum.accumulate(np.where(begins, np.arange(len(keys)), 0))[others]
    for start in range(0, len(others), PAIRS_AT_ONCE):
        pairs = slice(start, start + PAIRS_AT_ONCE)
        yield documents[firsts[pairs]], documents[others[pairs]]
