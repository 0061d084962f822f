"""Exact match and F1 of SQuAD 2.0, whose questions may have no answer, as its published script counts them, in percent.

A prediction is a text and how much likelier it is that there is no answer. Above a threshold nothing is answered, which
is right for the questions without an answer and for no other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from finetune.data.examples import Question
from finetune.scoring.answers import squad_rule


@dataclass(frozen=True)
class _Scored:
    """One question: what its text alone would score, whether a text was given, and how likely there is no answer."""

    has_answer: bool
    exact_match: float
    f1: float
    answered: bool
    no_answer: float

    def at(self, threshold: float) -> tuple[float, float]:
        """Exact match and F1 where above the threshold nothing is answered."""
        if self.no_answer > threshold:
            return float(not self.has_answer), float(not self.has_answer)
        return self.exact_match, self.f1


def squad2_scores(
    predictions: Mapping[str, str],
    no_answer: Mapping[str, float],
    references: Iterable[Question],
    threshold: float = 0.0,
) -> dict[str, float]:
    """``exact_match`` and ``f1`` of all questions; after ``has_answer_`` and ``no_answer_`` of those with and without.

    After ``best_`` they are at the threshold that is best for these very questions, which ``best_…_threshold`` gives.
    ``predictions`` are texts as if every question had an answer. Errors: ValueError where one is missing, or no
    question is asked.
    """
    scored = [_scored(one, predictions, no_answer) for one in references]
    if not scored:
        raise ValueError("no question to score")
    found = _means(scored, threshold)
    for prefix, wanted in (("has_answer_", True), ("no_answer_", False)):
        if some := [one for one in scored if one.has_answer == wanted]:
            found |= {prefix + name: value for name, value in _means(some, threshold).items()}
    ways: dict[str, Callable[[_Scored], float]] = {"exact_match": lambda one: one.exact_match, "f1": lambda one: one.f1}
    for name, way in ways.items():
        found[f"best_{name}"], found[f"best_{name}_threshold"] = _best(scored, way)
    return found


def _scored(question: Question, predictions: Mapping[str, str], no_answer: Mapping[str, float]) -> _Scored:
    if question.id not in predictions or question.id not in no_answer:
        raise ValueError(f"question {question.id!r} has no prediction")
    given = squad_rule(predictions[question.id])
    right = [text for text in (squad_rule(answer) for answer, _ in question.answers) if text] or [""]
    return _Scored(
        bool(question.answers),
        float(given in right),
        max(_f1(given.split(), text.split()) for text in right),
        bool(predictions[question.id]),
        no_answer[question.id],
    )


def _f1(given: Sequence[str], right: Sequence[str]) -> float:
    """Of words as bags; where one has none, whether both have none."""
    if not given or not right:
        return float(given == right)
    common = (Counter(given) & Counter(right)).total()
    return 2 * common / (len(given) + len(right))


def _means(scored: Sequence[_Scored], threshold: float) -> dict[str, float]:
    both = [one.at(threshold) for one in scored]
    exact, f1 = (100.0 * sum(values) / len(scored) for values in zip(*both, strict=True))
    return {"exact_match": exact, "f1": f1}


def _best(scored: Sequence[_Scored], way: Callable[[_Scored], float]) -> tuple[float, float]:
    """The best mean over all thresholds, and the first that gives it: from nothing answered, one answer more a time.

    As in the script, also of questions that are equally likely to have none each is one step.
    """
    score = best = float(sum(not one.has_answer for one in scored))
    threshold = 0.0
    for one in sorted(scored, key=lambda one: one.no_answer):
        score += way(one) if one.has_answer else -float(one.answered)
        if score > best:
            best, threshold = score, one.no_answer
    return 100.0 * best / len(scored), threshold
