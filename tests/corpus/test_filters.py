"""The chain of filters: settings, reasons, lines left out, lists out of files, masks."""

from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from corpus.filters.apply import FilterChain, load_filters
from corpus.filters.masking import is_card, is_iban
from corpus.filters.settings import C4, Filters, Kind, list_files
from corpus.filters.url_list import UrlList, places_above
from pipeline.config import load_config
from pipeline.errors import UsageError, XlmrError

KINDS: tuple[Kind, ...] = ("email", "iban", "credit_card", "ipv4", "ipv6", "phone")
SETS = (
    "length", "script", "refinedweb", "c4", "mc4", "gopher_quality", "gopher_repetition", "fineweb",
)  # fmt: skip
PROSE = [
    "The first line of this page has more words than most, and it ends with a full stop.",
    "Another of them follows, with something else to say about that; it is not too short.",
    "To be sure that there are fifty words in all, a third one is needed, and here it comes.",
    "Nobody would call these lines a list, a menu or a table of numbers, we should hope.",
]


def chain(**options: Any) -> FilterChain:
    return FilterChain(Filters(**options))


def check(lines: list[str], language: str = "en", url: str = "https://example.org/", **options: Any) -> str | None:
    return chain(**options).check([lines], [url], [language])[0]


def mask(line: str, *kinds: Kind) -> str:
    return chain(mask=kinds or KINDS).mask([[line]])[0][0][0]


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


# --- URL lists -----------------------------------------------------------------------------------------------------

LIST = """# a comment
bad.example
.dotted.example
*.starred.example
0.0.0.0 hosts.example
127.0.0.1   hosts2.example # why
news.example/gossip
https://www.Upper.example/Page/
shop.example/item?id=3
"""


@pytest.mark.parametrize(
    ("url", "listed"),
    [
        ("http://bad.example/", True),
        ("https://www.bad.example/x", True),
        ("https://a.b.bad.example:8080/x", True),
        ("https://user:secret@bad.example/", True),
        ("https://BAD.example./", True),
        ("https://notbad.example/", False),
        ("https://bad.example.org/", False),
        ("https://example/", False),
        ("https://x.dotted.example/", True),
        ("https://starred.example/", True),
        ("https://hosts.example/", True),
        ("https://hosts2.example/", True),
        ("https://news.example/", False),
        ("https://news.example/gossip", True),
        ("https://news.example/gossip/today?x=1", True),
        ("https://news.example/gossips", False),
        ("https://upper.example/Page", True),
        ("https://upper.example/page", False),
        ("https://shop.example/item?id=3", True),
        ("https://shop.example/item?id=4", False),
        ("not a url", False),
        ("http://[broken", False),
        ("", False),
    ],
)
def test_url_lists(tmp_path: Path, url: str, listed: bool) -> None:
    path = tmp_path / "domains"
    path.write_text(LIST)
    options: Any = {"rules": ("url_lists",), "url_lists": {"files": (str(path),)}}
    assert check(PROSE, url=url, **options) == ("url_lists: listed url" if listed else None)


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress, bz2.compress, bytes])
def test_lists_may_be_compressed_and_many(tmp_path: Path, compress: Any) -> None:
    ending = {gzip.compress: ".gz", lzma.compress: ".xz", bz2.compress: ".bz2", bytes: ""}[compress]
    for folder in ("adult", "gambling"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"domains{ending}").write_bytes(compress(f"{folder}.example\nb.{folder}.example".encode()))
    urls = UrlList([f"{tmp_path}/*/domains*"], [])
    assert len(urls) == 4
    assert urls.holds(["http://adult.example", "http://b.gambling.example", "http://c.example"]) == [True, True, False]


def test_a_list_read_in_pieces_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("corpus.filters.list_files.CHARACTERS_AT_ONCE", 7)
    path = tmp_path / "domains"
    hosts = [f"host{n}.example" for n in range(50)]
    path.write_text("\n".join(hosts))
    urls = UrlList([str(path)], [])
    assert len(urls) == 50
    assert all(urls.holds([f"https://{host}/" for host in hosts]))


def test_patterns(tmp_path: Path) -> None:
    path = tmp_path / "expressions"
    path.write_text("casino[0-9]+\n# none\n/ads?/\n")
    urls = UrlList([], [str(path)])
    assert urls.holds(["http://Casino77.example", "http://a.example/ad/1", "http://casino.example"]) == [
        True,
        True,
        False,
    ]
    path.write_text("fine\n(broken\n")
    with pytest.raises(XlmrError, match=r"\(broken"):
        UrlList([], [str(path)])


@pytest.mark.parametrize("content", [b"\x1f\x8b\x08\x00cut", b"no gzip"])
def test_a_damaged_list_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "domains.gz"
    path.write_bytes(content)
    with pytest.raises(XlmrError, match=r"domains\.gz"):
        UrlList([str(path)], [])
    with pytest.raises(XlmrError, match="nothing"):
        UrlList([str(tmp_path / "nothing")], [])


@given(st.text())
@settings(deadline=None)
def test_any_url(url: str) -> None:
    assert len(places_above(url)) <= 12 + 16 + 1
    assert len(places_above("https://" + ".".join("a" * 300) + "/" * 300 + url)) <= 12 + 16 + 1


# --- bad words -----------------------------------------------------------------------------------------------------


def bad_words(tmp_path: Path, content: str, line: str, language: str = "en", **more: Any) -> str | None:
    path = tmp_path / "words"
    path.write_text(content)
    key = more.pop("key", language)
    options: Any = {"rules": ("bad_words",), "bad_words": {"files": {key: str(path)}, **more}}
    return check(["A line.", line], language, **options)


@pytest.mark.parametrize(
    ("content", "line", "language", "drops"),
    [
        ("ass", "What an ASS!", "en", True),
        ("ass", "The classic assassin", "en", False),
        ("hot dog", "a hot   dog here", "en", True),
        ("hot dog", "a hot dogma", "en", False),
        ("$hit", "oh $hit, no", "en", True),
        ("हिन", "हिन्दी में", "hi", False),  # vowel signs do not end a word
        ("हिन्दी", "यह हिन्दी है", "hi", True),
        ("性", "男性", "zh-Hans", True),  # no spaces: anywhere
        ("性", "女", "zh-Hans", False),
    ],
)
def test_bad_words(tmp_path: Path, content: str, line: str, language: str, drops: bool) -> None:
    assert bad_words(tmp_path, content, line, language) == ("bad_words: bad words" if drops else None)


def test_bad_words_may_be_few_and_for_every_language(tmp_path: Path) -> None:
    assert bad_words(tmp_path, "one\ntwo\n", "one two", max_words=1) == "bad_words: bad words"
    assert bad_words(tmp_path, "one\ntwo\n", "one one one", max_words=1) is None
    assert bad_words(tmp_path, "one\n", "one", "de", key="*") == "bad_words: bad words"
    assert bad_words(tmp_path, "one\n", "one", "de", key="en") is None


# --- masks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "masked"),
    [
        ("Write to jane.doe+news@mail.example.co.uk!", "Write to [email]!"),
        ("<müller@bücher.example>", "<[email]>"),
        ("a@b, a@b.c, @name, x@1.2", "a@b, a@b.c, @name, x@1.2"),
        ("DE89 3704 0044 0532 0130 00.", "[iban]."),
        ("GB82WEST12345698765432", "[iban]"),
        ("card 4111 1111 1111 1111", "card [card]"),
        ("5500-0055-5555-5559, 340000099900036", "[card], [card]"),
        ("4111 1111 1111 1112", "4111 1111 1111 1112"),
        ("from 8.8.8.8 and 192.168.0.1, 10.0.0.1, 127.0.0.1", "from [ip] and 192.168.0.1, 10.0.0.1, 127.0.0.1"),
        ("999.8.8.8 1.2.3 v1.2.3.4 1.2.3.4.5", "999.8.8.8 1.2.3 v1.2.3.4 1.2.3.4.5"),
        ("2a00:1450:4001:81b::200e and fe80::1, ::1", "[ip] and fe80::1, ::1"),
        ("at 10:20:30, std::string", "at 10:20:30, std::string"),
        ("Tel. +49 30 1234567", "Tel. [phone]"),
        ("+1 (212) 555-0123 or (212) 555-0123 or 212-555-0123", "[phone] or [phone] or [phone]"),
        ("01 23 45 67 89; 030/12345678; (030) 123 45 67", "[phone]; [phone]; [phone]"),
        ("0041 44 668 18 00", "[phone]"),
        ("on 01.02.2003 or 2003-01-02 or 01-02-2003", "on 01.02.2003 or 2003-01-02 or 01-02-2003"),
        ("ISBN 978-3-16-148410-0, 1,000,000 and 3.14159265358", "ISBN 978-3-16-148410-0, 1,000,000 and 3.14159265358"),
        ("12345678901234567890123456789", "12345678901234567890123456789"),
    ],
)
def test_masks(line: str, masked: str) -> None:
    assert mask(line) == masked


def test_each_kind_alone_and_counted() -> None:
    line = "a@example.org +49 30 1234567 8.8.8.8"
    assert mask(line, "email") == "[email] +49 30 1234567 8.8.8.8"
    assert mask(line, "phone") == "a@example.org [phone] 8.8.8.8"
    masked, counts = chain(mask=KINDS).mask([[line, "nothing"], [line]])
    assert masked == [["[email] [phone] [ip]", "nothing"], ["[email] [phone] [ip]"]]
    assert counts == {"email": 2, "phone": 2, "ipv4": 2}


def test_checksums() -> None:
    assert is_card("4111111111111111")
    assert not any(is_card(f"411111111111111{digit}") for digit in "023456789")
    assert not is_card("0000000000000000")
    assert [is_card(number) for number in ("4" + "0" * 10 + "2", "4" + "0" * 11 + "6")] == [
        False,
        True,
    ]  # 12, 13 digits
    assert [is_card(number) for number in ("6" + "0" * 17 + "4", "6" + "0" * 18 + "7")] == [True, False]  # 19, 20
    assert is_iban("GB82 WEST 1234 5698 7654 32")
    assert not any(is_iban(f"GB82 WEST 1234 5698 7654 {end}") for end in ("31", "33", "3", "322"))


@pytest.mark.parametrize(("digits", "phone"), [(6, False), (7, True), (15, True), (16, False)])
def test_a_phone_number_has_7_to_15_digits(digits: int, phone: bool) -> None:
    assert mask("+" + "4912345678901234"[:digits]) == ("[phone]" if phone else "+" + "4912345678901234"[:digits])


def test_a_placeholder_may_not_itself_be_masked() -> None:
    with pytest.raises(XlmrError, match=r"placeholders\.email"):
        chain(mask=("email",), placeholders={"email": "x@example.org"})
    with pytest.raises(XlmrError, match=r"placeholders\.phone"):
        chain(mask=("phone",), placeholders={"phone": "a\nb"})
    assert chain(mask=("email",), placeholders={"email": ""}).mask([["x@example.org"]])[0] == [[""]]


pieces = st.sampled_from(
    ["a@example.org", "8.8.8.8", "+49 30 1234567", "4111 1111 1111 1111", "DE89370400440532013000", "2a00:1450::200e",
     " ", ".", "-", "1", "23", "@", ":", "(", "x", "٣", "[", "/"]
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.lists(pieces, max_size=8).map("".join) | st.text(), st.sampled_from(["[pii]", "", "|", "0"]))
def test_masking_again_changes_nothing(line: str, placeholder: str) -> None:
    filters = chain(mask=KINDS, placeholders=dict.fromkeys(KINDS, placeholder))
    once, _ = filters.mask([[line]])
    twice, counts = filters.mask(once)
    assert twice == once
    assert not counts


@pytest.mark.parametrize(
    "unit", ["a", "a.", "1", "1 ", "1.", "a@", "@a.", "A1", "+1", "0 1", "::", "1:", "(0", "a@b.", "-"]
)
@pytest.mark.timeout(60)
def test_long_lines_take_no_longer_than_their_length(unit: str) -> None:
    """A search whose work grows with the square of the line would take hours here, not half a second."""
    line = (unit * 500_000)[:500_000]
    filters = chain(mask=KINDS)
    masked, _ = filters.mask([[line]])
    assert filters.mask(masked)[0] == masked
