"""The filters that are on, applied to rows: lines go, then documents; and what is personal is masked."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress

from corpus.filters.apply import FilterChain
from corpus.mine.rows import Drop, Row
from corpus.mine.tally import MineTally


def filter_rows(rows: Sequence[Row], chain: FilterChain, drop: Drop, tally: MineTally) -> list[Row]:
    """Those that stay, with the lines that stay."""
    left = list(rows)
    if chain.trims:
        left = _trim(left, chain, drop, tally)
    if chain.checks:
        left = _check(left, chain, drop)
    return left


def mask_rows(rows: Sequence[Row], chain: FilterChain, tally: MineTally) -> None:
    """Mask what is personal in them, line for line."""
    if not chain.masks:
        return
    masked, counts = chain.mask([row.lines for row in rows])
    for row, lines in zip(rows, masked, strict=True):
        row.lines = lines
    tally.masked.update(counts)


def _trim(rows: Sequence[Row], chain: FilterChain, drop: Drop, tally: MineTally) -> list[Row]:
    trimmed = chain.trim([row.lines for row in rows], [row.language for row in rows])
    for why, lines in trimmed.lines.items():
        tally.drop(why, lines=lines, characters=trimmed.characters[why])
    left: list[Row] = []
    for row, mask, reason in zip(rows, trimmed.masks, trimmed.reasons, strict=True):
        row.keep_lines(mask)
        if reason is None:
            left.append(row)
        else:
            drop(row, reason)
    return left


def _check(rows: Sequence[Row], chain: FilterChain, drop: Drop) -> list[Row]:
    lines, urls = [row.lines for row in rows], [row.document.url for row in rows]
    reasons = chain.check(lines, urls, [row.language for row in rows])
    for row, reason in zip(rows, reasons, strict=True):
        if reason is not None:
            drop(row, reason)
    return list(compress(rows, (reason is None for reason in reasons)))
