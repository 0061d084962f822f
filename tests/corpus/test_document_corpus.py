"""A corpus out of JSON lines and Parquet: the same as out of WET, by either profile, and rebuilt from its metadata."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from corpus.crawl.tally import Tally
from corpus.crawl.wet import read_documents
from corpus.minify.minify import minify
from corpus.minify.reproduce import reproduce
from pipeline.manifest import read_manifest

BY_PARAGRAPH = ("--corpus.mine.unit", "paragraph", "--corpus.read.title", "paragraph")


@pytest.fixture(scope="module")
def own(small, tmp_path_factory) -> Path:
    """The pages of the small crawl: a file of it as JSON lines, the next as Parquet, the third as OSCAR has them."""
    folder = tmp_path_factory.mktemp("own")
    for number, path in enumerate(sorted((small / "crawl").iterdir())):
        pages = list(read_documents([str(path)], 0, 2**24, Tally()))
        records = [
            {"url": page.url, "date": page.date_download, "digest": page.digest, "title": page.title,
             "text": "\n".join(page.lines).rstrip("\n"), "language": "xx"}
            for page in pages
        ]  # fmt: skip
        name = path.name.split(".")[0]
        if number == 1:
            parquet.write_table(pa.Table.from_pylist(records), folder / f"{name}.parquet", row_group_size=40)
        else:
            lines = "".join(json.dumps(record) + "\n" for record in records)
            (folder / f"{name}.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    return folder


def rows(folder: Path) -> list[dict]:
    found = [row for path in sorted(folder.glob("*/*.arrow")) for row in pa.ipc.open_file(path).read_all().to_pylist()]
    # Where it was read, and how many bytes and empty last lines the record had, are of the format.
    return [
        {k: v for k, v in row.items() if k not in {"cc_segment", "original_nlines", "original_length"}} for row in found
    ]


@pytest.mark.parametrize("words", [(), BY_PARAGRAPH], ids=["ccnet", "cc100"])
def test_documents_make_the_corpus_that_wet_makes(done, fresh, own, words):
    done.run(*words)
    fresh.run(*words, "--corpus.fetch.crawl", str(own))
    corpus = fresh.output("corpus.regroup", *words, "--corpus.fetch.crawl", str(own))
    expected = rows(done.output("corpus.regroup", *words))
    assert len(expected) > 100
    assert rows(corpus) == expected


def test_text_of_ones_own_is_rebuilt_from_its_metadata(fresh, own, tmp_path):
    """No address, a column of another name, decomposed characters: all that reproduce has to know again."""
    crawl = tmp_path / "crawl"
    crawl.mkdir()
    pages = [
        json.loads(line)
        for path in sorted(own.glob("*.gz"))
        for line in gzip.decompress(path.read_bytes()).splitlines()
    ]
    texts = [page["text"].replace("ä", "a\u0308").replace("ü", "u\u0308") for page in pages]
    assert any("a\u0308" in text for text in texts)
    (crawl / "x.jsonl").write_text("".join(json.dumps({"body": text}) + "\n" for text in texts))
    words = (
        "--corpus.fetch.crawl",
        str(crawl),
        "--corpus.read.columns.text",
        "body",
        "--corpus.read.normal_form",
        "nfc",
    )
    fresh.run(*words)
    corpus = fresh.output("corpus.regroup", *words)
    assert not any("a\u0308" in row["raw_content"] for row in rows(corpus))
    minify(corpus, tmp_path / "m", workers=1)
    reproduce(tmp_path / "m", str(crawl), tmp_path / "again", workers=1)
    manifest = read_manifest(corpus)
    assert manifest is not None
    for name in manifest.files:
        if name.endswith((".arrow", "reading.json")):
            assert (tmp_path / "again" / name).read_bytes() == (corpus / name).read_bytes()
