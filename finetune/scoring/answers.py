"""Exact match and F1 of answers, as the published scripts of SQuAD 1.1 and MLQA 1.0 count them, in percent.

Each answer is normalised: lower case, no punctuation, no articles, single spaces. XQuAD is scored by SQuAD's English
rule in every language; MLQA has a rule for each of its seven, mistakes included, for published numbers have them.
"""

from __future__ import annotations

import re
import string
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial

from finetune.data.examples import Question

Rule = Callable[[str], str]

MLQA_ARTICLES: Mapping[str, str | None] = {
    "en": r"\b(a|an|the)\b",
    "es": r"\b(un|una|unos|unas|el|la|los|las)\b",
    "hi": None,
    "vi": r"\b(của|là|cái|chiếc|những)\b",
    "de": r"\b(ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b",
    # The published pattern is "\sال^|ال": its first half can never match, so the two letters go wherever they stand,
    # inside words too, and a space is left that cuts the word.
    "ar": "ال",
    "zh": None,
}
"""Language -> what MLQA's script takes for its articles."""

_HAN = re.compile("([\u4e00-\u9fa5])")
_ENGLISH = re.compile(r"\b(a|an|the)\b")
_ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True)
class AnswerScore:
    """Of one question, the best over its right answers: exact match 0 or 1, F1 0 to 1."""

    exact_match: bool
    f1: float


def squad_rule(text: str) -> str:
    """An answer as SQuAD's script compares it: only ASCII punctuation goes."""
    return " ".join(_ENGLISH.sub(" ", text.lower().translate(_ASCII_PUNCTUATION)).split())


def mlqa_rule(text: str, language: str) -> str:
    """An answer as MLQA's script compares it in ``language``; in Chinese each character is a word.

    Errors: KeyError for a language that MLQA does not have.
    """
    text = text.lower().translate(_punctuation())
    if articles := MLQA_ARTICLES[language]:
        text = re.sub(articles, " ", text)
    if language == "zh":
        text = _HAN.sub(r" \1 ", text)
    return " ".join(text.split())


def squad_scores(predictions: Mapping[str, str], references: Iterable[Question]) -> dict[str, float]:
    """``exact_match`` and ``f1`` of SQuAD 1.1, and of XQuAD in every language; a question not answered counts 0."""
    return _mean(answer_scores(predictions, references, squad_rule))


def mlqa_scores(predictions: Mapping[str, str], references: Iterable[Question], language: str) -> dict[str, float]:
    """``exact_match`` and ``f1`` of MLQA for answers in ``language`` (the context's)."""
    return _mean(answer_scores(predictions, references, partial(mlqa_rule, language=language)))


def answer_scores(predictions: Mapping[str, str], references: Iterable[Question], rule: Rule) -> dict[str, AnswerScore]:
    """Question id -> its score. Errors: ValueError when two questions have one id."""
    normal = lru_cache(maxsize=100_000)(rule)
    found: dict[str, AnswerScore] = {}
    for question in references:
        if question.id in found:
            raise ValueError(f"two questions have the id {question.id!r}")
        prediction = predictions.get(question.id)
        found[question.id] = (
            AnswerScore(False, 0.0)
            if prediction is None
            else _score(normal(prediction), [normal(text) for text, _ in question.answers])
        )
    return found


def _score(prediction: str, answers: Sequence[str]) -> AnswerScore:
    return AnswerScore(prediction in answers, max(_f1(prediction.split(), answer.split()) for answer in answers))


def _f1(prediction: list[str], answer: list[str]) -> float:
    """Of words as bags; 0 where nothing is common, so also where both are empty."""
    common = (Counter(prediction) & Counter(answer)).total()
    if not common:
        return 0.0
    precision, recall = common / len(prediction), common / len(answer)
    return 2 * precision * recall / (precision + recall)


def _mean(scores: Mapping[str, AnswerScore]) -> dict[str, float]:
    """Errors: ValueError when there is no question."""
    if not scores:
        raise ValueError("no question to score")
    return {
        "exact_match": 100.0 * sum(score.exact_match for score in scores.values()) / len(scores),
        "f1": 100.0 * sum(score.f1 for score in scores.values()) / len(scores),
    }


@cache
def _punctuation() -> dict[int, None]:
    """Every character of a Unicode category P, and ASCII's punctuation: some of that is symbols to Unicode."""
    everywhere = (n for n in range(sys.maxunicode) if unicodedata.category(chr(n)).startswith("P"))
    return dict.fromkeys([*everywhere, *map(ord, string.punctuation)])
