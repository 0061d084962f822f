"""Documents in JSON lines, Parquet and Arrow, read as a crawl: published layouts, damage, and equality with WET."""

from __future__ import annotations

import bz2
import datetime
import gzip
import io
import json
import lzma
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest
from corpus_crawl import wet_file, wet_record
from crawl_server import serve, settings
from pyarrow import feather, parquet

from corpus.crawl.dumps import files_of
from corpus.crawl.settings import Read
from corpus.crawl.tally import Tally
from corpus.crawl.wet import Document, read_crawl
from corpus.documents.read import unit_of
from corpus.documents.row import digest_of
from corpus.documents.settings import DocumentColumns
from pipeline.errors import XlmrError

try:
    from compression import zstd
except ImportError:
    from backports import zstd

TEXT = "Erste Zeile über Äpfel.\n  Zweite Zeile. \nDritte."
LINES = ["Erste Zeile über Äpfel.", "Zweite Zeile.", "Dritte."]


def read(path: Path, tally: Tally | None = None, **settings) -> list[Document]:
    return list(read_crawl([str(path)], Read(**{"min_characters": 0, **settings}), tally or Tally()))


def json_lines(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


OSCAR = {
    "content": TEXT,
    "warc_headers": {
        "warc-type": "conversion", "warc-target-uri": "https://example.org/a", "warc-date": "2022-11-26T12:00:00Z",
        "warc-block-digest": "sha1:X", "content-length": "99",
    },
    "metadata": {"identification": {"label": "de", "prob": 0.9}, "quality_warnings": None},
}  # fmt: skip
FINEWEB2 = {
    "text": TEXT, "id": "<urn:uuid:1>", "dump": "CC-MAIN-2019-09", "url": "https://example.org/a",
    "date": "2022-11-26T12:00:00Z", "file_path": "s3://x", "language": "deu", "language_score": 0.9,
}  # fmt: skip
CC_NET = {
    "raw_content": TEXT, "url": "https://example.org/a", "date_download": "2022-11-26T12:00:00Z", "digest": "sha1:X",
    "title": "T", "length": 3,
}  # fmt: skip
HPLT = {"text": TEXT, "u": "https://example.org/a", "ts": "2022-11-26T12:00:00Z"}


@pytest.mark.parametrize("form", ["jsonl", "parquet", "arrow", "stream.arrow"])
@pytest.mark.parametrize("record", [OSCAR, FINEWEB2, CC_NET, HPLT], ids=["oscar", "fineweb2", "cc_net", "hplt"])
def test_published_layouts_are_found_out(tmp_path, record, form):
    path = tmp_path / f"x.{form}"
    table = pa.Table.from_pylist([record, record])
    if form == "jsonl":
        json_lines(path, record, record)
    elif form == "parquet":
        parquet.write_table(table, path)
    elif form == "arrow":
        feather.write_feather(table, path)
    else:
        with pa.ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table)
    document, again = read(path)
    assert document == again
    assert (document.lines, document.segment) == (LINES, str(path))
    assert (document.url, document.source_domain) == ("https://example.org/a", "example.org")
    assert (document.date_download, document.length) == ("2022-11-26T12:00:00Z", len(TEXT.encode()))
    assert document.digest == (digest_of(TEXT.encode()) if record in (FINEWEB2, HPLT) else "sha1:X")
    assert document.title == record.get("title", "")


@pytest.mark.parametrize(
    ("end", "pack"),
    [("", bytes), (".gz", gzip.compress), (".zst", zstd.compress), (".xz", lzma.compress), (".bz2", bz2.compress)],
)
def test_the_first_bytes_say_how_a_file_is_compressed(tmp_path, end, pack):
    content = [json.dumps({"text": f"{TEXT} {n}"}).encode() + b"\n" for n in range(4)]
    path = tmp_path / f"x.jsonl{end}"
    path.write_bytes(pack(b"".join(content[:2])) + pack(b"".join(content[2:])))
    assert [document.lines[-1] for document in read(path)] == [f"Dritte. {n}" for n in range(4)]
    other = path.rename(tmp_path / "other.jsonl.gz")
    assert len(read(other)) == 4


def test_bad_lines_are_counted_and_named_and_the_others_read(tmp_path):
    path = tmp_path / "x.jsonl"
    good = json.dumps({"text": TEXT}).encode()
    lines = [
        b"\xef\xbb\xbf" + good, b"", b"{", b'"text"', b"[1]", b'{"text": 7}', b'{"text": null}', b'{"url": "x"}',
        b'{"text": "\xff"}', b'{"text": "\\ud800"}', b'{"text": "' + b"x" * 3000 + b'"}', b"[" * 2000, good, b"null",
        good,
    ]  # fmt: skip
    path.write_bytes(b"\r\n".join(lines))
    tally = Tally()
    assert [document.lines for document in read(path, tally, max_record_bytes=2048)] == [LINES] * 3
    assert (tally.records, tally.bad) == (3, 11)
    numbers = [int(line.rpartition("(line ")[2].partition(")")[0]) for line in tally.named]
    assert numbers == [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14]
    assert all(line.startswith(f"{path}: ") for line in tally.named)


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress, lzma.compress, bz2.compress])
def test_a_cut_file_gives_what_is_there(tmp_path, pack):
    path = tmp_path / "x.jsonl"
    first = b"".join(json.dumps({"text": f"{TEXT} {n}"}).encode() + b"\n" for n in range(100))
    path.write_bytes(pack(first) + pack(first)[:-40])
    tally = Tally()
    assert len(read(path, tally)) >= 100
    assert tally.bad == 1
    assert tally.lost_bytes < path.stat().st_size
    assert "cannot be read from here on" in tally.named[0]


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b'[{"text": "x"}]', "JSON array"), ('{"text": "x"}'.encode("utf-16"), "UTF-16")],
)
def test_what_is_no_json_lines(tmp_path, content, problem):
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    tally = Tally()
    assert read(path, tally) == []
    assert problem in tally.named[0]
    assert tally.lost_bytes == len(content)


def test_bad_rows_of_a_table(tmp_path):
    path = tmp_path / "x.parquet"
    texts = [b"one", None, b"\xff", b"x" * 3000, b"two"]
    binary = pa.array(texts, pa.binary())
    dates = pa.array([datetime.date(2024, 5, 6)] * 5)
    parquet.write_table(pa.table({"text": binary, "date": dates}), path)
    tally = Tally()
    documents = read(path, tally, max_record_bytes=2048)
    assert [document.lines for document in documents] == [["one"], ["two"]]
    assert documents[0].date_download == "2024-05-06"
    assert (tally.bad, [line.rpartition("(")[2] for line in tally.named]) == (
        3, ["row 2); left out", "row 3); left out", "row 4); left out"],
    )  # fmt: skip


def test_a_damaged_row_group_costs_its_own_rows(tmp_path):
    path = tmp_path / "x.parquet"
    texts = [f"text {n} " + "abc" * (n + 1) for n in range(300)]
    parquet.write_table(pa.table({"text": texts}), path, row_group_size=100, use_dictionary=False)
    column = parquet.ParquetFile(path).metadata.row_group(1).column(0)
    content = bytearray(path.read_bytes())
    start, size = column.data_page_offset, column.total_compressed_size
    content[start : start + size] = b"\xff" * size
    path.write_bytes(content)
    tally = Tally()
    documents = read(path, tally)
    assert [document.lines[0] for document in documents] == [*texts[:100], *texts[200:]]
    assert tally.bad == 100
    assert "row group 1" in tally.named[0]
    assert "(row 101)" in tally.named[0]
    assert tally.lost_bytes == size
    path.write_bytes(content[:-20])
    tally = Tally()
    assert (read(path, tally), tally.bad) == ([], 1)


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_columns_may_be_named_or_left_out(tmp_path, form):
    path = tmp_path / f"x.{form}"
    record = {"body": {"plain": TEXT}, "text": "no", "title": "T", "link": "https://a.org/"}
    if form == "jsonl":
        json_lines(path, record)
    else:
        parquet.write_table(pa.Table.from_pylist([record]), path)
    (document,) = read(path, columns=DocumentColumns(text="body.plain", url="link", title=""))
    assert (document.lines, document.title, document.source_domain) == (LINES, "", "a.org")
    with pytest.raises(XlmrError, match=r"has no column 'nope'; its columns are body, text, title, link"):
        read(path, columns=DocumentColumns(text="nope"))
    with pytest.raises(XlmrError, match=r"has no column 'href'.*") as error:
        read(path, columns=DocumentColumns(url="href"))
    assert "corpus.read.columns.url" in error.value.fix


def test_a_file_without_text_is_an_error(tmp_path):
    with pytest.raises(XlmrError, match=r"x\.jsonl: has no column 'text' or 'content' or 'raw_content'; .* a, b"):
        read(json_lines(tmp_path / "x.jsonl", *[{"a": 1, "b": 2}] * 3))
    assert read(json_lines(tmp_path / "empty.jsonl")) == []


def test_plain_text_has_a_document_a_line(tmp_path):
    path = tmp_path / "x.txt.xz"
    path.write_bytes(lzma.compress(f"\ufeff{' '.join(LINES)}\n\nshort\n".encode() + b"\xff\n"))
    tally = Tally()
    first, second = read(path, tally)
    assert (first.lines, first.title, first.url, second.lines) == ([" ".join(LINES)], "", "", ["short"])
    assert tally.records == 2, "the line that is not UTF-8 is none"
    assert unit_of("x.txt") == unit_of("https://x.org/de.TXT.xz?token=1") == "line"
    path.write_bytes("text".encode("utf-16"))
    assert read(path) == []


def test_which_files_are_documents(tmp_path):
    assert unit_of("a/x.jsonl.gz") == unit_of("https://x.org/x.json.zst?token=1") == unit_of("x.JSON") == "line"
    assert unit_of("s3://b/x.parquet") == unit_of("x.arrow") == "row"
    assert unit_of("x.warc.wet.gz") is unit_of("x.gz") is unit_of("parquet") is None
    for name in ("b.jsonl.zst", "a.parquet", "sub/c.json.gz", "info.json", "d.warc.gz", "README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [Path(file).name for file in files_of(str(tmp_path))]
    assert found == ["a.parquet", "b.jsonl.zst", "d.warc.gz", "c.json.gz"]


@pytest.mark.parametrize("title", ["apart", "paragraph"])
def test_documents_and_wet_give_the_same(tmp_path, title):
    """The same pages as WET and as JSON lines: the same lines, title first where it is a paragraph."""
    texts = ["Titel\nZeile eins\nZeile zwei\n", "Anderer\r\n x \r\n"]
    wet = wet_file(tmp_path / "x.wet.gz", *(wet_record(n, text) for n, text in enumerate(texts)))
    records = [
        {"url": f"https://example.org/{n}", "date": "2019-01-15T23:59:59Z", "digest": f"sha1:X{n}",
         "title": text.split("\n")[0], "text": text.partition("\n")[2].rstrip("\r\n")}
        for n, text in enumerate(texts)
    ]  # fmt: skip
    rows = read(json_lines(tmp_path / "x.jsonl", *records), title=title)
    pages = read(wet, title=title)
    for row, page in zip(rows, pages, strict=True):
        assert row.lines == page.lines
        assert (row.url, row.date_download, row.digest) == (page.url, page.date_download, page.digest)
        assert (row.title, row.source_domain) == (page.title, page.source_domain)


def test_short_long_and_first_documents(tmp_path):
    path = json_lines(tmp_path / "x.jsonl", *({"text": text} for text in ("x", "y" * 400, "z\n" * 400, "a" * 300)))
    tally = Tally()
    found = read(path, tally, min_characters=300, max_line_characters=350, max_lines=200)
    assert [document.lines[0][0] for document in found] == ["a"]
    assert (tally.short, sum(tally.left_out.values())) == (1, 2)
    assert "(line 3)" in tally.named[1]
    assert len(read(path, documents=2)) == 2


def test_composed_and_decomposed_text_becomes_one(tmp_path):
    path = json_lines(tmp_path / "x.jsonl", {"text": "a\u0308", "title": "o\u0308"}, {"text": "ä", "title": "ö"})
    as_is, nfc = read(path), read(path, normal_form="nfc")
    assert [document.lines for document in as_is] == [["a\u0308"], ["ä"]]
    assert [(document.lines, document.title) for document in nfc] == [(["ä"], "ö")] * 2
    wet = wet_file(tmp_path / "x.wet.gz", wet_record(1, "o\u0308\na\u0308\n"))
    (page,) = read(wet, normal_form="nfc")
    assert (page.title, page.lines) == ("ö", ["ä"])


def test_documents_that_lie_elsewhere(tmp_path):
    """By HTTP through the cache, as WET; by another file system as a pattern."""
    packed = gzip.compress(json.dumps({"text": TEXT}).encode())
    table = io.BytesIO()
    parquet.write_table(pa.table({"text": [TEXT, TEXT]}), table)
    with serve() as server:
        server.files["own/x.jsonl.gz?key=secret"] = packed
        (document,) = read_all(f"{server.base}own/x.jsonl.gz?key=secret", tmp_path)
        assert (document.lines, document.segment) == (LINES, f"{server.base}own/x.jsonl.gz")
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/own/a.parquet", table.getvalue())
    memory.pipe_file("/own/b.jsonl.gz", packed)
    assert [document.lines for document in read_all("memory://own/*", tmp_path)] == [LINES] * 3


def read_all(crawl: str, folder: Path) -> list[Document]:
    reading = Read(min_characters=0, download=settings(folder))
    return list(read_crawl(files_of(crawl), reading, Tally()))
