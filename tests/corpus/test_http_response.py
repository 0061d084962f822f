"""HTTP responses as archives hold them: codings that were undone, misnamed, cut or doubled, and anything else."""

from __future__ import annotations

import gzip
import zlib

import brotli
import pytest
from backports.zstd import compress as zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.crawl.http_response import GrowsError, Response, read_response

PAGE = b"<html><title>Title</title><body>" + b"".join(b"<p>Paragraph %d of the page</p>" % n for n in range(99))


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def chunked(data: bytes, size: int = 700, end: bytes = b"0\r\n\r\n", line: bytes = b"\r\n") -> bytes:
    parts = (data[n : n + size] for n in range(0, len(data), size))
    return b"".join(b"%x%s%s%s" % (len(part), line, part, line) for part in parts) + end


def read(body: bytes, *headers: bytes, status: bytes = b"HTTP/1.1 200 OK", line: bytes = b"\r\n") -> Response:
    head = line.join([status, b"Content-Type: text/html; charset=utf-8", *headers])
    found = read_response(head + line + line + body, 10**6)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "coding", [b"gzip", b"x-gzip", b"deflate", b"br", b"zstd", b"utf-8", b"none", b"compress", b"gzip, deflate"]
)
@pytest.mark.parametrize("transfer", [b"chunked", b"identity", b"gzip, chunked"])
def test_codings_that_the_body_no_longer_has(coding, transfer):
    found = read(PAGE, b"Content-Encoding: " + coding, b"Transfer-Encoding: " + transfer)
    assert (found.body, found.cut) == (PAGE, False)


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        (b"gzip", gzip.compress(PAGE)),
        (b"X-GZIP", gzip.compress(PAGE)),
        (b"deflate", zlib.compress(PAGE)),
        (b"deflate", raw_deflate(PAGE)),
        (b"br", brotli.compress(PAGE)),
        (b"zstd", zstd(PAGE)),
        (b"gzip, br", brotli.compress(gzip.compress(PAGE))),
        (b"gzip, gzip", gzip.compress(PAGE)),  # said twice, done once
        (b"gzip", gzip.compress(PAGE[:500]) + gzip.compress(PAGE[500:])),
        (b"gzip", gzip.compress(PAGE) + b"trailing"),
        (b"utf-8", gzip.compress(PAGE)),  # packed, and named otherwise
    ],
)
def test_codings_that_the_body_has(coding, body):
    for packed, transfer in ((body, b"identity"), (chunked(body), b"chunked"), (body, b"chunked")):
        found = read(packed, b"Content-Encoding: " + coding, b"transfer-encoding: " + transfer)
        assert (found.body, found.cut) == (PAGE, False)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([b"Content-Encoding: gzip"], gzip.compress(PAGE)[:-90]),
        ([b"Content-Encoding: deflate"], zlib.compress(PAGE, 0)[:-300]),
        ([b"Content-Encoding: deflate"], raw_deflate(PAGE)[:-100]),
        ([b"Content-Encoding: br"], brotli.compress(PAGE * 20)[:-30]),
        ([b"Transfer-Encoding: chunked"], chunked(PAGE, end=b"")),
        ([b"Transfer-Encoding: chunked"], chunked(PAGE)[:-400]),
        ([b"Transfer-Encoding: chunked"], chunked(PAGE, end=b"") + b"nonsense"),
        ([b"Transfer-Encoding: chunked", b"Content-Encoding: gzip"], chunked(gzip.compress(PAGE), 99, b"")[:-90]),
    ],
)
def test_what_could_be_decoded_of_a_cut_body_stays(headers, body):
    found = read(body, *headers)
    assert found.cut
    assert len(found.body) > 100
    assert (PAGE * 20).startswith(found.body)


def test_bytes_before_a_damaged_place_stay():
    text = bytes(zlib.crc32(b"%d" % n) & 0x3F | 0x40 for n in range(300_000))
    packed = bytearray(gzip.compress(text, 1))
    packed[len(packed) // 2] ^= 0xFF
    found = read(bytes(packed), b"Content-Encoding: gzip")
    assert found.cut
    assert len(found.body) > 100_000
    assert text.startswith(found.body[:100_000])


def test_of_many_codings_the_last_five_are_undone():
    body = PAGE
    for _ in range(6):
        body = zlib.compress(body)
    assert read(body, b"Content-Encoding: " + b"deflate," * 9).body == zlib.compress(PAGE)


def test_a_content_type_that_is_joined_of_two():
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html, text/html; charset=koi8-r\r\n\r\n"
    found = read_response(head + PAGE, 10**6)
    assert found is not None
    assert (found.kind, found.charset) == ("text/html", "koi8-r")


def test_a_text_that_begins_with_a_number_is_no_chunk():
    assert read(b"2020\nwas a year" * 999, b"Transfer-Encoding: chunked").body.startswith(b"2020\nwas")


@pytest.mark.parametrize(
    "status", [b"HTTP/1.0 200", b"HTTP/2 200", b"HTTP/1.1 200 \xd0\x9e\xd0\x9a", b"HTTP/1.1  200 OK"]
)
@pytest.mark.parametrize("line", [b"\r\n", b"\n"])
def test_status_lines_and_line_ends(status, line):
    found = read(PAGE, b"X-Odd: \xff\xfe", b"no colon", status=status, line=line)
    assert (found.status, found.kind, found.charset, found.body) == (200, "text/html", "utf-8", PAGE)


@pytest.mark.parametrize(
    "record",
    [b"", b"<html>", b"HTTP/1.1", b"HTTP/1.1 200 OK\r\nA: b", b"HTTP/1.1 20000\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"],
)
def test_what_is_no_response(record):
    assert read_response(record, 10**6) is None


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, brotli.compress, zstd])
def test_growth_is_bounded(pack):
    name = {gzip.compress: b"gzip", zlib.compress: b"deflate", brotli.compress: b"br"}.get(pack, b"zstd")
    with pytest.raises(GrowsError):
        read(pack(bytes(2 * 10**6)), b"Content-Encoding: " + name)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([b"gzip", b"deflate", b"br", b"zstd", b"chunked", b"x", b""]),
    st.sampled_from([b"chunked", b"gzip", b""]),
    st.one_of(
        st.binary(max_size=200),
        st.sampled_from([gzip.compress(PAGE), zlib.compress(PAGE), brotli.compress(PAGE), zstd(PAGE), chunked(PAGE)]),
    ),
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=4),
)
def test_any_response_is_read(content, transfer, body, flips):
    damaged = bytearray(body)
    for place, value in flips:
        if place < len(damaged):
            damaged[place] = value
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nTransfer-Encoding: %s\r\n\r\n" % (content, transfer)
    found = read_response(head + bytes(damaged), 10**6)
    assert found is not None
    assert len(found.body) <= 10**6
