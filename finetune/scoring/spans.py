"""F1 of names in tagged sentences, as conlleval and seqeval count: a name is right if its kind and both ends are.

Counted here because seqeval, the usual package, has had no release since 2020; the tests hold it against that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Sentences = Sequence[Sequence[str]]
Span = tuple[int, int, str]
"""First word, word after the last, kind."""


@dataclass(frozen=True)
class SpanScores:
    """Precision, recall and F1 in percent over all names, the names that are there, and F1 of each kind."""

    precision: float
    recall: float
    f1: float
    names: int
    by_kind: dict[str, float]


def spans_of(tags: Sequence[str]) -> Iterator[Span]:
    """The names of a sentence. Also what is no proper IOB2 has a reading: I- that continues nothing begins a name."""
    start, kind = 0, ""
    for place, tag in enumerate(tags):
        letter, _, found = tag.partition("-")
        if kind and (letter != "I" or found != kind):
            yield start, place, kind
            kind = ""
        if letter != "O" and not kind:
            start, kind = place, found
    if kind:
        yield start, len(tags), kind


def span_f1(gold: Sentences, predicted: Sentences) -> float:
    """Micro F1 over all names of all sentences, in percent; 0 where there is no name at all, as seqeval has it."""
    return span_scores(gold, predicted).f1


def span_scores(gold: Sentences, predicted: Sentences) -> SpanScores:
    """Scores of tagged sentences. Errors: ValueError where sentences or words do not correspond."""
    if len(gold) != len(predicted):
        raise ValueError(f"{len(gold)} right and {len(predicted)} predicted sentences")
    there: Counter[str] = Counter()
    claimed: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for number, (first, second) in enumerate(zip(gold, predicted, strict=True)):
        if len(first) != len(second):
            raise ValueError(f"sentence {number}: {len(first)} right and {len(second)} predicted tags")
        names, found = set(spans_of(first)), set(spans_of(second))
        there.update(kind for *_, kind in names)
        claimed.update(kind for *_, kind in found)
        right.update(kind for *_, kind in names & found)
    kinds = sorted({*there, *claimed})
    return SpanScores(
        *_scores(right.total(), claimed.total(), there.total()),
        there.total(),
        {kind: _scores(right[kind], claimed[kind], there[kind])[2] for kind in kinds},
    )


def _scores(right: int, claimed: int, there: int) -> tuple[float, float, float]:
    precision = right / claimed if claimed else 0.0
    recall = right / there if there else 0.0
    f1 = 2 * right / (claimed + there) if right else 0.0
    return 100 * precision, 100 * recall, 100 * f1
