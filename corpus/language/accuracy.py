"""How often an identifier is right, by language, and what it predicts instead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

MOST_PAIRS = 200
"""Pairs of languages that are confused, written down, most frequent first."""


def accuracy(truth: Sequence[str], predicted: Sequence[str]) -> dict[str, Any]:
    """Texts, share right, mean over languages, figures by language, and pairs confused. Plain values, for a card.

    ``languages[code]``: texts in it, ``right`` (recall), ``precise`` (precision; None where the language was never
    predicted). ``confused``: [language, predicted label, texts], most frequent first.
    """
    pairs = Counter(zip(truth, predicted, strict=True))
    texts, answers = Counter(truth), Counter(predicted)
    languages = {
        code: {
            "texts": texts[code],
            "right": _share(pairs[code, code], texts[code]),
            "precise": _share(pairs[code, code], answers[code]),
        }
        for code in sorted(texts)
    }
    wrong = sorted(((a, b, n) for (a, b), n in pairs.items() if a != b), key=lambda row: (-row[2], row[0], row[1]))
    right = sum(pairs[code, code] for code in texts)
    return {
        "texts": len(truth),
        "right": _share(right, len(truth)),
        "right_mean_of_languages": _mean([row["right"] for row in languages.values()]),
        "languages": languages,
        "confused": [list(row) for row in wrong[:MOST_PAIRS]],
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 4) if known else None


def confusions(measured: Mapping[str, Any], code: str) -> list[tuple[str, int]]:
    """What was predicted instead of a language, most frequent first."""
    return [(predicted, texts) for language, predicted, texts in measured["confused"] if language == code]
