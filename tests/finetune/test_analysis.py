"""What lies behind the scores, worked out by hand on a few predictions, and that the report shows it."""

from __future__ import annotations

from typing import Any

import pytest

from finetune.analysis import (
    BORDERS,
    MISSED,
    calibration,
    calibration_error,
    confusion,
    correlation,
    hardest,
    transfers,
)
from finetune.analysis_report import calibration_part, confusion_table, gap_part, hardest_table


def line(name: str, gold: Any, predicted: Any, **more: Any) -> dict[str, Any]:
    return {"run": "r", "language": "en", "id": name, "gold": gold, "predicted": predicted, "text": f"T{name}", **more}


def results() -> dict[str, Any]:
    test = {"en": 0.9, "de": 0.8, "ja": 0.3, "zh": 0.5}
    runs = [
        {
            "initialisation": "pretrained",
            "learning_rate": 1e-3,
            "seed": 1,
            "name": "r",
            "dev_score": 0.5,
            "test": {language: {"accuracy": value} for language, value in test.items()},
        }
    ]
    text = {
        "de": {"tokens": 30, "words": 20, "characters": 100},
        "ja": {"tokens": 30, "words": 2, "characters": 80},
    }
    return {"metric": "accuracy", "trained_on": ["en"], "runs": runs, "text": text}


def test_loss_is_to_the_language_trained_on() -> None:
    seen = {"de": {"train": {"tokens": 900}}, "zh-Hans": {"train": {"tokens": 5}}, "zh-Hant": {"train": {"tokens": 6}}}
    found = transfers(results(), seen)
    assert [one.language for one in found] == ["de", "zh", "ja"]
    assert [one.gap for one in found] == pytest.approx([0.1, 0.4, 0.6])
    assert [one.seen for one in found] == [900, 11, 0]
    assert [one.tokens_per_word for one in found] == [1.5, None, None], "ja is written without spaces, zh not measured"
    assert {one.seen for one in transfers(results(), {})} == {None}
    assert transfers(results() | {"trained_on": ["fr"]}, seen) == [], "nothing to lose to"
    body = gap_part(found)
    assert "too few languages" in body
    assert "<svg" in body


def test_a_correlation_needs_enough_that_vary() -> None:
    pairs = [(float(n), -float(n * n)) for n in range(6)]
    assert correlation([*pairs, (None, 9.0)]) == (pytest.approx(-1.0), 6)
    assert correlation(pairs[:4]) is None
    assert correlation([(1.0, second) for _, second in pairs]) is None


def test_confusion_of_classes_and_of_names() -> None:
    found = confusion([line("1", "a", "b"), line("2", "a", "a"), line("3", "b", "c")])
    assert found is not None
    assert (found.right, found.predicted) == (["a", "b"], ["a", "b", "c"])
    assert found.counts.tolist() == [[1, 1, 0], [0, 0, 1]]
    gold = ["B-PER", "I-PER", "O", "B-LOC", "B-ORG", "O", "B-PER"]
    said = ["B-PER", "O", "O", "B-LOC", "B-PER", "O", "O"]
    names = confusion([line("1", gold, said, words=["w"] * 7)])
    assert names is not None
    assert (names.right, names.predicted) == (["LOC", "ORG", "PER"], ["LOC", "ORG", "PER", MISSED, BORDERS])
    assert names.counts.tolist() == [[1, 0, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 1]]
    assert "33" not in confusion_table(names)
    assert "50" in confusion_table(names)
    assert confusion([line("1", 0.5, 0.7)]) is None, "values have no classes"


def test_calibration_by_hand() -> None:
    lines = [line(str(n), "a", "a" if n else "b", confidence=0.95) for n in range(4)] + [
        line("5", "a", "b", confidence=1.0),
        line("6", "a", "a", confidence=0.35),
    ]
    low, high = calibration(lines)
    assert (low.answers, low.confidence, low.right) == (1, 0.35, 1.0)
    assert (high.answers, high.confidence, high.right) == (5, pytest.approx(0.96), pytest.approx(0.6))
    assert calibration_error([low, high]) == pytest.approx((0.65 + 5 * 0.36) / 6)
    assert "more sure than it is right" in calibration_part([high])
    assert calibration([line("1", "a", "a")]) == []


def test_hardest_are_wrong_most_often_over_seeds_and_languages() -> None:
    lines = [line("x", "a", said, language=lang) for lang in ("en", "de") for said in ("b", "b", "c")]
    lines += [line("y", "a", "b"), line("y", "a", "a"), line("z", "a", "a")]
    first, second = hardest(lines, 5)
    assert (first.line["id"], first.wrong, first.asked, first.languages, first.predicted) == ("x", 6, 6, 2, "b")
    assert (second.line["id"], second.wrong, second.asked) == ("y", 1, 2)
    asked = {"question": "Who?", "context": "c"}
    (only,) = hardest([line("q", ["Ann", "Ann B."], "Ann", **asked), line("r", ["Ann"], "no", **asked)], 5)
    assert only.line["id"] == "r"
    assert "Who?" in hardest_table([only])
