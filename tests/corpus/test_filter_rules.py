"""Each rule at the edge of its threshold, and the fast n-gram shares against a plain twin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.filters import repetition, rules
from corpus.filters.lines import (
    a_counter,
    mainly_capitals,
    no_terminal_punctuation,
    only_numbers,
    too_few_words,
    too_long_a_word,
    unwanted_text,
)
from corpus.filters.repetition import NgramShares, measure_ngrams
from corpus.filters.scripts import CHARACTERS_PER_WORD, script_share, scripts_of
from corpus.filters.settings import C4, MC4, FineWeb, GopherQuality, GopherRepetition, Length, RefinedWeb, Script
from corpus.filters.text import DocumentText

CC100 = """
am ar as az be bg bn bn_rom br bs ca cs cy da de el en eo es et eu fa ff fi fr fy ga gd gl gn gu ha he hi hi_rom hr ht
hu hy id ig is it ja jv ka kk km kn ko ku ky la lg li ln lo lt lv mg mk ml mn mr ms my my_zaw ne nl no ns om or pa pl ps
pt qu rm ro ru sa sc sd si sk sl so sq sr ss su sv sw ta ta_rom te te_rom th tl tn tr ug uk ur ur_rom uz vi wo xh yi yo
zh-Hans zh-Hant zu af
"""


def text(*lines: str, language: str = "en") -> DocumentText:
    return DocumentText(lines, "https://example.org/", language)


def words(number: int, word: str = "word") -> str:
    return " ".join([word] * number)


# --- edges: what is just kept, and what just fails -----------------------------------------------------------------

QUALITY = GopherQuality()
EDGES: list[tuple[Any, Any, DocumentText, DocumentText]] = [
    (rules.too_few_words, QUALITY, text(words(50)), text(words(49))),
    (rules.too_many_words, QUALITY, text(words(100_000)), text(words(100_001))),
    (rules.words_too_short, QUALITY, text("aa aaaa"), text("aa aaa")),
    (rules.words_too_long, QUALITY, text("a" * 9 + " " + "a" * 11), text("a" * 10 + " " + "a" * 11)),
    (rules.too_many_hash_signs, QUALITY, text(words(9), "#"), text(words(8), "#")),
    (rules.too_many_hash_signs, QUALITY, text(words(27), "# # #"), text(words(26), "# # #")),
    (rules.too_many_ellipses, QUALITY, text(words(18), "a... b…"), text(words(17), "a... b…")),
    (rules.too_many_bullets, QUALITY, text(*["• a"] * 9, "a"), text(*["- a"] * 10, "a")),
    (rules.too_many_cut_lines, QUALITY, text(*["a..."] * 3, *["a"] * 7), text(*["a…"] * 4, *["a"] * 9)),
    (rules.too_few_words_with_letters, QUALITY, text("a b1 c d 1"), text("a b c 1 2")),
    (rules.too_few_words_with_letters, QUALITY, text("a b1 -c- d' 12"), text("a b1 -c- 1' 12")),
    (rules.too_few_stop_words, QUALITY, text("The cat, (that) sat"), text("The the, THE. thee")),
    (rules.too_few_characters, Length(min_characters=4), text("ab", "", "cd"), text("ab", "c")),
    (rules.too_many_characters, Length(max_characters=4), text("ab", "cd"), text("ab", "cde")),
    (rules.too_few_words, Length(min_words=3), text("a b", "c"), text("a b")),
    (rules.too_many_words, Length(max_words=3), text("a b", "c"), text("a b c d")),
    (rules.too_few_lines, Length(min_lines=2), text("a", "", "b"), text("a", "")),
    (rules.too_many_lines, Length(max_lines=2), text("a", "", "b"), text("a", "b", "c")),
    (rules.other_script, Script(), text("αβγ abc", language="el"), text("αβγ abcd", language="el")),
    (rules.duplicate_lines, GopherRepetition(), text(*"abcdefg", *"abc"), text(*"abcdef", *"abc")),
    (
        rules.characters_in_duplicate_lines, GopherRepetition(),
        text("a" * 20, "b" * 60, "a" * 20), text("a" * 21, "b" * 60, "a" * 21),
    ),
    (
        rules.duplicate_paragraphs, GopherRepetition(),
        text(*"\n".join("abcdefgabc").replace("\n", "\n\n").split("\n")),
        text(*"\n\n".join("abcdefabc").split("\n")),
    ),
    (
        rules.characters_in_duplicate_paragraphs, GopherRepetition(),
        text("a" * 20, "", "b" * 60, "", "a" * 20), text("a" * 21, "", "b" * 60, "", "a" * 21),
    ),
    (rules.page_with_unwanted_text, C4(), text("Lorem, ipsum"), text("a Lorem Ipsum b")),
    (rules.page_with_unwanted_text, C4(), text("f()"), text("f() { }")),
    (rules.too_few_sentences, C4(), text("One. Two! Three?"), text("One. Two!")),
    (rules.too_few_sentences, C4(), text("One.", "Two.", "Three."), text("It costs 3.50 e.g. here.", "Two.")),
    (rules.too_few_sentences, C4(), text("一。二！三？", language="ja"), text("一。二！", language="ja")),
    (rules.too_few_long_lines, MC4(), text(*["a" * 200] * 3), text("a" * 200, "a" * 200, "a" * 199)),
    (rules.too_few_lines_with_punctuation, FineWeb(), text(*["a."] * 13, *["a"] * 87), text(*["a."] * 12, *["a"] * 88)),
    (
        rules.many_characters_in_duplicate_lines, FineWeb(),
        text("a" * 9, "a" * 9, "b" * 82), text("a" * 10, "a" * 10, "b" * 80),
    ),
    (
        rules.too_many_short_lines, FineWeb(),
        text(*["a" * 29] * 66, *["a" * 30] * 34), text(*["a" * 29] * 67, *["a" * 30] * 33),
    ),
    (rules.too_many_line_breaks, FineWeb(), text(words(7), *"abc"), text(words(6), *"abc")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "limits", "kept", "dropped"), EDGES, ids=[f"{e[0].__name__}-{i}" for i, e in enumerate(EDGES)]
)
def test_edges(rule: Any, limits: Any, kept: DocumentText, dropped: DocumentText) -> None:
    assert not rule(kept, limits)
    assert rule(dropped, limits)


def test_every_rule_has_an_edge_test() -> None:
    tested = {edge[0] for edge in EDGES} | {rules.frequent_ngram, rules.duplicate_ngrams}
    elsewhere = {rules.other_host, rules.listed_url, rules.bad_words}  # with the lists, in test_filters.py
    assert tested | elsewhere == {rule for some in rules.RULES.values() for rule in some}


@pytest.mark.parametrize(
    ("rule", "limits", "kept", "dropped"),
    [
        (no_terminal_punctuation, C4(), "It ends.", "It does not end"),
        (no_terminal_punctuation, C4(), "„It ends”", "It continues..."),
        (no_terminal_punctuation, C4(), "これは文です。", "これは文"),
        (no_terminal_punctuation, C4(terminal_punctuation=""), "Anything", None),
        (too_few_words, C4(), "a b c d e", "a b c d"),
        (too_few_words, RefinedWeb(), "two words", "word"),
        (too_long_a_word, C4(), f"a {'b' * 1000}", f"a {'b' * 1001}"),
        (unwanted_text, C4(), "Java scripts run.", "Please enable JavaScript."),
        (unwanted_text, C4(), "Cookies are sweet.", "Read our Privacy Policy."),
        (mainly_capitals, RefinedWeb(), "MAIN menu", "MAIN MENU here"),
        (only_numbers, RefinedWeb(), "12 a", "12 / 13,5"),
        (only_numbers, RefinedWeb(), "---", "- 1 -"),
        (a_counter, RefinedWeb(), "3 likes it", "3 likes"),
        (a_counter, RefinedWeb(), "12 years", "1.2K Followers"),
    ],
)
def test_line_rules(rule: Any, limits: Any, kept: str, dropped: str | None) -> None:
    assert not rule(kept, limits, "en")
    assert dropped is None or rule(dropped, limits, "en")


def test_without_spaces_words_are_characters() -> None:
    sentence = "ประเทศไทยมีประชากร" * 3  # 54 characters, no space
    document = text(sentence, language="th")
    assert document.word_count == len(sentence) / CHARACTERS_PER_WORD["th"]
    for rule in (rules.words_too_long, rules.too_few_words_with_letters):
        assert not rule(document, QUALITY)
    assert rules.words_too_long(text(sentence, language="en"), QUALITY)
    assert not no_terminal_punctuation(sentence, C4(), "th")
    assert not too_few_words(sentence, C4(), "th")
    assert not too_few_words("ไทยไทย ไท" * 2 + "ไทยไ", C4(), "th")  # 5 words of 4
    assert too_few_words("ไทยไทย ไท" * 2 + "ไทย", C4(), "th")


# --- n-grams -------------------------------------------------------------------------------------------------------


def plain_units(document: DocumentText) -> tuple[list[str], int]:
    width = CHARACTERS_PER_WORD.get(document.language)
    return (list("".join(document.joined.split())), width) if width else (document.joined.split(), 1)


def plain_shares(document: DocumentText, top: Sequence[int], duplicate: Sequence[int]) -> NgramShares:
    """Written as the definitions read: one n-gram after the other, a set of the units that are covered."""
    units, width = plain_units(document)
    total = sum(map(len, units))

    def covered(starts: Sequence[int], size: int) -> float:
        inside = {start + k for start in starts for k in range(size)}
        return sum(len(units[i]) for i in inside) / total if total else 0.0

    def top_share(size: int) -> float:
        grams = [tuple(units[i : i + size]) for i in range(len(units) - size + 1)]
        counts = Counter(grams)
        best = max(counts, key=lambda gram: (counts[gram], sum(map(len, gram)), -grams.index(gram)), default=())
        starts = [i for i, gram in enumerate(grams) if gram == best]
        return covered(starts, size) if len(starts) > 1 else 0.0

    def duplicate_share(size: int) -> float:
        seen: set[tuple[str, ...]] = set()
        starts = []
        for i in range(len(units) - size + 1):
            gram = tuple(units[i : i + size])
            if gram in seen:
                starts.append(i)
            seen.add(gram)
        return covered(starts, size)

    return NgramShares({n: top_share(n * width) for n in top}, {n: duplicate_share(n * width) for n in duplicate})


few_words = st.lists(st.sampled_from(["a", "b", "cc", "ddd", "\n"]), max_size=60).map(" ".join)
documents = st.builds(
    lambda body, language: text(*body.split("\n"), language=language),
    few_words,
    st.sampled_from(["en", "zh-Hans", "th"]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(documents, max_size=6), st.sampled_from([1, 7, 2**16]))
def test_ngrams_as_the_plain_twin(batch: list[DocumentText], at_once: int) -> None:
    top, duplicate = (2, 3, 4), (5, 6, 10)
    before = repetition.UNITS_AT_ONCE
    repetition.UNITS_AT_ONCE = at_once
    try:
        measured = measure_ngrams(batch, top, duplicate)
    finally:
        repetition.UNITS_AT_ONCE = before
    for document, shares in zip(batch, measured, strict=True):
        assert shares == plain_shares(document, top, duplicate)


def ngrams_of(document: DocumentText, **limits: dict[int, float]) -> tuple[bool, bool]:
    settings_ = GopherRepetition(**limits)
    (document.ngrams,) = measure_ngrams(
        [document], tuple(settings_.max_top_ngram), tuple(settings_.max_duplicate_ngrams)
    )
    return rules.frequent_ngram(document, settings_), rules.duplicate_ngrams(document, settings_)


def twice(n: int, repeated: int, total: int) -> DocumentText:
    """An n-gram of so many characters twice, one other word between, so many characters in all."""
    short = "abcdefghij"[: n - 1]
    phrase = ["x" * (repeated - len(short)), *short]
    return text(" ".join([*phrase, "y" * (total - 2 * repeated), *phrase]))


@pytest.mark.parametrize(("n", "share"), [*GopherRepetition().max_top_ngram.items()])
def test_frequent_ngrams_at_their_edge(n: int, share: float) -> None:
    limits = {"max_top_ngram": {n: share}, "max_duplicate_ngrams": {}}
    assert ngrams_of(twice(n, round(share * 500), 1000), **limits) == (False, False)
    assert ngrams_of(twice(n, round(share * 500), 999), **limits) == (True, False)


@pytest.mark.parametrize(("n", "share"), [*GopherRepetition().max_duplicate_ngrams.items()])
def test_duplicate_ngrams_at_their_edge(n: int, share: float) -> None:
    limits = {"max_top_ngram": {}, "max_duplicate_ngrams": {n: share}}
    assert ngrams_of(twice(n, round(share * 1000), 1000), **limits) == (False, False)
    assert ngrams_of(twice(n, round(share * 1000), 999), **limits) == (False, True)


def test_an_ngram_that_stands_once_is_not_frequent() -> None:
    assert ngrams_of(text("a b c d e")) == (False, False)


def test_what_overlaps_counts_once() -> None:
    document = text("a a a a a a")
    (shares,) = measure_ngrams([document], (2,), (5,))
    assert shares == NgramShares({2: 1.0}, {5: 5 / 6})


def test_no_ngram_goes_over_the_end_of_its_document() -> None:
    (first, second) = measure_ngrams([text("a b c"), text("a b c")], (2,), (3,))
    assert first == second == NgramShares({2: 0.0}, {3: 0.0})


# --- scripts -------------------------------------------------------------------------------------------------------


def test_every_language_of_cc100_has_a_script() -> None:
    assert len(CC100.split()) == 116
    assert [language for language in CC100.split() if not scripts_of(language)] == []


def test_letters_have_the_script_that_unicode_gives_them() -> None:
    regex = pytest.importorskip("regex")
    languages = {
        "Latin": "en", "Greek": "el", "Cyrillic": "ru", "Armenian": "hy", "Hebrew": "he", "Arabic": "fa",
        "Devanagari": "hi", "Bengali": "bn", "Gurmukhi": "pa", "Gujarati": "gu", "Oriya": "or", "Tamil": "ta",
        "Telugu": "te", "Kannada": "kn", "Malayalam": "ml", "Sinhala": "si", "Thai": "th", "Lao": "lo", "Myanmar": "my",
        "Georgian": "ka", "Ethiopic": "am", "Khmer": "km",
    }  # fmt: skip
    letters = "".join(filter(str.isalpha, map(chr, range(0x30000))))
    known_to_both = "".join(
        regex.findall(r"[\p{Assigned}--[\p{Script=Common}\p{Script=Inherited}]]", letters, regex.V1)
    )
    for script, language in languages.items():
        inside = "".join(regex.findall(rf"\p{{Script={script}}}", known_to_both))
        outside = "".join(regex.findall(rf"\P{{Script={script}}}", known_to_both))
        assert script_share(inside, language) == 1.0, script
        assert script_share(outside, language) == 0.0, script


def test_script_shares() -> None:
    assert script_share("abc где", "ru") == 0.5
    assert script_share("日本語ひらがなカタカナ", "ja") == 1.0
    assert script_share("漢字", "zh-Hant") == 1.0
    assert script_share("123 ...", "en") == 0.0
    assert script_share("abc", "tlh") is None


# --- any text ------------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_characters="\n")), max_size=12),
    st.sampled_from(["en", "th", "zh-Hans", "hi", "xx"]),
)
def test_no_rule_raises(lines: list[str], language: str) -> None:
    document = DocumentText(lines, "", language)
    (document.ngrams,) = measure_ngrams([document], (2, 3, 4), (5, 6, 7, 8, 9, 10))
    limits = {"length": Length(min_words=2), "gopher_quality": QUALITY, "fineweb": FineWeb(), "script": Script()}
    for name, some in {**limits, "gopher_repetition": GopherRepetition(), "c4": C4(), "mc4": MC4()}.items():
        assert all(isinstance(bool(rule(document, some)), bool) for rule in rules.RULES[name])  # type: ignore[index]
    assert 0 <= document.duplicate_lines[0] <= len(document.lines)
    assert all(0 <= share <= 1 for some in document.ngrams for share in some.values())
