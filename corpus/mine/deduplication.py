"""Step ``deduplicate``: leaves out the lines that stand in several documents, and repeats in one document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, compress

import numpy as np

from corpus.duplicates.exact import Drops, read_drops
from corpus.duplicates.hash import first_in_document
from corpus.mine.rows import MinedRow
from corpus.mine.steps import MiningStep, StepContext

DUPLICATE = "duplicate lines"
REPEATED = "lines repeated in a document"
NOTHING_LEFT = "nothing but duplicate lines"


def make_step(context: StepContext) -> Deduplicate:
    """The step, with the hashes to drop of the shard."""
    return Deduplicate(context.dropped, read_drops(context.shard.duplicates, context.shard.name))


@dataclass(frozen=True)
class Deduplicate(MiningStep):
    """Leaves out the lines that ``drops`` names and repeats in a document; then drops documents without text."""

    drops: Drops

    def __call__(self, rows: Sequence[MinedRow]) -> list[MinedRow]:
        """The rows of which text is left. They come with the hashes of all their lines."""
        hashes = np.concatenate([row.hashes for row in rows if row.hashes is not None])
        owner = np.repeat(np.arange(len(rows)), [len(row.lines) for row in rows])
        first = first_in_document(hashes, owner)
        duplicate = self.drops.mask(hashes, first)
        keep = first & ~duplicate
        lines = list(chain.from_iterable(row.lines for row in rows))
        sizes = np.fromiter(map(len, lines), np.int64, len(lines))
        self.counts.read(len(rows), len(lines), int(sizes.sum()))
        for reason, gone in ((DUPLICATE, duplicate), (REPEATED, ~first & ~duplicate)):
            self.counts.drop(reason, lines=int(gone.sum()), characters=int(sizes[gone].sum()))

        kept_lines = list(compress(lines, keep))
        kept_ids = list(compress(chain.from_iterable(row.line_ids for row in rows), keep))
        ends = np.cumsum(np.bincount(owner[keep], minlength=len(rows))).tolist()
        has_text = (np.bincount(owner[keep], sizes[keep], minlength=len(rows)) > 0).tolist()
        for row, start, end in zip(rows, [0, *ends], ends, strict=False):
            row.lines, row.line_ids, row.hashes = kept_lines[start:end], kept_ids[start:end], None
        for row in compress(rows, (not text for text in has_text)):
            self.drop(row, NOTHING_LEFT)
        return list(compress(rows, has_text))
