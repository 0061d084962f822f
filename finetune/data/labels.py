"""Whether labels are classes: few, each of several rows. Free text or values in the label column are not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from finetune.data.examples import Location
from pipeline.errors import XlmrError

FEW = 10
"""Classes that no one doubts, unless each stands in one row alone."""

SMALL = 4
"""Rows from which on a class a row is a fault; fewer are a trial."""


def classes_of(labels: Sequence[str], file: str, column: str, fix: str) -> tuple[str, ...]:
    """The different labels, by name. Errors: XlmrError for fewer than two, and for labels that are no classes.

    They are none where each row, or more than half of the rows, has one of its own, or where they are fractions.
    """
    found = tuple(sorted(set(labels)))
    if len(found) < 2:
        raise XlmrError(f"{file}: has no two labels to tell apart", f"check which column has the label: {fix}")
    each_its_own = len(labels) >= SMALL and len(found) == len(labels)
    if each_its_own or (len(found) > FEW and (2 * len(found) > len(labels) or _are_values(found))):
        raise XlmrError(
            f"{file}: {column} has {len(found):,} different labels in {len(labels):,} rows, which are no classes",
            f"{_or_values(found)}{fix}, or list the classes in own.labels",
        )
    return found


def spaced_labels(labels: Iterable[tuple[Location, object]]) -> Iterator[str]:
    """A line on the labels of one file that have white space around them, if there are any."""
    found = [location for location, label in labels if isinstance(label, str) and label != label.strip()]
    if found:
        yield f"{found[0].file}: white space around {len(found)} labels is left out (the first is row {found[0].row})"


def _are_values(labels: Sequence[str]) -> bool:
    """Whether all are numbers, and some of them fractions."""
    try:
        return any(not float(label).is_integer() for label in labels)
    except (ValueError, OverflowError):
        return False


def _or_values(labels: Sequence[str]) -> str:
    return "set own.kind to regression for numbers; " if _are_values(labels) else ""
