"""Lists of hosts, pages, patterns and words, out of files."""

from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import Path
from typing import Any

import pytest
from filter_chains import PROSE, check
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.filters.check import check_lists
from corpus.filters.settings import Filters, list_files
from corpus.filters.url_list import UrlList, places_above
from pipeline.errors import XlmrError

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


@pytest.mark.parametrize("url", ["http://a.org/x", "https://www.b.A.ORG:8080/", "https://b.org/p/q", "http://x.is/"])
def test_hosts_that_are_kept(tmp_path: Path, url: str) -> None:
    path = tmp_path / "more"
    path.write_text("# kept too\nb.org/p\n")
    options: Any = {"rules": ("only_hosts",), "only_hosts": {"hosts": ("a.org", "is"), "files": (str(path),)}}
    assert check(PROSE, url=url, **options) is None
    for other in ("http://ba.org/x", "http://b.org/", "http://a.org.net/", "http://isis.com/", ""):
        assert check(PROSE, url=other, **options) == "only_hosts: other host"
    assert list_files(Filters(**options)) == {str(path): "filters.only_hosts.files"}
    with pytest.raises(ValueError, match="nothing would be kept"):
        Filters(rules=("only_hosts",))


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress, bz2.compress, bytes])
def test_lists_may_be_compressed_and_many(tmp_path: Path, compress: Any) -> None:
    ending = {gzip.compress: ".gz", lzma.compress: ".xz", bz2.compress: ".bz2", bytes: ""}[compress]
    for folder in ("adult", "gambling"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"domains{ending}").write_bytes(compress(f"{folder}.example\nb.{folder}.example".encode()))
    urls = UrlList([f"{tmp_path}/*/domains*"], [])
    assert len(urls) == 4
    assert urls.holds(["http://adult.example", "http://b.gambling.example", "http://c.example"]) == [True, True, False]


def test_a_list_read_in_chunks_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    path.write_text("# none\n\nfine\n(broken\n")
    with pytest.raises(XlmrError, match=r"expressions: line 4: '\(broken"):
        UrlList([], [str(path)])


def test_a_pattern_means_beside_others_what_it_means_alone(tmp_path: Path) -> None:
    """Groups keep their numbers, and flags at the beginning of a line are that line's."""
    path = tmp_path / "expressions"
    path.write_text("(a)b\\1\n(x)y\\1\n(?i)KASINO\n(?x) p o k e r\nbingo|keno\n")
    urls = UrlList([], [str(path)])
    found = urls.holds(["//aba", "//xyx", "//xya", "//abx", "//kasino", "//poker", "//p o k e r", "//KENO"])
    assert found == [True, True, False, False, True, True, False, True]


def test_patterns_are_tried_when_a_run_is_planned(tmp_path: Path) -> None:
    path = tmp_path / "expressions"
    path.write_text("a{2,1}\n")
    lists = {"url_lists": {"patterns": (str(path), "nowhere")}}
    check_lists(Filters(**lists))  # type: ignore[arg-type]
    with pytest.raises(XlmrError, match="expressions: line 1: "):
        check_lists(Filters(languages={"de": {"rules": ["url_lists"]}}, **lists))  # type: ignore[arg-type]


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
