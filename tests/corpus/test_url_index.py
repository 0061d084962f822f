"""Pages of a site, country or language, chosen by CommonCrawl's URL index: ranges of WARC files, URLs of WET files."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pytest
from corpus_crawl import wet_record
from crawl_server import serve, settings
from pyarrow import parquet

from corpus.crawl.chosen import chosen_file, joined, read_chosen
from corpus.crawl.fetch import read_shards, run
from corpus.crawl.settings import Fetch, Index, Read
from corpus.crawl.tally import Tally
from corpus.crawl.wet import NOT_CHOSEN, read_crawl
from corpus.settings import FetchStage
from pipeline.context import Context
from pipeline.errors import XlmrError
from pipeline.log import EventLog
from pipeline.manifest import read_manifest

PAGES = [  # host, registered domain, top-level domain, languages
    ("a.example.org", "example.org", "org", "eng"),
    ("www.example.org", "example.org", "org", "isl,eng"),
    ("example.org.is", "org.is", "is", "isl"),
    ("notexample.org", "notexample.org", "org", "deu"),
    ("b.a.example.org", "example.org", "org", "deu,eng"),
    ("x.is", "x.is", "is", None),
]
FILES = ["crawl-data/D/segments/1/warc/one.warc.gz", "crawl-data/D/segments/1/warc/two.warc.gz"]


def url_of(host: str) -> str:
    return f"https://{host}/page"


def record(host: str, kind: str, body: bytes) -> bytes:
    made = wet_record(0, body).replace(b"https://example.org/0", url_of(host).encode())
    return gzip.compress(made.replace(b"WARC-Type: conversion", f"WARC-Type: {kind}".encode()))


@pytest.fixture
def dump(tmp_path) -> Path:
    """Two WARC files with three pages each, their WET files, and the index of all."""
    rows = []
    for number, name in enumerate(FILES):
        warc, wet = [gzip.compress(b"WARC/1.0\r\nWARC-Type: warcinfo\r\nContent-Length: 0\r\n\r\n\r\n\r\n")], []
        for host, domain, tld, languages in PAGES[3 * number : 3 * number + 3]:
            text = f"<html><title>T</title><body><p>{host} {'some words ' * 50}</p></body></html>"
            page = record(host, "response", f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n{text}".encode())
            rows.append(
                {"url": url_of(host), "url_host_name": host, "url_host_registered_domain": domain,
                 "url_host_tld": tld, "content_languages": languages, "fetch_status": 200, "warc_filename": name,
                 "warc_record_offset": sum(map(len, warc)), "warc_record_length": len(page)}
            )  # fmt: skip
            warc.append(page)
            wet.append(record(host, "conversion", f"T\n{host} {'some words ' * 50}\n".encode()))
        place = tmp_path / "base" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"".join(warc))
        place = tmp_path / "base" / name.replace("/warc/", "/wet/").replace(".warc.gz", ".warc.wet.gz")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"".join(wet))
    rows += [rows[0], {**rows[1], "fetch_status": 404, "url_host_tld": "is"}]  # twice, and not a page
    (tmp_path / "index").mkdir()
    schema = pa.Table.from_pylist(rows).schema
    parquet.write_table(pa.Table.from_pylist(rows[:4], schema), tmp_path / "index" / "a.parquet")
    parquet.write_table(pa.Table.from_pylist(rows[4:], schema), tmp_path / "index" / "b.parquet")
    return tmp_path


def hosts(dump: Path, base: str, kind: str, output: str = "fetch", tally: Tally | None = None, **asked) -> list[str]:
    """The hosts of the documents that are read."""
    fetch = Fetch(base=base, kind=kind, index=Index(files=str(dump / "index"), **asked))
    folder = dump / output
    folder.mkdir()
    run(FetchStage(fetch=fetch), {}, folder, Context("corpus.fetch", folder, 1, EventLog(folder / "log")))
    read = Read(download=settings(dump))
    return [
        document.url.split("/")[2]
        for shard, files in read_shards(folder).items()
        for document in read_crawl(files, read, tally or Tally(), chosen=read_chosen(chosen_file(folder, shard)))
    ]


@pytest.mark.parametrize("kind", ["warc", "wet"])
@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"domains": ("example.org",)}, [0, 1, 4]),
        ({"hosts": ("a.example.org",)}, [0, 4]),
        ({"tlds": ("is",)}, [2, 5]),
        ({"languages": ("isl",)}, [1, 2]),
        ({"tlds": ("org",), "languages": ("deu", "isl")}, [1, 3, 4]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_the_index_chooses_is_read(dump, kind, asked, expected):
    tally = Tally()
    assert hosts(dump, str(dump / "base"), kind, tally=tally, **asked) == [PAGES[n][0] for n in expected]
    assert tally.bad == 0
    if kind == "wet":
        files = {number // 3 for number in expected}
        assert tally.left_out[NOT_CHOSEN] == 3 * len(files) - len(expected)


def test_only_ranges_are_asked_of_a_server(dump):
    """Of a file of the crawl no more is fetched than the records; those that touch in one request."""
    with serve() as server:
        server.files |= {name: (dump / "base" / name).read_bytes() for name in FILES}
        assert hosts(dump, server.base, "warc", domains=("example.org",)) == [PAGES[n][0] for n in (0, 1, 4)]
        assert len(server.requests) == 2
        assert hosts(dump, server.base, "warc", "again", domains=("example.org",)) == [PAGES[n][0] for n in (0, 1, 4)]
        assert len(server.requests) == 2  # they are in the cache
        assert sum(path.stat().st_size for path in (dump / "cache" / "files").iterdir()) < 2000
        server.ranges = False
        with pytest.raises(XlmrError, match="the server does not support range requests"):
            hosts(dump, server.base, "warc", "whole", tlds=("is",))


def test_a_run_by_the_index(fresh, dump):
    """To the corpus, and rebuilt shards where another choice is made."""
    words = (
        "--corpus.fetch.crawl", "", "--corpus.fetch.kind", "warc", "--corpus.fetch.base", str(dump / "base"),
        "--corpus.fetch.index.files", str(dump / "index"), "--corpus.read.download.folder", str(dump / "cache"),
        "--corpus.fetch.index.domains",
    )  # fmt: skip
    for domains, documents in (("[example.org]", 3), ("[example.org, x.is]", 4)):
        fresh.run(*words, domains, until="corpus.mine")
        counts = read_manifest(fresh.output("corpus.hash", *words, domains)).counts
        assert counts["documents"] == documents
        fetched = read_manifest(fresh.output("corpus.fetch", *words, domains))
        assert fetched.counts["records"] == documents
        assert sorted(Path(file).name for file in fetched.outside) == ["a.parquet", "b.parquet"]


def test_what_cannot_be_chosen(dump):
    base = str(dump / "base")
    with pytest.raises(XlmrError, match=r"index: selects no records; check corpus\.fetch\.index"):
        hosts(dump, base, "warc", tlds=("fr",))
    (dump / "index" / "c.parquet").write_bytes(b"PAR1")
    with pytest.raises(XlmrError, match=r"c\.parquet: is not a Parquet file"):
        hosts(dump, base, "warc", "damaged", tlds=("is",))
    parquet.write_table(pa.table({"url": ["x"], "warc_filename": ["x"]}), dump / "index" / "c.parquet")
    with pytest.raises(XlmrError, match=r"c\.parquet: has no column url_host_tld, warc_record_length"):
        hosts(dump, base, "warc", "other", tlds=("is",))
    for path in (dump / "index").iterdir():
        path.unlink()
    row = {"url": "u", "url_host_tld": "is", "warc_record_offset": 0, "warc_record_length": 9}
    rows = [{**row, "warc_filename": "crawl-data/../../etc/passwd"}]
    parquet.write_table(pa.Table.from_pylist(rows), dump / "index" / "c.parquet")
    with pytest.raises(XlmrError, match="is not a crawl's path"):
        hosts(dump, base, "warc", "outside", tlds=("is",))


def test_an_index_needs_a_choice():
    for wrong in ({"files": "x"}, {"tlds": ("is",)}):
        with pytest.raises(ValueError, match="files needs one of domains"):
            Index(**wrong)
    with pytest.raises(ValueError, match="replaces dumps and crawl"):
        Fetch(dumps=("D",), index=Index(files="x", tlds=("is",)))


def test_ranges_that_touch_are_one():
    assert list(joined([(0, 5), (5, 5), (11, 2), (12, 1), (20, 1)])) == [(0, 10), (11, 2), (20, 1)]
    assert list(joined([])) == []
