"""Measures an identifier on labelled texts: figures by language and by length of text, and what is confused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from corpus.language.accuracy import accuracy
from corpus.language.settings import NO_ANSWER

SURE = 0.9
"""A score from which an answer should be right nine times in ten."""
_LENGTHS = (10, 20, 50, 100)
"""The longest texts, in characters, of all groups but the last."""
_PAIRS_PRINTED = 20


def lid_report(truth: Sequence[str], predicted: Sequence[str], scores: Sequence[float], lengths: Sequence[int]) -> Any:
    """Accuracy, macro-F1, figures by language and by length, and pairs confused. Plain values, for JSON.

    ``macro_f1`` is the mean of F1 over the languages of the labels; a language that is never predicted counts 0.
    """
    measured = accuracy(truth, predicted)
    languages = {code: _language(row) for code, row in measured["languages"].items()}
    right = np.array([label == code for label, code in zip(truth, predicted, strict=True)], bool)
    sure = np.array(scores, np.float64).round(2) >= SURE
    groups = np.searchsorted(_LENGTHS, lengths)
    return {
        "texts": len(truth),
        "accuracy": measured["right"],
        "macro_f1": round(sum(row["f1"] for row in languages.values()) / max(len(languages), 1), 4),
        **_sure(right, sure),
        "lengths": {name: _group(right, sure, groups == place) for place, name in enumerate(_names())},
        "languages": languages,
        "confused": [[code, other or NO_ANSWER, texts] for code, other, texts in measured["confused"]],
    }


def as_text(report: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a report for people: tab-separated tables."""
    yield f"texts\t{report['texts']}"
    yield f"accuracy\t{_number(report['accuracy'])}"
    yield f"macro-F1\t{_number(report['macro_f1'])}"
    yield from ("", f"characters\ttexts\taccuracy\tscore >= {SURE}\tof these right")
    everything = {**report["lengths"], "all": report}
    for name, row in everything.items():
        yield f"{name}\t{row['texts']}\t{_number(row['accuracy'])}\t{row['sure']}\t{_number(row['sure_right'])}"
    yield from ("", "language\ttexts\tprecision\trecall\tF1")
    for code, row in report["languages"].items():
        figures = "\t".join(_number(row[name]) for name in ("precision", "recall", "f1"))
        yield f"{code}\t{row['texts']}\t{figures}"
    yield from ("", "language\tpredicted\ttexts")
    for code, other, texts in report["confused"][:_PAIRS_PRINTED]:
        yield f"{code}\t{other}\t{texts}"


def _language(row: Mapping[str, Any]) -> dict[str, Any]:
    precision, recall = row["precise"], row["right"]
    both = (precision or 0) + recall
    f1 = round(2 * (precision or 0) * recall / both, 4) if both else 0.0
    return {"texts": row["texts"], "precision": precision, "recall": recall, "f1": f1}


def _group(right: npt.NDArray[np.bool_], sure: npt.NDArray[np.bool_], inside: npt.NDArray[np.bool_]) -> dict[str, Any]:
    texts = int(inside.sum())
    share = round(float(right[inside].mean()), 4) if texts else None
    return {"texts": texts, "accuracy": share, **_sure(right[inside], sure[inside])}


def _sure(right: npt.NDArray[np.bool_], sure: npt.NDArray[np.bool_]) -> dict[str, Any]:
    share = round(float(right[sure].mean()), 4) if sure.any() else None
    return {"sure": int(sure.sum()), "sure_right": share}


def _names() -> list[str]:
    firsts = [1, *(longest + 1 for longest in _LENGTHS)]
    return [f"{first}-{last}" for first, last in zip(firsts, _LENGTHS, strict=False)] + [f"{firsts[-1]}+"]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
