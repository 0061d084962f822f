"""Right answers that do not stand where a file says: corrected where that is sure, else left out, always counted."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.data.answers import place_answer
from finetune.data.squad import read_questions
from pipeline.errors import XlmrError

WRONG = {
    "exact": ("abc def", "def", 4, ("def", 4), ""),
    "spaces belong to it": ("abc def", " def", 3, (" def", 3), ""),
    "off by one": ("abc def", "def", 5, ("def", 4), "near characters"),
    "off by three": ("abc def", "abc", 3, ("abc", 0), "near characters"),
    "before the start": ("abc def", "abc", -1, ("abc", 0), "near characters"),
    "bytes": ("äöü äöü def", "def", 14, ("def", 8), "bytes"),
    "utf-16": ("👍👍👍👍 abc def", "def", 13, ("def", 9), "units of UTF-16"),
    "NFD context": ("in cafe\u0301 x", "caf\u00e9", 3, ("cafe\u0301", 3), "another normal form"),
    "NFC context": ("in caf\u00e9 x", "cafe\u0301", 3, ("caf\u00e9", 3), "another normal form"),
    "counted in NFC": ("e\u0301e\u0301 cafe\u0301", "caf\u00e9", 3, ("cafe\u0301", 5), "another normal form"),
    "counted in NFD": ("\u00e9\u00e9 caf\u00e9", "cafe\u0301", 5, ("caf\u00e9", 3), "another normal form"),
}


@pytest.mark.parametrize("name", WRONG)
def test_places_that_are_sure(name: str) -> None:
    context, text, start, answer, how = WRONG[name]
    assert place_answer(context, text, start) == (answer, how)


@pytest.mark.parametrize(
    ("context", "text", "start"),
    [
        ("abc def", "xyz", 0),
        ("a b a b a", "a", 2),  # as near before as after
        ("abc defghi", "abc", 4),
        ("abc", "abc", 99),
        ("def def", "def", 3),  # two within three characters: the nearer one need not be meant
    ],
)
def test_places_that_are_not(context: str, text: str, start: int) -> None:
    assert place_answer(context, text, start) is None


@given(
    st.text("aäé👍e\u0301 字", min_size=1, max_size=30),
    st.integers(0, 29),
    st.integers(1, 8),
    st.integers(-40, 40),
    st.sampled_from(["NFC", "NFD"]),
)
def test_whatever_is_found_stands_in_the_context(context: str, first: int, length: int, off: int, form: Any) -> None:
    text = unicodedata.normalize(form, context[first : first + length])
    placed = place_answer(context, text, first + off)
    if placed is not None:
        (found, start), _ = placed
        assert context[start : start + len(found)] == found
        assert unicodedata.normalize("NFC", found) == unicodedata.normalize("NFC", text)
    if not off and text == context[first : first + length]:
        assert placed == ((text, first), "")


@given(st.text("ab äé👍字", min_size=4, max_size=30), st.integers(0, 20), st.sampled_from(["utf-8", "utf-16-le"]))
def test_a_file_that_counts_units_is_never_read_as_another_answer(context: str, first: int, encoding: str) -> None:
    """The one thing that may happen besides the right place: two places are possible, and the answer is left out."""
    text = context[first : first + 3]
    size = 2 if encoding == "utf-16-le" else 1
    placed = place_answer(context, text, len(context[:first].encode(encoding)) // size) if len(text) == 3 else None
    if placed is not None and placed[1]:
        assert placed[0][0] == text


def squad(*entries: dict[str, Any]) -> str:
    asked = [{"id": f"q{n}", "question": "?", **entry} for n, entry in enumerate(entries)]
    return json.dumps({"data": [{"title": "t", "paragraphs": [{"context": "abc def", "qas": asked}]}]})


def answers(*given: tuple[object, object]) -> dict[str, Any]:
    return {"answers": [{"text": text, "answer_start": start} for text, start in given]}


def test_bad_answers_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(
        squad(
            answers(("def", 4), ("xyz", 0)),
            answers(("def", 5)),
            answers((" ", 3)),
            answers(("def", "4")),
            answers(("def", 4.0)),
            answers((None, 0)),
            {"answers": ["def"]},
            {"answers": []},
            {"answers": [], "is_impossible": True},
            {"id": 7, **answers(("abc", 0))},
        )
    )
    found, lines = read_questions(str(path))
    assert [(one.id, one.answers) for one in found] == [
        ("q0", (("def", 4),)),
        ("q1", (("def", 4),)),
        ("q4", (("def", 4),)),
        ("q8", ()),
        ("7", (("abc", 0),)),
    ]
    assert lines == [
        f"{path}: the places of 1 of 9 answers are corrected (1 by near characters)",
        f"{path}: 5 of 9 answers and 5 questions left out (the first: question 1: the answer 'xyz' is not in its"
        " context at character 0; 'abc' stands there)",
    ]
    with pytest.raises(XlmrError, match="question 1: the answer 'xyz' is not in its context at character 0"):
        read_questions(str(path), strict=True)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (answers(("def", 5)), "question 1: the answer 'def' is not in its context at character 5; 'ef' stands there"),
        (answers(("", 0)), "question 1: has an answer without text"),
        (answers(("def", None)), "question 1: the answer 'def' has no place"),
        ({"answers": []}, "question 1: has no answer; a question that has none"),
    ],
)
def test_strict_refuses_what_is_corrected_or_left_out(entry: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(squad(entry))
    with pytest.raises(XlmrError, match=said):
        read_questions(str(path), strict=True)


def test_nothing_left_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(squad(answers(("xyz", 0))))
    with pytest.raises(XlmrError, match=r"1 of 1 answers and 1 questions left out \(the first: question 1: the answer"):
        read_questions(str(path))
    path.write_text("[" * 100_000)
    with pytest.raises(XlmrError, match="not JSON"):
        read_questions(str(path))
    path.write_text(squad({"question": "\ud83d", **answers(("abc", 0))}))
    with pytest.raises(XlmrError, match="question 1: 'question' holds half of a surrogate pair"):
        read_questions(str(path))
