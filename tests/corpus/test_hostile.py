"""Files made to do harm: they take neither memory nor time beyond their limits, and nothing is written for them."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from backports import zstd
from corpus_crawl import wet_file, wet_record
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.crawl.settings import Read
from corpus.crawl.tally import Tally
from corpus.crawl.wet import domain_of, read_crawl

ROOT = Path(__file__).parents[2]
MEGABYTE = 2**20
GOOD = wet_record(1, "title\n" + "a line of some words\n" * 30)
READER = """
import json, re, sys
sys.path.insert(0, sys.argv[1])
from corpus.crawl.settings import Read
from corpus.crawl.tally import Tally
from corpus.crawl.wet import read_crawl
def peak():  # of this program alone: ru_maxrss begins with that of the process which started it
    return int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]) * 1024
before = peak()
tally = Tally()
documents = read_crawl([sys.argv[2]], Read(**json.loads(sys.argv[3])), tally)
found = [(document.url, len(document.lines)) for document in documents]
grown = peak() - before
print(json.dumps({"found": found, "bad": tally.bad, "named": tally.named, "left_out": tally.left_out, "grown": grown}))
"""


def read_apart(path: Path, **read) -> dict:
    """What a process of its own reads, and by how many bytes it grew."""
    words = [sys.executable, "-c", READER, str(ROOT), str(path), json.dumps(read)]
    return json.loads(subprocess.run(words, check=True, capture_output=True, timeout=500).stdout)


def gzip_of(parts: Iterable[bytes]) -> Iterator[bytes]:
    """One member, never held."""
    compress = zlib.compressobj(1, wbits=31)
    for part in parts:
        yield compress.compress(part)
    yield compress.flush()


def zstd_of(parts: Iterable[bytes]) -> Iterator[bytes]:
    compress = zstd.ZstdCompressor(1)
    for part in parts:
        yield compress.compress(part)
    yield compress.flush()


def plain_of(parts: Iterable[bytes]) -> Iterator[bytes]:
    yield from parts


def record_of(block: bytes, times: int) -> Iterator[bytes]:
    """A record whose body is ``block`` so many times; its length is right."""
    yield wet_record(9, "", length=len(block) * times).removesuffix(b"\r\n\r\n")
    for _ in range(times):
        yield block
    yield b"\r\n\r\n"


def write(path: Path, *groups: Iterable[bytes]) -> Path:
    with path.open("wb") as handle:
        for group in groups:
            handle.writelines(group)
    return path


PACK = {"gzip": gzip_of, "zstd": zstd_of, "plain": plain_of}
WHOLE = {"gzip": gzip.compress(GOOD), "zstd": zstd.compress(GOOD), "plain": GOOD}


@pytest.mark.parametrize("form", PACK)
@pytest.mark.parametrize(
    ("block", "times", "words"),
    [
        (b"x" * MEGABYTE, 1024, "over the limit of 67,108,864"),  # a line of 1 GB
        (b"\n" * MEGABYTE, 1024, "over the limit of 67,108,864"),  # a billion empty lines
        (b"\0" * MEGABYTE, 256, "over the limit of 67,108,864"),
    ],
    ids=["a line", "empty lines", "NULs"],
)
def test_a_record_far_too_large(tmp_path, form, block, times, words):
    """Between two good ones, which stay."""
    if form == "plain":
        times = max(times // 8, 80)
    path = write(tmp_path / "x", [WHOLE[form]], PACK[form](record_of(block, times)), [WHOLE[form]])
    result = read_apart(path)
    assert [lines for _, lines in result["found"]] == [30, 30]
    assert result["bad"] >= 1
    assert words in result["named"][0] or "grows to more than" in result["named"][0]
    assert result["grown"] < 60 * MEGABYTE


@pytest.mark.parametrize(
    ("block", "times", "words"),
    [
        (b"x" * MEGABYTE, 60, "a line of more than 10,000,000 characters"),
        (b"\n" * MEGABYTE, 60, "more than 1,000,000 lines"),
        (b"\r" * MEGABYTE, 60, "more than 1,000,000 lines"),
        ("x\u2028".encode() * 2**18, 60, "a line of more than 10,000,000 characters"),
    ],
    ids=["line", "newlines", "returns", "separators"],
)
def test_a_record_just_within_its_limit(tmp_path, block, times, words):
    """Its lines are looked at before there is a list of them; memory stays within a few times the limit of a record."""
    body = wet_record(9, b"title\n" + block * times)
    path = write(tmp_path / "x", [WHOLE["gzip"], gzip.compress(body, 1), WHOLE["gzip"]])
    result = read_apart(path, max_growth=2000)
    assert [lines for _, lines in result["found"]] == [30, 30]
    assert result["bad"] == 0
    assert list(result["left_out"]) == [words]
    assert result["grown"] < 700 * MEGABYTE


def test_a_bomb_is_left_after_its_growth(tmp_path):
    """A member of 8 GB in 8 MB: given up after 16 MB, and reading resumes after it."""
    bomb = b"".join(gzip_of([b"WARC/1.0\r\nContent-Length: 1\r\n\r\n", *[bytes(MEGABYTE)] * 64]))
    path = write(tmp_path / "x", [WHOLE["gzip"], bomb, WHOLE["gzip"]])
    result = read_apart(path, max_growth=100)
    assert [lines for _, lines in result["found"]] == [30, 30]
    assert "it grows to more than 100 times its size" in " ".join(result["named"])
    assert result["grown"] < 60 * MEGABYTE


def test_a_file_may_grow_only_so_far(tmp_path):
    """Many members that are each within their growth."""
    path = write(tmp_path / "x", [WHOLE["gzip"] * 1000])
    tally = Tally()
    documents = list(read_crawl([str(path)], Read(max_file_bytes=100_000), tally))
    assert len(documents) == 100_000 // len(GOOD)
    assert tally.named == [
        f"{path}: the file grows to more than 100,000 bytes (byte {len(documents) * len(WHOLE['gzip']):,}); left out"
    ]


def test_limits_are_those_that_were_set(tmp_path):
    lines = "title\n" + "a line of some words\n" * 30
    long = "title\n" + "a line of some words\n" * 30 + "y" * 501 + "\n"
    path = wet_file(
        tmp_path / "x", *(wet_record(n, text) for n, text in enumerate([lines, long, lines, "y" * 501 + "\n" + lines]))
    )
    for read, kept in (
        (Read(), 4),
        (Read(max_line_characters=501), 4),
        (Read(max_line_characters=500), 2),
        (Read(max_lines=31), 2),
        (Read(max_lines=32), 4),
    ):
        tally = Tally()
        assert len(list(read_crawl([str(path)], read, tally))) == kept
        assert sum(tally.left_out.values()) == 4 - kept == len(tally.named)


def test_nuls_and_controls_are_text_like_other_text(tmp_path):
    text = "ti\0tle\n" + "a line\0 of \x1b[31m some words\x85\n" * 30
    (document,) = read_crawl([str(wet_file(tmp_path / "x", wet_record(1, text)))], Read(), Tally())
    assert document.title == "ti\0tle"
    assert set(document.lines) == {"a line\0 of \x1b[31m some words"}


def test_mixed_encodings(tmp_path):
    """WET is UTF-8: what is not is left out by the record, never by the file."""
    bodies = [
        ("title\n" + "Grüße aus Köln, жизнь\n" * 30).encode(e, "replace")
        for e in ("utf-8", "latin-1", "utf-16", "cp1251", "utf-8")
    ]
    tally = Tally()
    documents = list(
        read_crawl([str(wet_file(tmp_path / "x", *(wet_record(n, b) for n, b in enumerate(bodies))))], Read(), tally)
    )
    assert [document.url[-1] for document in documents] == ["0", "4"]
    assert (tally.bad, len(tally.named)) == (3, 3)


NASTY = [
    "https://../../../../etc/x",
    "file:///etc/passwd",
    "https://a/b?c=\x1b[2J",
    "https://x/" + "y" * 100_000,
    "\u202eevil",
    "https://é.example/…",
    "../..",
    "",
]


@pytest.mark.parametrize("url", NASTY)
def test_no_file_is_written_for_what_a_record_says(tmp_path, monkeypatch, url):
    """Hostile URLs, dates and digests pass as text or are left out; names in warnings are one printable line."""
    monkeypatch.chdir(tmp_path)
    record = wet_record(1, "title\n" + "a line of some words\n" * 30).replace(b"https://example.org/1", url.encode())
    bad = wet_record(1, b"\xff" * 500).replace(b"https://example.org/1", url.encode())
    wet_file(tmp_path / "x", record, bad)
    tally = Tally()
    documents = list(read_crawl(["x"], Read(), tally))
    assert len(documents) <= 1
    assert all(line.isprintable() and len(line) < 500 for line in tally.named)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_whole_run_over_hostile_records_writes_in_its_output_alone(fresh, small, tmp_path):
    crawl = tmp_path / "crawl"
    crawl.mkdir()
    source = min((small / "crawl").iterdir())
    hostile = [
        GOOD.replace(b"https://example.org/1", url.encode()).replace(b"some words", b"w%d" % n)
        for n, url in enumerate(NASTY)
    ]
    (crawl / "a.gz").write_bytes(source.read_bytes() + b"".join(map(gzip.compress, hostile)))
    fresh.run("--corpus.fetch.crawl", f"{crawl}/*.gz")
    assert {path.name for path in tmp_path.iterdir()} == {"crawl", "run.yaml", "c"}
    assert [path.name for path in crawl.iterdir()] == ["a.gz"]


@settings(max_examples=300)
@given(st.text(st.sampled_from("abhtps:/?#@[].0-_ é\t\n%\\"), max_size=30).map(lambda rest: "http" + rest) | st.text())
def test_domains_are_those_of_urlsplit(url):
    def answer(function):
        try:
            return function(url)
        except ValueError as error:
            return str(error)

    assert answer(domain_of) == answer(lambda url: urlsplit(url).netloc)
