"""Stage ``corpus.hash``: the hash of every line, by shard, in two orders.

``lines/<shard>.npy``   uint64, every line of every document in the order of reading: what corpus.mine walks along.
``sorted/<shard>.npy``  uint64, sorted, each hash at most twice: once for one document of the shard that has it, twice
                        for more. Any partition of the hashes by their top bits is a slice of it: corpus.duplicates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from hashlib import sha1
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from corpus.crawl.fetch import read_shards
from corpus.crawl.wet import Document, Tally, read_documents
from corpus.normalise import normalise_lines_for_hash
from pipeline.context import Context
from pipeline.counts import Counts, sum_counts
from pipeline.shards import ShardReport
from pipeline.stage import Inputs

if TYPE_CHECKING:
    from corpus.crawl.settings import Read
    from corpus.stages import HashStage

Hashes = npt.NDArray[np.uint64]

DOCUMENTS_AT_ONCE = 1024


def run(config: HashStage, inputs: Inputs, output: Path, context: Context) -> Counts:
    """Hash each shard."""
    del output
    shards = read_shards(inputs["corpus.fetch"])
    return sum_counts(context.map_shards(partial(hash_shard, config.read), {n: (n, f) for n, f in shards.items()}))


def hash_shard(read: Read, shard: tuple[str, Sequence[str]], workspace: Path) -> ShardReport:
    """Write the two files of one shard."""
    name, files = shard
    tally = Tally()
    documents = read_documents(files, read.min_characters, read.max_record_bytes, tally)
    line_hashes: list[Hashes] = []
    document_hashes: list[Hashes] = []
    counts = {"documents": 0, "lines": 0, "characters": 0}
    for batch in batched(documents, DOCUMENTS_AT_ONCE):
        hashes = hash_lines(list(chain.from_iterable(document.lines for document in batch)))
        owner = np.repeat(np.arange(len(batch)), [len(document.lines) for document in batch])
        line_hashes.append(hashes)
        document_hashes.append(hashes[first_in_document(hashes, owner)])
        counts["documents"] += len(batch)
        counts["lines"] += len(hashes)
        counts["characters"] += sum(sum(map(len, document.lines)) for document in batch)
    _save(workspace / "lines" / f"{name}.npy", _join(line_hashes))
    _save(workspace / "sorted" / f"{name}.npy", sorted_at_most_twice(_join(document_hashes)))
    read_counts = {"records": tally.records, "too_short": tally.short, "bad_records": tally.bad}
    return ShardReport({**counts, **read_counts}, tally.named)


def batched(items: Iterable[Document], size: int) -> Iterator[list[Document]]:
    """Lists of at most ``size`` items."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def hash_lines(lines: Sequence[str]) -> Hashes:
    """The first 8 bytes of the SHA-1 of each normalised line, little-endian. Source: cc_net dedup.py.

    ``lines`` are stripped and hold no newline. Lines that repeat, as menus do, are worked on once.
    """
    distinct = list(dict.fromkeys(lines))
    if not distinct:
        return np.empty(0, np.uint64)
    normalised = normalise_lines_for_hash("\n".join(distinct)).encode("utf-8", "surrogatepass").split(b"\n")
    digests = np.frombuffer(b"".join([sha1(line).digest()[:8] for line in normalised]), "<u8")
    if len(distinct) == len(lines):
        return digests
    number = dict(zip(distinct, range(len(distinct)), strict=True))
    return digests[np.fromiter(map(number.__getitem__, lines), np.int64, len(lines))]


def first_in_document(hashes: Hashes, owner: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """True for the first line of a document with its hash, False for repeats in the same document.

    ``owner`` is the number of the document of each line.
    """
    order = np.lexsort((hashes, owner))  # stable: lines that are equal in both stay in the order of reading
    repeats = (hashes[order[1:]] == hashes[order[:-1]]) & (owner[order[1:]] == owner[order[:-1]])
    first = np.ones(len(hashes), bool)
    first[order[1:][repeats]] = False
    return first


def sorted_at_most_twice(hashes: Hashes) -> Hashes:
    """``hashes`` sorted (in place), with the third and later copies of each left out."""
    hashes.sort()
    keep = np.ones(len(hashes), bool)
    keep[2:] = hashes[2:] != hashes[:-2]
    return hashes[keep]


def _join(parts: Sequence[Hashes]) -> Hashes:
    return np.concatenate(parts) if parts else np.empty(0, np.uint64)


def _save(path: Path, array: Hashes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array, allow_pickle=False)
