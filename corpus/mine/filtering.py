"""Steps ``filter`` and ``mask``: rules leave out lines and drop documents; then personal data is masked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

from corpus.filters.apply import FilterChain, load_filters
from corpus.mine.rows import MinedRow
from corpus.mine.steps import MiningStep, StepContext


def make_filter(context: StepContext) -> Filter:
    """The step of the rules that are on."""
    return Filter(context.dropped, load_filters(context.config.filters))


def make_mask(context: StepContext) -> Mask:
    """The step of the masks that are on."""
    return Mask(context.dropped, load_filters(context.config.filters))


@dataclass(frozen=True)
class Filter(MiningStep):
    """Leaves out lines by the rules for lines, then drops documents by the rules for documents."""

    filters: FilterChain

    def __call__(self, rows: Sequence[MinedRow]) -> list[MinedRow]:
        """The rows that no rule drops, with the lines that stay."""
        left = list(rows)
        if self.filters.trims:
            left = self._trim(left)
        if self.filters.checks:
            left = self._check(left)
        return left

    def _trim(self, rows: Sequence[MinedRow]) -> list[MinedRow]:
        trimmed = self.filters.trim([row.lines for row in rows], [row.language for row in rows])
        for reason, lines in trimmed.lines.items():
            self.counts.drop(reason, lines=lines, characters=trimmed.characters[reason])
        for row, mask in zip(rows, trimmed.masks, strict=True):
            row.keep_lines(mask)
        return self._without(rows, trimmed.reasons)

    def _check(self, rows: Sequence[MinedRow]) -> list[MinedRow]:
        lines, urls = [row.lines for row in rows], [row.document.url for row in rows]
        return self._without(rows, self.filters.check(lines, urls, [row.language for row in rows]))

    def _without(self, rows: Sequence[MinedRow], reasons: Sequence[str | None]) -> list[MinedRow]:
        for row, reason in zip(rows, reasons, strict=True):
            if reason is not None:
                self.drop(row, reason)
        return list(compress(rows, (reason is None for reason in reasons)))


@dataclass(frozen=True)
class Mask(MiningStep):
    """Masks personal data, line by line; every line stays."""

    filters: FilterChain

    def __call__(self, rows: Sequence[MinedRow]) -> list[MinedRow]:
        """All rows."""
        if self.filters.masks:
            masked, counts = self.filters.mask([row.lines for row in rows])
            for row, lines in zip(rows, masked, strict=True):
                row.lines = lines
            self.counts.masked.update(counts)
        return list(rows)
