"""Tables of the benchmarks in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def table(head: Sequence[str], rows: Iterator[Sequence[object]]) -> Iterator[str]:
    """The lines of a table; its first column is text, the others are numbers."""
    yield "| " + " | ".join(head) + " |"
    yield "| --- |" + " ---: |" * (len(head) - 1)
    for row in rows:
        yield "| " + " | ".join(str(cell) for cell in row) + " |"


def percent(share: float | None) -> str:
    """With a decimal; a dash for None."""
    return "–" if share is None else f"{100 * share:.1f}"
