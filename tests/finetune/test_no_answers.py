"""Scores of SQuAD 2.0: cases worked by hand, and a plain count over every threshold beside the fast one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.data.examples import Question
from finetune.heads.kinds import SpanKind
from finetune.scoring import squad2_scores
from finetune.stages import Recipe


def question(name: str, *answers: str) -> Question:
    return Question(name, "?", "", tuple((text, 0) for text in answers), "")


ASKED = [question("a", "the Red fox"), question("b", "blue", "deep blue sea"), question("c"), question("d")]


def test_by_hand() -> None:
    """a is half right (1 of 2 words said, 1 of 2 there: F1 1/2), b exact, c is answered and should not be, d is not."""
    said = {"a": "red hen", "b": "Deep blue sea!", "c": "something", "d": ""}
    none = {"a": -3.0, "b": 1.0, "c": -1.0, "d": 2.0}
    found = squad2_scores(said, none, ASKED)
    # At 0, b and d are not answered: exact 0 0 0 1, F1 0.5 0 0 1.
    assert (found["exact_match"], found["f1"]) == (25.0, 37.5)
    assert (found["has_answer_exact_match"], found["has_answer_f1"]) == (0.0, 25.0)
    assert (found["no_answer_exact_match"], found["no_answer_f1"]) == (50.0, 50.0)
    # Nothing answered: 2 of 4. With a: exact 2, F1 2.5. With c: 1 and 1.5. With b: 2 and 2.5. With d, empty: same.
    assert (found["best_exact_match"], found["best_exact_match_threshold"]) == (50.0, 0.0)
    assert (found["best_f1"], found["best_f1_threshold"]) == (62.5, -3.0)


def test_all_and_none() -> None:
    right = {"a": "red fox", "b": "blue", "c": "x", "d": "x"}
    found = squad2_scores(right, {"a": -1.0, "b": -2.0, "c": 1.0, "d": 1.0}, ASKED)
    assert found["f1"] == found["exact_match"] == found["best_f1"] == 100.0
    assert found["best_f1_threshold"] == -1.0
    with_answers = squad2_scores(right, dict.fromkeys("ab", 0.0), ASKED[:2])
    assert "no_answer_f1" not in with_answers
    assert with_answers["has_answer_f1"] == with_answers["f1"] == 100.0


def test_an_answer_of_articles_alone_counts_as_none() -> None:
    """The script leaves out right answers that are nothing once normalised, and takes "" instead."""
    found = squad2_scores({"a": "the"}, {"a": 0.0}, [question("a", "The")])
    assert (found["exact_match"], found["f1"]) == (100.0, 100.0)
    found = squad2_scores({"a": "fox"}, {"a": 0.0}, [question("a", "The")])
    assert (found["exact_match"], found["f1"]) == (0.0, 0.0)


def test_what_is_not_there_is_an_error() -> None:
    with pytest.raises(ValueError, match="question 'b' has no prediction"):
        squad2_scores({"a": ""}, {"a": 0.0}, ASKED[:2])
    with pytest.raises(ValueError, match="no question to score"):
        squad2_scores({}, {}, [])


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from(["x", "x y", "z", ""]), st.integers(-9, 9)), min_size=1, max_size=9
    )
)
def test_best_threshold_equals_trying_each(drawn: list[tuple[bool, str, int]]) -> None:
    """With scores of none that differ, the best over all thresholds, and over answering nothing at all."""
    numbers = {n: value + n / 100 for n, (_, _, value) in enumerate(drawn)}
    asked = [question(str(n), *(["x y"] if has else [])) for n, (has, _, _) in enumerate(drawn)]
    said = {str(n): text for n, (_, text, _) in enumerate(drawn)}
    none = {str(n): value for n, value in numbers.items()}
    found = squad2_scores(said, none, asked)
    for name in ("f1", "exact_match"):
        tried = [squad2_scores(said, none, asked, threshold)[name] for threshold in [-99.0, *numbers.values()]]
        assert found[f"best_{name}"] == pytest.approx(max(tried))
        assert squad2_scores(said, none, asked, found[f"best_{name}_threshold"])[name] <= found[f"best_{name}"] + 1e-9


def test_a_baseline_always_answers() -> None:
    kind = SpanKind((), Recipe(no_answer_threshold=0.0))
    found = kind.score(ASKED, [{"predicted": "blue"}] * 4, "en")
    assert found["exact_match"] == found["no_answer_f1"] + 0.25 == 0.25
    assert found["best_exact_match"] == 0.75, "a and b answered, c and d not: the script's way with equal scores"
    assert found["best_exact_match_threshold"] == 0.0
