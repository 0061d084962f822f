"""The chain of filters: settings, reasons, lines left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from filter_chains import KINDS, PROSE, chain, check
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from corpus.filters.apply import load_filters
from corpus.filters.settings import C4, Filters, list_files
from pipeline.config import load_config
from pipeline.errors import UsageError

SETS = (
    "length", "script", "refinedweb", "c4", "mc4", "gopher_quality", "gopher_repetition", "fineweb",
)  # fmt: skip


# --- settings ------------------------------------------------------------------------------------------------------


def test_off_by_default() -> None:
    filters = load_filters(Filters())
    assert filters.empty
    assert [filters.checks, filters.trims, filters.masks] == [False] * 3
    assert filters.check([["x"], []], ["", ""], ["en", ""]) == [None, None]
    assert filters.trim([["x", ""]], ["en"]).masks == [[True, True]]
    assert filters.mask([["a@example.org"]])[0] == [["a@example.org"]]


def test_made_once_a_process() -> None:
    assert load_filters(Filters(rules=("c4",))) is load_filters(Filters(rules=("c4",)))


def test_every_set_has_settings_with_a_source() -> None:
    for name in SETS:
        section = getattr(Filters(), name)
        for field in type(section).model_fields.values():
            assert field.description
            assert field.json_schema_extra["source"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("languages", "problem"),
    [
        ({"de": {"gopher_quality": {"min_word": 3}}}, "de.gopher_quality.min_word"),
        ({"de": {"rules": ["gopher"]}}, "de.rules"),
        ({"de": {"mask": ["email"]}}, "de: mask cannot differ by language"),
    ],
)
def test_what_is_said_of_a_language_is_checked(languages: Any, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Filters(languages=languages)


def test_in_a_run_file(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(
        "rules: [gopher_quality]\nlanguages: {de: {gopher_quality: {min_words: 3}}}\n"
        "gopher_repetition: {max_top_ngram: {2: 0.5}}\n"
    )
    filters = load_config(Filters, path)
    assert filters.of_language("de").gopher_quality.min_words == 3
    assert filters.of_language("en").gopher_quality.min_words == 50
    assert filters.gopher_repetition.max_top_ngram == {2: 0.5}
    path.write_text("rules: [gofer_quality]\n")
    with pytest.raises(UsageError, match="rules"):
        load_config(Filters, path)


def test_files_count_only_where_they_are_read() -> None:
    lists = {"url_lists": {"files": ("a", "b*"), "patterns": ("p",)}, "bad_words": {"files": {"en": "w"}}}
    assert list_files(Filters(**lists)) == {}
    files = list_files(Filters(rules=("url_lists", "bad_words"), **lists))
    assert files == {
        "a": "filters.url_lists.files",
        "b*": "filters.url_lists.files",
        "p": "filters.url_lists.patterns",
        "w": "filters.bad_words.files",
    }
    assert list_files(Filters(languages={"de": {"rules": ("bad_words",)}}, **lists)) == {"w": "filters.bad_words.files"}


# --- reasons -------------------------------------------------------------------------------------------------------


def test_prose_passes() -> None:
    rules = ("length", "script", "c4", "gopher_quality", "gopher_repetition", "fineweb")
    assert check(PROSE, rules=rules) is None
    trimmed = chain(rules=rules).trim([PROSE], ["en"])
    assert trimmed.masks == [[True] * 4]
    assert trimmed.reasons == [None]


def test_the_reason_is_the_first_in_the_order_of_the_rules() -> None:
    short = ["Too short.", "Too short."]
    assert check(short, rules=("gopher_quality", "gopher_repetition")) == "gopher_quality: too few words"
    assert check(short, rules=("gopher_repetition", "gopher_quality")) == "gopher_repetition: duplicate lines"


def test_a_language_can_differ() -> None:
    filters = chain(
        rules=("gopher_quality",), languages={"de": {"gopher_quality": {"min_words": 2}}, "fr": {"rules": ()}}
    )
    reasons = filters.check([["zwei Wörter"]] * 3, [""] * 3, ["de", "en", "fr"])
    assert reasons == [None, "gopher_quality: too few words", None]


def test_without_lines() -> None:
    for name in SETS:
        for lines in ([], [""], ["", ""]):
            trimmed = chain(rules=(name,)).trim([lines], ["en"])
            assert (check(lines, rules=(name,)) or trimmed.reasons[0] or name).startswith(name)
    assert chain(rules=("gopher_repetition",)).check([], [], []) == []


any_document = st.tuples(
    st.lists(st.text(st.characters(exclude_characters="\n")) | st.sampled_from(PROSE), max_size=6),
    st.text() | st.sampled_from(["https://example.org/a?b", "http://[::1", "//x"]),
    st.sampled_from(["en", "de", "th", "zh-Hant", "hi", ""]),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(any_document, max_size=5), st.permutations(SETS), st.randoms())
def test_any_text_in_any_order(documents: list[Any], rules: list[Any], random: Any) -> None:
    """Nothing raises, and what is said of a document depends neither on its neighbours nor on its place."""
    filters = chain(rules=tuple(rules), mask=KINDS, languages={"de": {"length": {"min_words": 3}}})
    shuffled = random.sample(documents, len(documents))
    answers = []
    for some in (documents, shuffled):
        lines, urls, languages = ([document[part] for document in some] for part in range(3))
        trimmed = filters.trim(lines, languages)
        masked, _ = filters.mask(lines)
        answers.append(
            {
                repr(document): answer
                for document, *answer in zip(
                    some, filters.check(lines, urls, languages), trimmed.masks, trimmed.reasons, masked, strict=True
                )
            }
        )
        assert [len(one) for one in masked] == [len(one) for one in lines] == [len(one) for one in trimmed.masks]
    assert answers[0] == answers[1]


# --- lines ---------------------------------------------------------------------------------------------------------


def test_lines_left_out_are_counted_by_reason() -> None:
    menu = ["Home", "About us and what we do.", "Please enable JavaScript to see this page.", "", PROSE[0]]
    trimmed = chain(rules=("c4",)).trim([menu, ["Home"]], ["en", "en"])
    assert trimmed.masks == [[False, True, False, False, True], [False]]
    assert trimmed.reasons == [None, "c4: no line left"]
    assert trimmed.lines == {"c4: no terminal punctuation": 3, "c4: unwanted text": 1}


def test_refinedweb_drops_what_loses_too_much() -> None:
    kept, dropped = ["a word " * 9 + "more", "MENU"], ["a word " * 9, "MENU"]  # 1 word of 20, and of 19
    trimmed = chain(rules=("refinedweb",)).trim([kept, dropped], ["en", "en"])
    assert trimmed.masks == [[True, False], [True, False]]
    assert trimmed.reasons == [None, "refinedweb: too much left out"]


def test_of_two_sets_for_lines_the_second_sees_what_the_first_left() -> None:
    trimmed = chain(rules=("refinedweb", "c4"), refinedweb={"max_removed_share": 1}).trim([["HELLO", *PROSE]], ["en"])
    assert trimmed.lines == {"refinedweb: too few words": 1}
    assert trimmed.masks == [[False, True, True, True, True]]


def test_thai_needs_no_full_stop() -> None:
    line = "ประเทศไทยมีประชากรมากกว่าหกสิบล้านคน"
    assert chain(rules=("c4",)).trim([[line]] * 2, ["th", "en"]).masks == [[True], [False]]
    assert C4().terminal_punctuation
