"""Stage ``corpus.hash``: the hash of every line, by shard, in two orders. 16 bytes a line on disk at most.

``lines/<shard>.npy``   uint64, every line of every document in the order of reading: what corpus.mine walks along.
``sorted/<shard>.npy``  uint64, sorted, each hash at most twice: once for one document of the shard that has it, twice
                        for more. Any partition of the hashes by their top bits is a slice of it: corpus.duplicates.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from hashlib import sha1
from itertools import chain, compress, count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from corpus.crawl.addresses import segment_of
from corpus.crawl.chosen import chosen_file, read_chosen
from corpus.crawl.download import GoneError
from corpus.crawl.fetch import read_shards
from corpus.crawl.missing import write_missing
from corpus.crawl.tally import NAMED_AT_MOST, Tally
from corpus.crawl.wet import Document, read_crawl
from corpus.crawl.yields import check_crawl
from corpus.duplicates.arrays import Hashes, HashWriter
from corpus.duplicates.normalise import normalise_lines_for_hash
from corpus.duplicates.runs import SortedRuns
from pipeline.context import Context
from pipeline.counts import Counts, sum_counts
from pipeline.manifest import read_manifest
from pipeline.shards import ShardReport
from pipeline.stage import Inputs
from pipeline.storage import canonical_json, sha256_of_file

if TYPE_CHECKING:
    from corpus.crawl.settings import Read
    from corpus.settings import HashStage

DOCUMENTS_AT_ONCE = 1024
BYTES_AT_ONCE = 2**24
"""A batch of documents ends with the one that brings it over this, so that large documents do not add up."""


def run(config: HashStage, inputs: Inputs, output: Path, context: Context) -> Counts:
    """Hash each shard, but for those that an earlier output has from the same files: a dump may be added."""
    del output
    shards = read_shards(inputs["corpus.fetch"])
    fetched = read_manifest(inputs["corpus.fetch"])
    checksums = fetched.outside if fetched else {}  # files of a dump have none: their place in the crawl names them
    chosen = {name: chosen_file(inputs["corpus.fetch"], name) for name in shards}
    identity = {
        name: canonical_json(
            [[segment_of(file), checksums.get(file)] for file in files]
            + [[sha256_of_file(path)] for path in [chosen[name]] if path]
        )
        for name, files in shards.items()
    }
    tasks = {name: HashShard(name, files, chosen[name]) for name, files in shards.items()}
    counts = sum_counts(context.map_shards(partial(hash_shard, config.read), tasks, identity, read_back=False))
    files = sum(map(len, shards.values()))
    if gone := counts.get("missing_files", 0):
        context.warn(f"{gone:,} of {files:,} files of the crawl are gone and left out; missing/ names them by shard")
    check_crawl(counts, files, config.read, context.warnings)
    return counts


class HashShard(NamedTuple):
    """One shard: its files, and what alone is read of them where an index chooses."""

    name: str
    files: Sequence[str]
    chosen: Path | None = None


def hash_shard(read: Read, shard: HashShard, workspace: Path) -> ShardReport:
    """Write the two files of one shard."""
    name, files, chosen = shard
    tally = Tally()
    missing: list[str] = []
    counts = {"documents": 0, "lines": 0, "characters": 0}
    document_hashes = SortedRuns(workspace / ".runs")
    with HashWriter(workspace / "lines" / f"{name}.npy") as writer:
        for batch in batched(_documents(files, read, tally, missing, chosen), DOCUMENTS_AT_ONCE):
            lines = list(chain.from_iterable(document.lines for document in batch))
            hashes = hash_lines(lines)
            owner = np.repeat(np.arange(len(batch)), [len(document.lines) for document in batch])
            writer.append(hashes)
            document_hashes.append(hashes[first_in_document(hashes, owner)])
            counts["documents"] += len(batch)
            counts["lines"] += len(lines)
            counts["characters"] += sum(map(len, lines))
    with HashWriter(workspace / "sorted" / f"{name}.npy") as writer:
        for chunk in document_hashes.chunks():
            writer.append(chunk)
    write_missing(workspace, name, missing)
    gone = {"missing_files": len(missing)} if missing else {}
    warnings = [*(f"{file}: is gone; left out" for file in missing[:NAMED_AT_MOST]), *tally.warnings()]
    return ShardReport({**counts, **tally.counts(), **gone}, warnings)


def _documents(
    files: Sequence[str], read: Read, tally: Tally, missing: list[str], chosen: Path | None
) -> Iterator[Document]:
    left_out = missing if read.missing == "leave_out" else None
    try:
        yield from read_crawl(files, read, tally, left_out, chosen=read_chosen(chosen))
    except GoneError as error:
        fix = "check the address, or set corpus.read.missing: leave_out to leave out files that are gone"
        raise GoneError(error.problem, fix) from None


def batched(items: Iterable[Document], size: int) -> Iterator[list[Document]]:
    """Lists of at most ``size`` items, and not much more text than ``BYTES_AT_ONCE``."""
    batch: list[Document] = []
    space = BYTES_AT_ONCE
    for item in items:
        batch.append(item)
        space -= item.length
        if len(batch) == size or space <= 0:
            yield batch
            batch, space = [], BYTES_AT_ONCE
    if batch:
        yield batch


def hash_lines(lines: Sequence[str]) -> Hashes:
    """The first 8 bytes of the SHA-1 of each normalised line, little-endian. Source: cc_net dedup.py.

    ``lines`` are stripped and hold no newline. Lines that repeat, as menus do, are worked on once.
    """
    number: defaultdict[str, int] = defaultdict(count().__next__)
    numbers = np.fromiter(map(number.__getitem__, lines), np.int64, len(lines))
    distinct = list(number)
    is_ascii = np.fromiter(map(str.isascii, distinct), bool, len(distinct))
    digests = np.empty(len(distinct), np.uint64)
    for kind in (is_ascii, ~is_ascii):
        if kind.any():
            digests[kind] = digests_of(normalise_lines_for_hash(list(compress(distinct, kind.tolist()))))
    return digests[numbers]


def digests_of(lines: Sequence[bytes]) -> Hashes:
    """The first 8 bytes of the SHA-1 of each, little-endian."""
    if not lines:
        return np.empty(0, np.uint64)
    whole = np.frombuffer(b"".join([sha1(line).digest() for line in lines]), np.uint8)
    first: Hashes = np.ascontiguousarray(whole.reshape(len(lines), -1)[:, :8]).view("<u8")[:, 0]
    return first


def first_in_document(hashes: Hashes, owner: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """True for the first line of a document with its hash, False for repeats in the same document.

    ``owner`` is the number of the document of each line; it never decreases.
    """
    order = _stable_order(hashes)
    repeats = (hashes[order[1:]] == hashes[order[:-1]]) & (owner[order[1:]] == owner[order[:-1]])
    first = np.ones(len(hashes), bool)
    first[order[1:][repeats]] = False
    return first


def _stable_order(hashes: Hashes) -> npt.NDArray[np.int64]:
    """Like ``argsort``, equal hashes in the order they stand in; by a plain sort, which is many times faster.

    The place of each hash is written over its lowest bits.
    """
    low = np.uint64((1 << len(hashes).bit_length()) - 1)
    keys = (hashes & ~low) | np.arange(len(hashes), dtype=np.uint64)
    keys.sort()
    order = (keys & low).astype(np.int64)
    ordered = hashes[order]
    if (ordered[1:] < ordered[:-1]).any():  # two that differ in nothing but the bits written over: hardly ever
        return np.argsort(hashes, kind="stable")
    return order
