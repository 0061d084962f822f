"""A document on its way through mining: what is left of it, and which lines deduplication leaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, compress

import numpy as np

from corpus.crawl.wet import Document
from corpus.duplicates.arrays import Hashes
from corpus.duplicates.exact import Drops
from corpus.duplicates.hash import first_in_document
from corpus.mine.tally import MineTally

DUPLICATE = "duplicate lines"
REPEATED = "lines repeated in a document"
NOTHING_LEFT = "nothing but duplicate lines"


@dataclass(slots=True)
class Row:
    """A record of the corpus in the making: some lines of a document, and what was found out about them.

    ``line_scores``, ``line_perplexities`` are there where lines were decided on one by one; then ``score`` is the mean
    of those of ``lines``. Otherwise it is that of the document as it was identified, before any filter.
    """

    document: Document
    lines: list[str]
    line_ids: list[int]
    language: str = ""
    score: float = 0.0
    perplexity: float | None = None
    line_scores: list[float] | None = None
    line_perplexities: list[float | None] | None = None

    @property
    def characters(self) -> int:
        """Without the newlines between lines."""
        return sum(map(len, self.lines))

    def keep_lines(self, mask: Sequence[bool]) -> None:
        """Leave out the lines for which ``mask`` is False."""
        if not all(mask):
            self.lines = list(compress(self.lines, mask))
            self.line_ids = list(compress(self.line_ids, mask))
            if self.line_scores is not None:
                self.line_scores = list(compress(self.line_scores, mask))
                self.average_scores()

    def average_scores(self) -> None:
        """Make ``score`` the mean of ``line_scores`` over characters; as it was, where there are none."""
        if self.line_scores and self.characters:
            self.score = round(float(np.average(self.line_scores, weights=list(map(len, self.lines)))), 2)


Drop = Callable[[Row, str], None]
"""What is told of each row that goes as a whole, with the reason."""


def deduplicate(documents: Sequence[Document], hashes: Hashes, drops: Drops, drop: Drop, tally: MineTally) -> list[Row]:
    """Leave out the lines that ``drops`` names and repeats in a document; then, by ``drop``, documents without text.

    ``hashes`` are those of all lines of ``documents``, one after the other.
    """
    lengths = np.array([len(document.lines) for document in documents])
    owner = np.repeat(np.arange(len(documents)), lengths)
    first = first_in_document(hashes, owner)
    duplicate = drops.mask(hashes, first)
    keep = first & ~duplicate

    lines = list(chain.from_iterable(document.lines for document in documents))
    sizes = np.fromiter(map(len, lines), np.int64, len(lines))
    numbers = np.arange(len(lines)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    tally.read(len(documents), len(lines), int(sizes.sum()))
    tally.drop(DUPLICATE, lines=int(duplicate.sum()), characters=int(sizes[duplicate].sum()))
    repeated = ~keep & ~duplicate
    tally.drop(REPEATED, lines=int(repeated.sum()), characters=int(sizes[repeated].sum()))

    kept_lines, kept_ids = list(compress(lines, keep)), numbers[keep].tolist()
    ends = np.cumsum(np.bincount(owner[keep], minlength=len(documents))).tolist()
    left = np.bincount(owner[keep], sizes[keep], minlength=len(documents)) > 0
    rows = []
    for document, start, end, has_text in zip(documents, [0, *ends], ends, left.tolist(), strict=False):
        row = Row(document, kept_lines[start:end], kept_ids[start:end])
        if has_text:
            rows.append(row)
        else:
            drop(row, NOTHING_LEFT)
    return rows
