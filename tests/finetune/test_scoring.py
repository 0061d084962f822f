"""Scores: values worked out by hand for each rule, properties, and the packages and scripts that are the standard."""

from __future__ import annotations

import re
import string
import sys
import unicodedata
from collections import Counter
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from finetune.data.examples import Question
from finetune.scoring import (
    accuracy,
    answer_scores,
    f1,
    macro_f1,
    mlqa_scores,
    pearson,
    span_f1,
    span_scores,
    spans_of,
    spearman,
    squad_scores,
)
from finetune.scoring.answers import MLQA_ARTICLES, mlqa_rule, squad_rule

MLQA_LANGUAGES = list(MLQA_ARTICLES)


def ask(name: str, *answers: str) -> Question:
    return Question(name, "?", " ".join(answers), tuple((text, 0) for text in answers), "")


# Classes and numbers


def test_classes_by_hand() -> None:
    gold, said = ["a", "b", "b", "a"], ["a", "b", "a", "c"]
    assert accuracy(gold, said) == 50.0
    # b: precision 1/1, recall 1/2. a: precision 1/2, recall 1/2. c is never right and is not in gold: not counted.
    assert f1(gold, said, "b") == pytest.approx(100 * 2 / 3)
    assert macro_f1(gold, said) == pytest.approx(100 * (2 / 3 + 1 / 2) / 2)
    assert f1([0, 0, 1], [0, 0, 0]) == 0.0
    assert f1([0, 0], [0, 0]) == 0.0


def test_correlations_by_hand() -> None:
    # Products of deviations: -1·-1 + 0·2 + 1·-1 = 0; of (1, 2, 3) with (1, 4, 9): 8 / √(2 · 98/3).
    assert pearson([1, 2, 3], [0, 3, 0]) == pytest.approx(0.0)
    assert pearson([1, 2, 3], [1, 4, 9]) == pytest.approx(100 * 8 / (2 * 98 / 3) ** 0.5)
    assert spearman([1, 2, 3], [1, 4, 9]) == pytest.approx(100.0)
    assert spearman([1, 2, 3], [9, 4, 1]) == pytest.approx(-100.0)
    # Ranks (1, 2.5, 2.5) with (1, 2, 3): 1.5 / √(1.5 · 2).
    assert spearman([1, 2, 2], [1, 2, 3]) == pytest.approx(100 * 1.5 / 3**0.5)
    assert pearson([1, 2, 3], [2.5, 2.5, 2.5]) == spearman([1, 2, 3], [2, 2, 2]) == 0.0


@pytest.mark.parametrize("metric", [accuracy, f1, macro_f1, pearson, spearman])
def test_what_does_not_correspond_is_refused(metric: object) -> None:
    assert callable(metric)
    for gold, said in (([1, 0], [1]), ([], [])):
        with pytest.raises(ValueError, match="right and"):
            metric(gold, said)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30), st.randoms())
def test_order_of_classes_does_not_matter(pairs: list[tuple[int, int]], rng: Random) -> None:
    gold = [a for a, _ in pairs]
    assert accuracy(gold, gold) == 100.0
    assert macro_f1(gold, gold) == pytest.approx(100.0)
    shuffled = list(pairs)
    rng.shuffle(shuffled)
    for metric in (accuracy, f1, macro_f1, pearson, spearman):
        one = metric([a for a, _ in pairs], [b for _, b in pairs])
        assert metric([a for a, _ in shuffled], [b for _, b in shuffled]) == pytest.approx(one)


# Names in sentences


def test_spans_by_hand() -> None:
    assert list(spans_of(["B-PER", "I-PER", "O", "B-PER", "B-PER"])) == [(0, 2, "PER"), (3, 4, "PER"), (4, 5, "PER")]
    assert list(spans_of(["I-LOC", "I-ORG", "I-ORG", "O", "I-LOC"])) == [(0, 1, "LOC"), (1, 3, "ORG"), (4, 5, "LOC")]
    assert list(spans_of(["B-PER", "I-LOC"])) == [(0, 1, "PER"), (1, 2, "LOC")]
    assert list(spans_of(["O", "O"])) == []


def test_span_scores_by_hand() -> None:
    gold = [["B-PER", "I-PER", "O", "B-LOC"], ["B-ORG", "O"]]
    said = [["B-PER", "O", "O", "B-LOC"], ["B-LOC", "O"]]
    found = span_scores(gold, said)
    # Right: one LOC. Said: PER, LOC, LOC. There: PER, LOC, ORG.
    assert (found.precision, found.recall, found.f1) == pytest.approx((100 / 3, 100 / 3, 100 / 3))
    assert found.names == 3
    assert found.by_kind == pytest.approx({"LOC": 100 * 2 / 3, "ORG": 0.0, "PER": 0.0})
    assert span_f1(gold, [["O"] * 4, ["O"] * 2]) == 0.0
    with pytest.raises(ValueError, match="sentence 1: 2 right and 1 predicted"):
        span_f1(gold, [["O"] * 4, ["O"]])
    with pytest.raises(ValueError, match="2 right and 1 predicted sentences"):
        span_f1(gold, [["O"] * 4])


TAG = st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-A-B", "I-A-B"])
PAIRS_OF_TAGS = st.lists(st.lists(st.tuples(TAG, TAG), min_size=1, max_size=9), min_size=1, max_size=6)


@settings(max_examples=300)
@given(PAIRS_OF_TAGS, st.randoms())
def test_spans_equal_seqeval(pairs: list[list[tuple[str, str]]], rng: Random) -> None:
    seqeval = pytest.importorskip("seqeval.metrics", reason="seqeval is the oracle, and is not installed")
    gold, said = ([[pair[side] for pair in sentence] for sentence in pairs] for side in (0, 1))
    found = span_scores(gold, said)
    expected = [
        seqeval.precision_score(gold, said, zero_division=0),
        seqeval.recall_score(gold, said, zero_division=0),
        seqeval.f1_score(gold, said, zero_division=0),
    ]
    assert [found.precision, found.recall, found.f1] == pytest.approx([100 * value for value in expected])
    assert span_f1(gold, gold) == (100.0 if found.names else 0.0)
    order = list(range(len(pairs)))
    rng.shuffle(order)
    assert span_scores([gold[n] for n in order], [said[n] for n in order]) == found


# Answers


def test_squad_rule_by_hand() -> None:
    assert squad_rule("The  Cat, an ape & a dog.") == "cat ape dog"
    assert squad_rule("another theory") == "another theory"
    assert squad_rule("«L’été»") == "«l’été»"  # not ASCII: stays
    assert squad_rule("北京。 市") == "北京。 市"  # XQuAD's Chinese is cut at white space alone
    assert squad_rule("the") == ""


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "The «theory» of a Cat—an end", "theory of catan end"),
        ("es", "Las Casas de la Villa, unos años del Rey", "casas de villa años del rey"),
        ("de", "Der Turm des einen Königs, keine Burg!", "turm königs keine burg"),
        ("vi", "những người của làng là ai", "người làng ai"),
        ("hi", "the दिल्ली, भारत।", "the दिल्ली भारत"),
        ("zh", "在2008年 the 北京，Peking U.", "在 2008 年 the 北 京 peking u"),
        # Al- goes, and a space is left; also inside a word, which is cut in two (MLQA's mistake).
        ("ar", "الكتاب", "كتاب"),
        ("ar", "في العالم", "في ع م"),
        ("ar", "والكتاب", "و كتاب"),
    ],
)
def test_mlqa_rules_by_hand(language: str, text: str, expected: str) -> None:
    assert mlqa_rule(text, language) == expected


def test_unknown_mlqa_language_is_refused() -> None:
    with pytest.raises(KeyError):
        mlqa_rule("x", "fr")


def test_answers_by_hand() -> None:
    references = [ask("1", "the big red house", "red house"), ask("2", "a b c"), ask("3", "one"), ask("4", "the")]
    predictions = {"1": "Red House!", "2": "b d", "3": "two", "4": "the"}
    found = answer_scores(predictions, references, squad_rule)
    # 1: the second answer, exactly. 2: gold is "b c", said "b d": ½ and ½. 3: nothing. 4: both normalise to nothing:
    # an exact match, with F1 0, as in the published script.
    assert {name: (score.exact_match, score.f1) for name, score in found.items()} == {
        "1": (True, 1.0),
        "2": (False, 0.5),
        "3": (False, 0.0),
        "4": (True, 0.0),
    }
    assert squad_scores(predictions, references) == {"exact_match": 50.0, "f1": 37.5}
    del predictions["1"]
    assert squad_scores(predictions, references) == {"exact_match": 25.0, "f1": 12.5}


def test_chinese_is_scored_by_characters_in_mlqa_and_by_spaces_in_xquad() -> None:
    references = [ask("1", "北京市")]
    assert squad_scores({"1": "北京"}, references) == {"exact_match": 0.0, "f1": 0.0}
    assert mlqa_scores({"1": "北京"}, references, "zh") == {"exact_match": 0.0, "f1": pytest.approx(80.0)}


def test_arabic_bug_gives_credit_for_half_words() -> None:
    # "العالم" is compared as "ع" and "م", so "عم" without the letters between does not match, "ع" matches half.
    references = [ask("1", "العالم")]
    assert mlqa_scores({"1": "ع"}, references, "ar")["f1"] == pytest.approx(100 * 2 / 3)
    assert mlqa_scores({"1": "عم"}, references, "ar")["f1"] == 0.0


def test_no_question_and_questions_of_one_id_are_refused() -> None:
    with pytest.raises(ValueError, match="no question"):
        squad_scores({}, [])
    with pytest.raises(ValueError, match="two questions have the id '1'"):
        squad_scores({}, [ask("1", "a"), ask("1", "b")])


WORDS = st.text(
    st.sampled_from("aeth nuldricsá 北京。，『ا ل ع م و दि ạ—«’-_$+ 0９") | st.characters(exclude_categories=["Cs"]),
    max_size=25,
)


@settings(max_examples=200)
@given(st.lists(WORDS, min_size=1, max_size=8), st.sampled_from(MLQA_LANGUAGES), st.randoms())
def test_perfect_empty_and_order(texts: list[str], language: str, rng: Random) -> None:
    references = [ask(str(n), text) for n, text in enumerate(texts)]
    perfect = {str(n): text for n, text in enumerate(texts)}
    shuffled = list(references)
    rng.shuffle(shuffled)
    for rule, scores in (
        (squad_rule, squad_scores),
        (lambda text: mlqa_rule(text, language), lambda p, r: mlqa_scores(p, r, language)),
    ):
        assume(all(rule(text) for text in texts))
        assert scores(perfect, references) == {"exact_match": 100.0, "f1": 100.0}
        for nothing in ({}, dict.fromkeys(perfect, ""), dict.fromkeys(perfect, " .,!")):
            assert scores(nothing, references) == {"exact_match": 0.0, "f1": 0.0}
        other = dict.fromkeys(perfect, texts[0])
        assert scores(other, shuffled) == pytest.approx(scores(other, references))


PUNCTUATION = {chr(n) for n in range(sys.maxunicode) if unicodedata.category(chr(n)).startswith("P")} | set(
    string.punctuation
)


def plain_chinese_words(text: str) -> list[str]:
    """One character after the other: a Han character is a word, others run on to the next white space."""
    words: list[str] = []
    run = ""
    for character in text:
        if "\u4e00" <= character <= "\u9fa5":
            words += [*run.split(), character]
            run = ""
        else:
            run += character
    return words + run.split()


def plain_mlqa_rule(text: str, language: str) -> str:
    kept = "".join(character for character in text.lower() if character not in PUNCTUATION)
    if language == "ar":
        kept = re.sub("\\sال^|ال", " ", kept)  # as published
    elif articles := MLQA_ARTICLES[language]:
        kept = re.sub(articles, " ", kept)
    return " ".join(plain_chinese_words(kept) if language == "zh" else kept.split())


@settings(max_examples=500)
@given(WORDS, st.sampled_from(MLQA_LANGUAGES))
def test_mlqa_rule_equals_a_plain_twin(text: str, language: str) -> None:
    assert mlqa_rule(text, language) == plain_mlqa_rule(text, language)


@given(st.text(st.sampled_from("abc "), max_size=12), st.text(st.sampled_from("abc "), max_size=12))
def test_f1_equals_a_plain_twin(said: str, answer: str) -> None:
    first, second = (Counter(squad_rule(text).split()) for text in (said, answer))
    common = sum(min(first[word], second[word]) for word in first)
    expected = 2 * common / (first.total() + second.total()) if common else 0.0
    assert squad_scores({"1": said}, [ask("1", answer)])["f1"] == pytest.approx(100 * expected)
