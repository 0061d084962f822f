"""Windows and answers: characters that are kept to the letter, in every script, and a search that misses nothing."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune.data.examples import Question
from finetune.heads.kinds import SpanKind
from finetune.heads.span import Windows, answers_of, best_span, encode_questions, tokens_of_span, window_borders
from finetune.stages import Recipe
from tokenizer.folder import load_tokenizer

CONTEXTS = {
    "plain": "The table is in the second sheet of the document.",
    "nfkc": "Ｔｈｅ ﬁrst ½ of ① the ㎏ file, naïve cafe\u0301  and  more…",
    "chinese": "黑豹队的防守只丢了308分，在联赛中排名第六。",
    "arabic": "سمحت فرقة الدفاع بـ ٣٠٨ نقطة فقط، السادسة في الدوري.",
    "hindi": "पैंथर्स के डिफ़ेन्स ने केवल 308 अंक दिए।",
    "emoji": "One 👩‍👩‍👧 family, two 🇩🇪 flags and the end",
}


def perfect_scores(encoded, rows: int) -> np.ndarray:
    """Scores that say the target of each row; a window without the answer says little."""
    scores = np.zeros((len(encoded.tokens), 2), np.float32)
    for row in range(rows):
        first, last = encoded.labels[row]
        if first:
            scores[encoded.offsets[row] + first, 0] = 9
            scores[encoded.offsets[row] + last, 1] = 9
    return scores


@pytest.mark.parametrize("name", CONTEXTS)
def test_answer_comes_back_as_characters_of_the_context(name: str, export: Path) -> None:
    """Any span of whole tokens, in any script, and whatever NFKC makes of it, comes back to the letter."""
    context, tokenizer = CONTEXTS[name], load_tokenizer(export)
    _, characters = tokenizer.encode_with_offsets(context)
    inked = characters[characters[:, 0] < characters[:, 1]]
    spans = [(int(a[0]), int(b[1])) for a in inked for b in inked if a[0] <= b[0] and b[1] - a[0] < 25 and a[0] < b[1]]
    assert len(spans) > 20
    encoded = encode_questions(
        ["where?"] * len(spans), [context] * len(spans), [[s] for s in spans], tokenizer, Windows(400, 300)
    )
    found = answers_of(perfect_scores(encoded, len(encoded)), encoded, [context] * len(spans), longest=60)
    for (start, end), answer in zip(spans, found, strict=True):
        assert answer.text == context[answer.start : answer.end]
        assert (answer.start, answer.end) == (start, end)


def test_answer_at_the_very_end_and_in_several_windows(export: Path) -> None:
    tokenizer = load_tokenizer(export)
    context = CONTEXTS["plain"] * 3 + " Last word"
    span = (len(context) - len("word"), len(context))
    windows = Windows(24, 6, 8)
    encoded = encode_questions(["where is it?"], [context], [[span]], tokenizer, windows)
    assert len(encoded) > 4
    held = [row for row in range(len(encoded)) if encoded.labels[row, 0]]
    assert held
    assert len(encoded) - 1 in held
    assert all(encoded.labels[row].tolist() == [0, 0] for row in range(len(encoded)) if row not in held)
    (answer,) = answers_of(perfect_scores(encoded, len(encoded)), encoded, [context])
    assert (answer.text, answer.end) == ("word", len(context))
    assert set(encoded.examples.tolist()) == {0}


def test_answer_cut_by_a_window_is_not_in_it(export: Path) -> None:
    tokenizer = load_tokenizer(export)
    context = CONTEXTS["plain"] * 2
    ids, characters = tokenizer.encode_with_offsets(context)
    start, end = int(characters[8, 0]), int(characters[11, 1])
    question = tokenizer.encode("q")
    encoded = encode_questions(["q"], [context], [[(start, end)]], tokenizer, Windows(len(question) + 4 + 10, 5))
    borders = list(window_borders(len(ids), 10, 5))
    assert len(borders) == len(encoded)
    for (first, last), target in zip(borders, encoded.labels.tolist(), strict=True):
        inside = first <= 8 and last > 11
        assert (target != [0, 0]) == inside
        if inside:
            assert target == [len(question) + 3 + 8 - first, len(question) + 3 + 11 - first]
    assert {first <= 8 < last <= 11 for first, last in borders} == {True, False}, "one cuts it"


def test_rows_have_the_form_of_xlm_r(export: Path) -> None:
    tokenizer = load_tokenizer(export)
    encoded = encode_questions(["Where is it now?"], ["In the text"], [[]], tokenizer, Windows(40, 10, 3))
    asked, ids = tokenizer.encode("Where is it now?"), tokenizer.encode("In the text")
    assert encoded.tokens.tolist() == [0, *asked[:3], 2, 2, *ids, 2]
    assert (encoded.places[: 3 + 3] == -1).all()
    assert (encoded.places[-1] == -1).all()


@given(st.integers(0, 300), st.integers(1, 60), st.integers(1, 80))
def test_windows_cover_everything(tokens: int, space: int, stride: int) -> None:
    borders = list(window_borders(tokens, space, stride))
    assert borders[0][0] == 0
    assert borders[-1][1] == tokens
    assert set().union(*(range(start, end) for start, end in borders)) == set(range(tokens))
    assert all(end - start == space for start, end in borders[:-1])
    assert all(b[0] - a[0] == min(stride, space) for a, b in pairwise(borders))


@settings(deadline=None)
@given(st.data())
def test_best_span_against_every_span(data: st.DataObject) -> None:
    tokens, longest = data.draw(st.integers(1, 14)), data.draw(st.integers(1, 16))
    values = st.lists(st.integers(-5, 5), min_size=tokens, max_size=tokens)
    scores = np.array([data.draw(values), data.draw(values)], np.float32).T
    allowed = np.array(data.draw(st.lists(st.booleans(), min_size=tokens, max_size=tokens)))
    every = [
        (scores[i, 0] + scores[j, 1], i, j)
        for i in range(tokens)
        for j in range(i, min(i + longest, tokens))
        if allowed[i] and allowed[j]
    ]
    found = best_span(scores, allowed, longest)
    if not every:
        assert found is None
        return
    assert found is not None
    first, last, score = found
    assert score == max(every)[0]
    assert (score, first, last) in every


def test_tokens_of_span_by_hand() -> None:
    characters = np.array([[0, 0], [0, 3], [4, 6], [6, 9], [9, 9]])
    assert tokens_of_span(characters, 0, 3) == (1, 1)
    assert tokens_of_span(characters, 5, 7) == (2, 3)
    assert tokens_of_span(characters, 3, 4) == (-1, -1)
    assert tokens_of_span(characters, 8, 9) == (3, 3)


def test_no_context_gives_an_empty_answer(export: Path) -> None:
    kind = SpanKind((), Recipe(longest=40, longest_question=10))
    examples = [Question("1", "where?", " ", (), "")]
    encoded = kind.encode(examples, load_tokenizer(export))
    (said,) = kind.predictions(np.zeros((len(encoded.tokens), 2), np.float32), encoded, examples)
    assert said == {"predicted": "", "start": 0, "score": None}


def test_xquad_answers_can_be_predicted_to_the_letter(export: Path) -> None:
    """Perfect scores give (almost) the published answers, where XLMR_TEST_DATA has them."""
    folder = Path(os.environ.get("XLMR_TEST_DATA", "data")) / "xquad"
    if not folder.is_dir():
        pytest.skip("XLMR_TEST_DATA names no folder with xquad/")
    from finetune.data.squad import read_questions

    tokenizer, kind = load_tokenizer(export), SpanKind((), Recipe(longest=384, longest_answer=400))
    for language in ("en", "zh", "ar"):
        found, _ = read_questions(str(folder / f"xquad.{language}.json"))
        examples = found[:200]
        encoded = kind.encode(examples, tokenizer)
        said = kind.predictions(perfect_scores(encoded, len(encoded)), encoded, examples)
        whole = np.mean(
            [example.answers[0][0] in one["predicted"] for example, one in zip(examples, said, strict=True)]
        )
        assert whole > 0.99
