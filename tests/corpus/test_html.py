"""Pages as they were crawled: text out of HTML in any encoding, title first, and then as WET."""

from __future__ import annotations

import gzip
import zlib
from contextlib import suppress

import pytest
from corpus_crawl import wet_file, wet_record

from corpus.crawl.html import NotAPage, text_of_page
from corpus.crawl.settings import Read
from corpus.crawl.tally import Tally
from corpus.crawl.wet import read_crawl, read_documents

WORDS = "Ein Satz über Äpfel und Öl, 你好, жизнь."
PAGE = (
    "<!doctype html><html><head><meta charset='utf-8'><title> Der\n Titel </title><style>p {{}}</style></head><body>"
    "<nav><ul><li><a href='/'>Start</a></li><li><a href='/x'>Weiter</a></li></ul></nav><main><article><h1>Kopf</h1>{}"
    "</article></main><script>var x = 1;</script><footer>Impressum</footer></body></html>"
)
PARAGRAPHS = "".join(f"<p>Absatz {n}. {WORDS}</p>" for n in range(12))


def response(
    body: bytes, kind: str | None = "text/html; charset=utf-8", status: str = "200 OK", **headers: str
) -> bytes:
    lines = [f"HTTP/1.1 {status}"]
    if kind is not None:
        lines.append(f"Content-Type: {kind}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def warc_record(number: int, content: bytes, kind: str = "response") -> bytes:
    record = wet_record(number, content).replace(b"WARC-Type: conversion", f"WARC-Type: {kind}".encode())
    return record.replace(
        b"Content-Type: text/plain\r\nContent-Length", b"Content-Type: application/http\r\nContent-Length"
    )


def text(body: bytes, *words, main_content: bool = False, **headers) -> list[str]:
    return text_of_page(response(body, *words, **headers), main_content=main_content, max_bytes=10**6).text.split("\n")


def test_a_warc_file_reads_as_a_wet_file_does(tmp_path):
    """The same text, one way as HTML and one as WET, gives the same document."""
    page = PAGE.format(PARAGRAPHS)
    path = wet_file(
        tmp_path / "x.warc.gz",
        warc_record(0, b"software: x\r\n", "warcinfo"),
        warc_record(1, b"GET / HTTP/1.1\r\n\r\n", "request"),
        warc_record(2, response(page.encode())),
        warc_record(3, b"a: b\r\n", "metadata"),
        warc_record(4, response(b"\x89PNG" * 99, "image/png")),
        warc_record(5, response(page.encode(), status="404 Not Found")),
        warc_record(6, response(page.encode())[:40]),
        warc_record(7, b"no HTTP at all" * 50),
    )
    tally = Tally()
    (document,) = read_documents([str(path)], 300, 2**24, tally)
    assert document.title == "Der Titel"
    assert [line for line in document.lines if line.startswith("Absatz")] == [f"Absatz {n}. {WORDS}" for n in range(12)]
    assert not any("var x" in line or "p {}" in line for line in document.lines)
    assert (tally.records, tally.short, tally.bad, sum(tally.left_out.values())) == (1, 0, 0, 4)
    assert tally.left_out["not a complete HTTP response"] == 2
    assert tally.left_out["not HTML but image/png"] == tally.left_out["its status is not 200"] == 1

    wet = wet_file(tmp_path / "x.wet.gz", wet_record(2, "\n".join([document.title, *document.lines]) + "\n"))
    (again,) = read_documents([str(wet)], 300, 2**24, Tally())
    assert (again.title, again.lines, again.url) == (document.title, document.lines, document.url)


@pytest.mark.parametrize(
    ("encoding", "kind", "meta", "words"),
    [
        ("utf-8", "text/html; charset=utf-8", "", WORDS),
        ("utf-8", "text/html", "<meta charset=utf-8>", WORDS),
        ("utf-8", "text/html", "", WORDS),
        ("utf-8-sig", "text/html", "", WORDS),
        ("utf-8", "text/html; charset=no-such-thing", "", WORDS),
        ("cp1251", "text/html; charset=windows-1251", "", "Каждый человек имеет право на жизнь"),
        ("koi8-r", "text/html", "<meta charset=koi8-r>", "Каждый человек имеет право на жизнь"),
        ("shift_jis", "text/html; charset=Shift_JIS", "", "すべての人間は自由であり"),
        (
            "euc-kr",
            "text/html",
            "<meta http-equiv=Content-Type content='text/html; charset=euc-kr'>",
            "모든 인간은 자유",
        ),
        ("gb18030", "text/html; charset=gbk", "", "人人生而自由,在尊严和权利上一律平等"),
        ("latin-1", "text/html; charset=iso-8859-1", "", "Grüße aus Köln, à bientôt"),
        ("windows-1256", "text/html; charset=windows-1256", "", "يولد جميع الناس أحرارا"),
        ("utf-16", "text/html; charset=utf-16", "", WORDS),
    ],
)
def test_encodings(encoding, kind, meta, words):
    body = f"<html><head>{meta}<title>{words}</title></head><body><p>{words}</p></body></html>".encode(encoding)
    assert [line for line in text(body, kind) if line] == [words, words]


def test_main_content_leaves_menus_out():
    body = PAGE.format(PARAGRAPHS).encode()
    everything, main = text(body), text(body, main_content=True)
    assert "• Weiter" in [line.strip() for line in everything]
    assert not any("Weiter" in line or "Impressum" in line for line in main)
    assert main[0] == everything[0] == "Der Titel"
    assert sum(line.startswith("Absatz") for line in main) == 12


@pytest.mark.parametrize(
    "body",
    [b"", b"<", b"<html", b"\0" * 1000, b"<p>&#xD800;&#0;&#x110000;</p>" * 9, b"<p>" * 50_000, bytes(range(256)) * 99,
     b"<b>" * 20_000, b"<table>" * 2000, b"<a " + b"x=1 " * 50_000 + b">y</a>", b"<!--" * 10_000],
    ids=lambda body: repr(body[:12]),
)  # fmt: skip
def test_html_of_any_kind_gives_text_that_can_be_written(body):
    for main_content in (False, True):
        with suppress(NotAPage):  # nested too deeply
            "\n".join(text(body, "text/html", main_content=main_content)).encode()


def test_a_tree_that_would_be_too_large_is_not_built():
    deep = b"<div>" * 5000 + b"x"
    with pytest.raises(NotAPage, match="nested too deeply"):
        text(deep, main_content=True)
    assert "x" in text(deep)
    for main_content in (False, True):
        with pytest.raises(NotAPage, match="nested too deeply"):
            text(b"<div>" * 100_000, main_content=main_content)
        with pytest.raises(NotAPage, match="300,000 elements"):
            text(b"<p>" * 300_001, main_content=main_content)
        assert text(b"<div><p>words<br></div>" * 50_000, main_content=main_content)


FORMATTING = b"".join(b"<b class=%d>" % n for n in range(900))
ATTRIBUTES = b" ".join(b"a%d" % n for n in range(40_000))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<p>" + FORMATTING + b"<p>y" * 900, "elements"),  # each paragraph opens 900 again: 810,000 elements
        (FORMATTING.replace(b">", b"><div>") + b"</b>" * 9000, "elements"),
        (b"<p " + ATTRIBUTES + b">x", "attributes"),
        (b"<p a='>' b=\"<\" " + ATTRIBUTES + b">x", "attributes"),
        ((b"<p " + ATTRIBUTES[:1000] + b">x") * 4000, "attributes"),
        ("<div>".encode("utf-16-le") * 20_000, "nested too deeply"),
    ],
)
def test_few_bytes_that_make_a_large_tree_are_left_out(body, reason):
    with pytest.raises(NotAPage, match=reason):
        text(b"\xff\xfe" * (b"\0" in body) + body)


@pytest.mark.parametrize(
    "body",
    [
        (b"<p><b>x</b> <i class=a>y</i> <font size=2>z</font></p>") * 20_000,
        b"<p><font size=2>words" * 5000,  # never closed; of equal ones three are opened again
        b"<p title='" + b"words " * 100_000 + b"'>x</p>" + b"<p class=a id=b>words</p>" * 20_000,
        b'<svg><path d="' + b"M 1 2 " * 100_000 + b'"/></svg>x',
        b"<p>" + b"words and words " * 100_000,
    ],
    ids=lambda body: repr(body[:12]),
)
def test_large_pages_that_make_a_tree_of_their_size_are_read(body):
    assert text(body)


def test_what_is_no_text_though_it_says_html():
    for body in (b"\x89PNG\r\n" + bytes(range(256)) * 99, bytes(3000)):
        with pytest.raises(NotAPage, match="binary data"):
            text(body)


def test_what_a_server_compressed():
    page = PAGE.format(PARAGRAPHS).encode()
    chunked = (
        b"".join(b"%x\r\n%s\r\n" % (len(page[n : n + 700]), page[n : n + 700]) for n in range(0, len(page), 700))
        + b"0\r\n\r\n"
    )
    assert text(gzip.compress(page), Content_Encoding="gzip") == text(page)
    assert text(chunked, Transfer_Encoding="chunked") == text(page)
    bomb = zlib.compressobj(9, wbits=31)
    small = b"".join(bomb.compress(b" " * 10**6) for _ in range(100)) + bomb.flush()
    with pytest.raises(NotAPage, match="grows over the limit"):
        text(small, Content_Encoding="gzip")


def test_kinds_by_their_content():
    page = PAGE.format(PARAGRAPHS).encode()
    assert text(page, None)[0] == "Der Titel"
    assert text(page, "APPLICATION/XHTML+XML")[0] == "Der Titel"
    assert text(b"one\ntwo", "text/plain; charset=utf-8") == ["", "one", "two"]
    for kind in ("application/pdf", "text/css", "\x1b[2J", "x" * 99):
        with pytest.raises(NotAPage, match=r"^not HTML"):
            text(page, kind)
    with pytest.raises(NotAPage, match="something unnamed"):
        text(b"%PDF-1.4", None)


def test_a_file_that_loses_most_of_its_pages_is_named(tmp_path):
    good, large = response(PAGE.format(PARAGRAPHS).encode()), response(b"<p>" * 300_001)
    image = response(b"\x89PNG" * 99, "image/png")
    named = {
        "many.warc": [good, large, large, image, image],
        "few.warc": [good, good, large, image, image, image],
        "none.warc": [image, image],
    }
    files = [
        str(wet_file(tmp_path / name, *(warc_record(n, body) for n, body in enumerate(records))))
        for name, records in named.items()
    ]
    tally = Tally()
    assert len(list(read_crawl(files, Read(), tally))) == 3
    assert tally.warnings() == [
        f"{files[0]}: 2 of 3 pages of HTML were left out; most frequent reason: more than 300,000 elements (2)",
        f"{files[2]}: no document in it; most frequent reason: not HTML but image/png (2)",
    ]


def test_a_page_that_is_cut_is_kept_and_counted(tmp_path):
    page = PAGE.format(PARAGRAPHS).encode()
    body = response(b"%x\r\n%s\r\n" % (len(page), page), Transfer_Encoding="chunked")
    tally = Tally()
    path = wet_file(tmp_path / "x", warc_record(0, body), warc_record(1, response(page)))
    first, second = read_crawl([str(path)], Read(), tally)
    assert first.lines == second.lines
    assert (tally.cut, tally.bad) == (1, 0)


def test_no_part_of_a_tag_is_text_where_a_page_is_cut():
    for end in (b"<", b"</", b"</p", b"</p>", b"<p class='a"):
        body = b"<p>words" + end
        assert text(b"100\r\n" + body, Transfer_Encoding="chunked") == ["", "words", ""]


def test_pages_that_only_repeat_are_read_like_others(tmp_path):
    body = response(b"<p>" + b"words and words " * 50 + b"</p>")
    path = wet_file(tmp_path / "x", *(warc_record(n, body) for n in range(50)))
    assert len(list(read_crawl([str(path)], Read(), Tally()))) == 50


@pytest.mark.parametrize(
    ("page", "tag"),
    [('<html lang="de-AT"><p>a', "de-AT"), ("<!-- x --><!doctype html><HTML LANG=' pt_BR '><p>a", "pt_BR"),
     ('<html xml:lang="fr">', "fr"), ("<p>a", ""), ("", ""), ('<html lang="">', ""), ('<html lang="<?php">', ""),
     ('<meta http-equiv="Content-Language" content="sl">', "sl"),
     ('<meta http-equiv="content-language" content="de, fr">', ""),
     ('<html lang="it"><meta http-equiv="content-language" content="sl">', "it")],
)  # fmt: skip
def test_the_language_that_a_page_declares(tmp_path, page, tag):
    read = text_of_page(response(f"{page}{PARAGRAPHS}".encode()), main_content=False, max_bytes=10**6)
    assert read.declared == tag
    path = wet_file(tmp_path / "x.warc.gz", warc_record(1, response(f"{page}{PARAGRAPHS}".encode())))
    assert [document.declared for document in read_documents([str(path)], 0, 2**20, Tally())] == [tag]
