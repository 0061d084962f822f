"""A crawl that changed, or is not there, is noticed by document and line when a corpus is rebuilt out of it."""

from __future__ import annotations

import gzip
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pytest
from mined_corpus import contents, rows_of
from minified_corpus import a_line, change, missing
from pyarrow import parquet

from corpus.crawl.settings import Read
from corpus.minify.minified import INDEX, Minified
from corpus.minify.rebuild import Crawl
from corpus.minify.reproduce import reproduce
from corpus.output.card import card
from corpus.output.export import export
from pipeline.errors import XlmrError
from pipeline.storage import read_json, write_json


def test_a_line_that_was_tampered_with_is_noticed(made, tmp_path, capsys):
    row, line = a_line(made)
    crawl = made.copy_of_crawl(tmp_path / "crawl")
    change(crawl / Path(row["cc_segment"]).name, line.encode(), line[:-1].encode() + b"#")
    with pytest.raises(
        XlmrError, match=r"1 of [\d,]+ documents are missing from this crawl, or changed; they are listed in"
    ):
        reproduce(made.minified, str(crawl), tmp_path / "out", workers=1)
    assert "1 changed" in capsys.readouterr().err
    (found,) = missing(tmp_path / "out")
    assert (found["url"], found["what"]) == (row["url"], "changed")
    assert found["why"] == f"line {row['line_ids'][-1]:,} is another"
    rebuilt = {r["url"]: r for p in (tmp_path / "out").glob("*/*.arrow") for r in rows_of(p)}
    assert row["url"] not in rebuilt
    assert len(rebuilt) > 100


def test_what_is_gone_is_named_and_tried_again(made, tmp_path):
    """A segment and a document are missing; then they are back."""
    crawl = made.copy_of_crawl(tmp_path / "crawl")
    first, second, _ = sorted(crawl.iterdir())
    first.rename(tmp_path / "aside")
    row = next(r for p in made.corpus.glob("en/*.arrow") for r in rows_of(p) if r["cc_segment"].endswith(second.name))
    whole = second.read_bytes()
    change(second, f"WARC-Target-URI: {row['url']}\r".encode(), f"WARC-Target-URI: {row['url'][:-1]}?\r".encode())
    with pytest.raises(XlmrError, match="the same command tries them again"):
        reproduce(made.minified, str(crawl), tmp_path / "out", workers=1)
    found = missing(tmp_path / "out")
    assert {one["what"] for one in found} == {"gone"}
    assert [one["url"] for one in found if one["cc_segment"].endswith(second.name)] == [row["url"]]
    of_first = [one for one in found if one["cc_segment"].endswith(first.name)]
    assert len(of_first) == Minified.open(made.minified).segments[0].rows
    assert of_first[0]["why"] == f"its segment is not at {first}"

    (tmp_path / "aside").rename(first)
    second.write_bytes(whole)
    reproduce(made.minified, str(crawl), tmp_path / "out", workers=1)
    assert contents(tmp_path / "out") == contents(made.corpus)
    assert missing(tmp_path / "out") == []


def test_a_document_with_another_digest_is_changed(made, tmp_path):
    row, _ = a_line(made)
    crawl = made.copy_of_crawl(tmp_path / "crawl")
    change(crawl / Path(row["cc_segment"]).name, row["digest"].encode(), b"sha1:" + b"A" * (len(row["digest"]) - 5))
    with pytest.raises(XlmrError):
        reproduce(made.minified, str(crawl), tmp_path / "out", workers=1)
    assert [(one["url"], one["why"]) for one in missing(tmp_path / "out")] == [(row["url"], "has another digest")]


def test_out_of_a_web_server(made, tmp_path):
    """Each segment is asked for once; one that the server does not have is gone, not a failure."""
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_request(self, *words: object) -> None:
            asked.append(self.path)

        def log_error(self, *words: object) -> None:
            pass

    crawl = made.copy_of_crawl(tmp_path / "crawl")
    last = sorted(crawl.iterdir())[-1]
    last.unlink()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=crawl)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        with pytest.raises(XlmrError, match="are missing from this crawl, or changed"):
            reproduce(made.minified, address, tmp_path / "out", cache=tmp_path / "cache", workers=1)
        server.shutdown()
    assert sorted(set(asked)) == sorted(f"/{path.name}" for path in made.crawl.iterdir())
    assert len(asked) == len(set(asked))
    assert {(one["what"], one["cc_segment"].endswith(last.name)) for one in missing(tmp_path / "out")} == {
        ("gone", True)
    }


def test_out_of_the_files_of_a_pattern(made, tmp_path):
    """Files are found by the end of their path, the longer the better; the crawl may have been moved."""
    files = sorted(made.crawl.iterdir())
    for number, file in enumerate(files):
        (tmp_path / f"{number}" / "crawl").mkdir(parents=True)
        shutil.copy(file, tmp_path / f"{number}" / "crawl" / file.name)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / files[0].name).write_bytes(b"not this one")
    reproduce(made.minified, f"{tmp_path}/[0-9]/crawl/*.gz", tmp_path / "out", workers=1)
    assert contents(tmp_path / "out") == contents(made.corpus)
    with pytest.raises(XlmrError, match=r"nothing/\*\.gz: no such file"):
        reproduce(made.minified, f"{tmp_path}/nothing/*.gz", tmp_path / "none", workers=1)
    found = Crawl(f"{tmp_path}/**/*.gz", Read()).address(f"0/crawl/{files[0].name}")
    assert found == str(tmp_path / "0" / "crawl" / files[0].name)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"name": "crawl-data/../../etc/passwd"}, "'crawl-data/../../etc/passwd' is not a crawl's path"),
        ({"part": "../../part-00000.parquet"}, "is not a file beside it"),
    ],
)
def test_names_that_leave_their_folder_are_refused(made, tmp_path, change, problem):
    shutil.copytree(made.minified, tmp_path / "m")
    index = read_json(tmp_path / "m" / INDEX)
    index["segments"][0] |= change
    write_json(tmp_path / "m" / INDEX, index)
    with pytest.raises(XlmrError, match=problem):
        reproduce(tmp_path / "m", str(made.crawl), tmp_path / "out", workers=1)
    with pytest.raises(XlmrError, match="is not a crawl's path"):
        Crawl("https://example.org/", Read()).address("crawl-data/../../x.gz")


def test_a_language_that_is_a_path_is_refused(made, tmp_path):
    shutil.copytree(made.minified, tmp_path / "m")
    part = next((tmp_path / "m").glob("*.parquet"))
    table = parquet.read_table(part)
    place = table.schema.get_field_index("language")
    table = table.set_column(place, "language", pa.array(["../../x"] * len(table)))
    groups = [parquet.ParquetFile(part).metadata.row_group(n).num_rows for n in range(3)]
    with parquet.ParquetWriter(part, table.schema) as writer:
        for number, rows in enumerate(groups):
            writer.write_table(table.slice(sum(groups[:number]), rows), row_group_size=rows)
    with pytest.raises(XlmrError, match=r"'\.\./\.\./x' is not a language code"):
        reproduce(tmp_path / "m", str(made.crawl), tmp_path / "out", workers=1)


def test_no_path_of_this_machine_is_in_what_is_passed_on(made, small, tmp_path, capsys):
    """Segments, cards and exports say where a file is in the crawl, not where the crawl was."""
    export(made.corpus, tmp_path / "jsonl", to="jsonl", workers=1)
    card(made.corpus)
    shown = capsys.readouterr().out
    texts = [gzip.decompress(path.read_bytes()) for path in (tmp_path / "jsonl").glob("*.gz")]
    texts += [path.read_bytes() for path in (tmp_path / "jsonl").glob("README.md")]
    assert len(texts) > 1
    assert not any(str(small.parent).encode() in text for text in texts)
    assert str(small.parent) not in shown.replace(str(tmp_path), "")
    assert {segment.name for segment in Minified.open(made.minified).segments} == {
        path.name for path in made.crawl.iterdir()
    }
