"""Dumps by their names: their lists, a choice of their shards, and that a dump is not asked about file by file."""

from __future__ import annotations

import gzip
import json
import socket

import pytest
from crawl_server import put_dump, serve, settings
from hypothesis import given
from hypothesis import strategies as st

from corpus.crawl.addresses import address_of, public_segment, segment_of
from corpus.crawl.dumps import files_of, outside_files, root_of
from corpus.crawl.fetch import all_shards, deal_out, dump_of, read_shards
from corpus.crawl.newest import newest_dump
from corpus.crawl.settings import Fetch, Read
from corpus.crawl.tally import Tally
from corpus.crawl.wet import read_crawl
from pipeline.errors import UnreachableError, UsageError, XlmrError
from pipeline.plan import make_plan
from pipeline.storage import expand
from pipeline.waiting import waiting_at_most


@pytest.fixture
def server():
    with serve() as crawl:
        yield crawl


def test_a_dump_by_its_name(server, tmp_path):
    paths = put_dump(server, "CC-MAIN-2019-09", 7)
    put_dump(server, "CC-MAIN-2019-13", 7)
    words = {"base": server.base, "lists": tmp_path / "lists", "dumps": ["CC-MAIN-2019-09", "CC-MAIN-2019-13"]}
    shards = all_shards(Fetch(**words, shards=3, pick="1:"))
    assert list(shards) == [f"CC-MAIN-2019-{w}-{n:05d}" for w in ("09", "13") for n in (1, 2)]
    assert shards["CC-MAIN-2019-09-00001"] == [server.base + path for path in paths[2:4]]
    assert [dump_of(name) for name in shards] == ["CC-MAIN-2019-09"] * 2 + ["CC-MAIN-2019-13"] * 2
    assert [path for path, _ in server.requests] == [f"crawl-data/CC-MAIN-2019-{w}/wet.paths.gz" for w in ("09", "13")]


def test_a_run_over_a_dump_counts_its_list_and_not_its_files(server, fresh, tmp_path):
    paths = put_dump(server, "CC-MAIN-2019-09", 4)
    words = (
        "--corpus.fetch.dumps", "[CC-MAIN-2019-09]", "--corpus.fetch.base", server.base, "--corpus.fetch.pick", "0:2",
        "--corpus.fetch.lists", str(tmp_path / "lists"), "--corpus.read.download.folder", str(tmp_path / "cache"),
    )  # fmt: skip
    plan = fresh.run(*words, until="corpus.hash")
    asked = [path for path, _ in server.requests]
    assert sorted(asked) == sorted(["crawl-data/CC-MAIN-2019-09/wet.paths.gz", *paths[:2]])
    assert plan["corpus.fetch"].manifest.counts["files"] == 2
    assert plan["corpus.hash"].manifest.counts["documents"] == 4
    assert read_shards(fresh.output("corpus.fetch", *words)).keys() == {
        "CC-MAIN-2019-09-00000",
        "CC-MAIN-2019-09-00001",
    }
    server.files.clear()  # neither planning nor reading again asks for anything
    del server.requests[:]
    again = (*words, "--corpus.read.min_characters", "10", "--corpus.read.download.connections", "3")
    fresh.run(*again, until="corpus.hash")
    assert server.requests == []


def test_how_files_are_fetched_is_in_no_key(fresh):
    plain, otherwise = fresh.output("corpus.hash"), fresh.output("corpus.hash", "--corpus.read.download.attempts", "3")
    assert plain == otherwise
    assert plain != fresh.output("corpus.hash", "--corpus.read.max_lines", "9")


def test_a_local_mirror_is_read_in_place(server, tmp_path):
    paths = put_dump(server, "CC-MAIN-2019-09", 2)
    for path, content in server.files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    fetch = Fetch(dumps="CC-MAIN-2019-09", base=str(tmp_path))
    (_, files), *_ = all_shards(fetch).items()
    assert files == [str(tmp_path / paths[0])]
    read = Read(download=settings(tmp_path))
    documents = list(read_crawl(files, read, Tally()))
    assert [document.segment for document in documents] == [paths[0]] * 2
    assert not (tmp_path / "cache").exists()

    elsewhere = Read(download=settings(tmp_path, mirror=server.base))
    assert [d.lines for d in read_crawl(files, elsewhere, Tally())] == [d.lines for d in documents]
    assert len(list((tmp_path / "cache/files").iterdir())) == 1


@pytest.mark.parametrize(
    ("pick", "taken"),
    [
        ("0:2", [0, 1]),
        ("::4", [0, 4, 8]),
        ("-2:", [8, 9]),
        ("3", [3]),
        ("-1", [9]),
        ("5:99", [5, 6, 7, 8, 9]),
        (2, [2]),
    ],
)
def test_a_choice_of_shards(tmp_path, pick, taken):
    for n in range(10):
        (tmp_path / f"{n}.gz").touch()
    shards = all_shards(Fetch(crawl=f"{tmp_path}/*.gz", pick=pick))
    assert list(shards) == [f"shard-{n:05d}" for n in taken]


@pytest.mark.parametrize("end", ["", "/"])
def test_a_folder_is_its_wet_and_warc_files(tmp_path, end):
    crawl = tmp_path / "crawl"
    for name in ("b.warc.wet.gz", "a.warc.gz", "segment/c.wet", "notes.txt", "wet.paths.gz"):
        (crawl / name).parent.mkdir(parents=True, exist_ok=True)
        (crawl / name).touch()
    files = [file for (file,) in all_shards(Fetch(crawl=f"{crawl}{end}")).values()]
    assert files == [f"{crawl}/{name}" for name in ("a.warc.gz", "b.warc.wet.gz", "segment/c.wet")]
    named = [file for pattern in outside_files(Fetch(crawl=f"{crawl}{end}")) for file in expand(pattern)]
    assert sorted(named) == files
    (tmp_path / "empty").mkdir()
    with pytest.raises(XlmrError, match="empty: no WET or WARC files or documents are in this folder"):
        all_shards(Fetch(crawl=f"{tmp_path}/empty"))


def test_a_folder_and_a_pattern_are_the_same_corpus(fresh, small):
    fresh.run(until="corpus.hash")
    plan = fresh.run("--corpus.fetch.crawl", str(small / "crawl"), until="corpus.hash")
    assert plan["corpus.hash"].manifest.counts["documents"] > 0
    assert read_shards(plan["corpus.fetch"].output) == read_shards(fresh.output("corpus.fetch"))


@given(st.integers(1, 300), st.integers(1, 300))
def test_dealing_out_loses_nothing(files, shards):
    names = [str(n) for n in range(files)]
    if shards > files:
        with pytest.raises(XlmrError, match="cannot fill"):
            deal_out(names, shards)
        return
    dealt = deal_out(names, shards)
    assert [name for part in dealt.values() for name in part] == names
    assert {len(part) for part in dealt.values()} <= {files // shards, -(-files // shards)}


@given(st.sampled_from(["https://data.commoncrawl.org/", "s3://commoncrawl", "/mnt/x", "there"]), st.text(max_size=20))
def test_a_segment_is_the_same_at_every_base(base, rest):
    segment = f"crawl-data/{rest}"
    address = address_of(segment, base)
    assert address.startswith(base)
    if "crawl-data/" not in rest:
        assert segment_of(address) == segment
    assert segment_of(f"/x/my-crawl-data-{rest}".replace("crawl-data/", "")) != segment


@pytest.mark.parametrize(
    "line",
    ["../../etc/passwd", "crawl-data/../../etc/passwd", "/etc/passwd", "https://example.org/x", "crawl-data/a\x1bb"],
)
def test_a_list_that_leads_elsewhere(server, tmp_path, line):
    server.files["crawl-data/D/wet.paths.gz"] = gzip.compress(f"crawl-data/fine\n{line}\n".encode())
    with pytest.raises(XlmrError, match="is not a crawl's path"):
        all_shards(Fetch(dumps="D", base=server.base, lists=tmp_path / "lists"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "404 Not Found"),
        (b"\x1f\x8b\x08 no gzip", "not a complete gzip file"),
        (gzip.compress(b"crawl-data/a\n" * 99, mtime=0)[:-9], "truncated"),
        (gzip.compress(b"", mtime=0), "lists no files"),
        (gzip.compress(bytes(2**29), mtime=0), "too long for a list"),
    ],
)
def test_a_list_that_is_none(server, tmp_path, content, words):
    if content is not None:
        server.files["crawl-data/D/wet.paths.gz"] = content
    with pytest.raises(XlmrError, match=words):
        all_shards(Fetch(dumps="D", base=server.base, lists=tmp_path / "lists"))


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "x y", "CC\n"])
def test_names_that_are_no_dumps(fresh, name):
    with pytest.raises(UsageError, match=r"corpus\.fetch\.dumps"):
        fresh.config("--corpus.fetch.dumps", json.dumps([name]))


def test_a_choice_that_is_none(tmp_path):
    (tmp_path / "a.gz").touch()
    for pick in ("0:0", "7"):
        with pytest.raises(XlmrError, match="takes none of 1 shards"):
            all_shards(Fetch(crawl=f"{tmp_path}/*.gz", pick=pick))
    for pick in ("a:b", "1:2:0", "1:2:3:4", 992, ""):
        with pytest.raises(ValueError, match="pick"):
            Fetch(pick=pick)


def test_crawl_and_dumps_are_not_both_read(fresh):
    with pytest.raises(UsageError, match=r"corpus\.fetch: crawl \(.*\) and dumps \(A, B, …\) are both set"):
        fresh.dag.load_config(fresh.yaml, ["--corpus.fetch.dumps", "[A, B, C]"])
    assert fresh.dag.load_config(fresh.yaml, ["--corpus.fetch.dumps", "[]"]).corpus.fetch.crawl
    with pytest.raises(UsageError, match=r"set crawl, dumps or index\.files"):
        fresh.dag.load_config(fresh.yaml, ["--corpus.fetch.crawl", ""])


def test_cc_nets_name_of_a_dump_gets_a_hint(fresh):
    with pytest.raises(UsageError, match="2019-09 is called CC-MAIN-2019-09"):
        fresh.config("--corpus.fetch.dumps", "[2019-09]")


def test_a_plan_does_not_wait_for_a_server_that_is_silent(fresh, tmp_path, monkeypatch, capsys):
    """It says what it waits for; a run would wait on."""
    monkeypatch.setattr("pipeline.waiting.QUIET_SECONDS", 0.02)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        base = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        words = (
            "--corpus.fetch.dumps", "[D]", "--corpus.fetch.base", base, "--corpus.fetch.lists", str(tmp_path / "lists")
        )  # fmt: skip
        config = fresh.config(*words)
        left_out: dict[str, XlmrError] = {}
        with waiting_at_most(0.1):
            make_plan(fresh.dag, config, left_out=left_out)
    assert "the list of D at http" in left_out["corpus.fetch"].problem
    assert "no answer within 0.1 s" in left_out["corpus.fetch"].problem
    assert "waiting for the list of D at http" in capsys.readouterr().err


def test_the_folder_of_this_machine_is_no_part_of_a_segment(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    for crawl in (f"{tmp_path}/c/*.gz", f"{tmp_path}/c/", f"{tmp_path}/c", f"{tmp_path}/c/a.gz", "../c/*.gz"):
        (tmp_path / "c").mkdir(exist_ok=True)
        (tmp_path / "c" / "a.gz").touch()
        (tmp_path / "c" / "a.wet").touch()
        assert {segment_of(file, root_of(crawl)) for file in files_of(crawl)} <= {"a.gz", "a.wet"}
    assert segment_of(f"file://{tmp_path}/c/a.gz", root_of(f"file://{tmp_path}/c/*.gz")) == "a.gz"
    assert root_of("s3://bucket/*.gz") == root_of("https://x.org/a.gz") == ""
    assert segment_of("c/a.gz", root_of("c/*.gz")) == "c/a.gz"
    assert segment_of("/data/crawl-data/D/a.gz", "/data/") == "crawl-data/D/a.gz"


def test_keys_to_an_address_are_no_part_of_a_corpus():
    assert public_segment("https://me:secret@x.org:80/a/b.gz?Signature=key#x") == "https://x.org:80/a/b.gz"
    assert public_segment("https://x.org/crawl-data/D/a.gz") == "crawl-data/D/a.gz"
    assert public_segment("s3://bucket/a.gz") == "s3://bucket/a.gz"


def test_the_newest_dump_of_a_listing(server, tmp_path):
    names = ["CC-MAIN-2026-05", "CC-MAIN-2026-43", "CC-MAIN-2025-51", "CC-MAIN-2009-2010"]
    listing = json.dumps([{"id": name, "cdx-api": "x"} for name in names])
    server.files["collinfo.json"] = listing.encode()
    (tmp_path / "list.json").write_text(listing)
    assert newest_dump(f"{server.base}collinfo.json") == newest_dump(str(tmp_path / "list.json")) == "CC-MAIN-2026-43"
    with pytest.raises(XlmrError, match="404") as caught:
        newest_dump(f"{server.base}nothing.json")
    assert not isinstance(caught.value, UnreachableError)
    server.faults["collinfo.json"] = [lambda handler, _: handler.status(503) or True]
    with pytest.raises(UnreachableError, match="503"):  # a flow tries again
        newest_dump(f"{server.base}collinfo.json")
    for content in ("<html>", "{}", '[{"name": "CC-MAIN-2026-43"}]', "[1]", "[]"):
        (tmp_path / "list.json").write_text(content)
        with pytest.raises(XlmrError, match=r"list\.json: (is no list of dumps|names no dump)"):
            newest_dump(str(tmp_path / "list.json"))
    with pytest.raises(XlmrError, match="no such file"):
        newest_dump(str(tmp_path / "none.json"))
