"""A document on its way through mining: the lines that are left of it, and what was found out about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np

from corpus.crawl.wet import Document
from corpus.duplicates.arrays import Hashes


@dataclass(slots=True)
class MinedRow:
    """A record of the corpus in the making: some lines of a document, and what was found out about them.

    ``line_ids``  the place of each line in ``document.lines``.
    ``hashes``    of each line, until deduplication.

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
    hashes: Hashes | None = None

    @property
    def characters(self) -> int:
        """Without the newlines between lines."""
        return sum(map(len, self.lines))

    @property
    def characters_read(self) -> int:
        """Characters of its lines as they were read, before anything was masked or rewritten."""
        return sum(map(len, map(self.document.lines.__getitem__, self.line_ids)))

    def keep_lines(self, mask: Sequence[bool]) -> None:
        """Leave out the lines for which ``mask`` is False."""
        if not all(mask):
            self.lines = list(compress(self.lines, mask))
            self.line_ids = list(compress(self.line_ids, mask))
            if self.line_perplexities is not None:
                self.line_perplexities = list(compress(self.line_perplexities, mask))
            if self.line_scores is not None:
                self.line_scores = list(compress(self.line_scores, mask))
                self.average_scores()

    def average_scores(self) -> None:
        """Make ``score`` the mean of ``line_scores`` over characters; as it was, where there are none."""
        if self.line_scores and self.characters:
            self.score = round(float(np.average(self.line_scores, weights=list(map(len, self.lines)))), 2)
