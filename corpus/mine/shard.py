"""A shard to be mined: its files are read again, along the hashes of their lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from corpus.crawl.chosen import read_chosen
from corpus.crawl.settings import Read
from corpus.crawl.tally import Tally
from corpus.crawl.wet import read_crawl
from corpus.duplicates.arrays import Hashes
from corpus.duplicates.hash import DOCUMENTS_AT_ONCE, batched
from corpus.mine.rows import MinedRow
from pipeline.errors import XlmrError


@dataclass(frozen=True)
class MineShard:
    """Where one shard's text and what was found out about it are. ``root`` is left out of the names of files."""

    name: str
    files: Sequence[str]
    hashes: Path
    duplicates: Path
    models: Path
    root: str = ""
    chosen: Path | None = None


def read_rows(shard: MineShard, read: Read) -> Iterator[list[MinedRow]]:
    """Batches of documents as rows, with all their lines and the hashes of these.

    Errors: XlmrError where the files have other lines than those that were hashed.
    """
    hashes: Hashes = np.asarray(np.load(shard.hashes, mmap_mode="r", allow_pickle=False))
    documents = read_crawl(shard.files, read, Tally(), root=shard.root, chosen=read_chosen(shard.chosen))
    start = 0
    for batch in batched(documents, DOCUMENTS_AT_ONCE):
        rows = []
        for document in batch:
            stop = start + len(document.lines)
            rows.append(MinedRow(document, document.lines, list(range(stop - start)), hashes=hashes[start:stop]))
            start = stop
        if start > len(hashes):
            break
        yield rows
    if start != len(hashes):
        raise XlmrError(f"{shard.name}: its files changed after they were hashed", "run the same command again")
