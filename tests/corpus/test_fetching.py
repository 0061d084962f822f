"""Files that lie elsewhere: downloads that go wrong in every way, and the cache that they come into."""

from __future__ import annotations

import errno
import fcntl
import gzip
import multiprocessing
import os
import random
import socket
import time
from email.utils import formatdate
from pathlib import Path

import fsspec
import pytest
from corpus_crawl import wet_record
from crawl_server import CrawlServer, cuts, fetch_many, hangs_up, lies, put_dump, says, serve, settings

from corpus.crawl import download, source
from corpus.crawl.cache import Cache
from corpus.crawl.fetch import all_shards
from corpus.crawl.settings import Fetch, Read
from corpus.crawl.tally import Tally
from corpus.crawl.wet import read_crawl
from pipeline.errors import XlmrError

NOISE = random.Random(0).randbytes(3_000_000)
"""No compressed file: only its bytes count."""
DAMAGED = NOISE[:-1] + bytes([NOISE[-1] ^ 1])
MEMBERS = b"".join(gzip.compress(wet_record(n, random.Random(n).randbytes(3000).hex()), mtime=0) for n in range(49))
"""A file of members of nearly one size. Their number is odd: a cut where one ends could not be seen."""


@pytest.fixture
def server():
    with serve() as crawl:
        yield crawl


def get(server: CrawlServer, folder: Path, path: str = "x", **values) -> bytes:
    with Cache(settings(folder, **values)) as cache, cache.open(server.base + path) as stream:
        return stream.read()


def copies(folder: Path) -> list[Path]:
    return sorted((folder / "cache/files").iterdir())


# --- downloads -------------------------------------------------------------------------------------------------------


def test_a_cut_connection_goes_on_where_it_ended(server, tmp_path):
    server.files["x"] = NOISE
    server.faults["x"] = [cuts(1_000_000), cuts(500_000)]
    assert get(server, tmp_path) == NOISE
    assert server.requests == [("x", None), ("x", "bytes=1000000-"), ("x", "bytes=1500000-")]


@pytest.mark.parametrize("fault", [says(503), says(429), says(500), hangs_up, cuts(0)])
def test_passing_trouble_is_waited_out(server, tmp_path, fault):
    server.files["x"] = NOISE[:1000]
    server.faults["x"] = [fault] * 3
    assert get(server, tmp_path) == NOISE[:1000]
    assert len(server.requests) == 4


def test_403_is_waited_out_where_it_means_too_often(server, tmp_path, monkeypatch):
    server.files["x"] = NOISE[:1000]
    server.faults["x"] = [says(403)] * 2
    with pytest.raises(XlmrError, match="403 Forbidden; check the address and your permissions"):
        get(server, tmp_path)
    assert len(server.requests) == 1
    assert "data.commoncrawl.org" in source.SAY_403_TOO_OFTEN
    monkeypatch.setattr(source, "SAY_403_TOO_OFTEN", {"127.0.0.1"})
    assert get(server, tmp_path) == NOISE[:1000]
    assert len(server.requests) == 3


def test_waits_grow_and_are_bounded(server, tmp_path, monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr(download, "pause", lambda seconds, stop: waits.append(seconds))
    server.files["x"] = b"x"
    server.faults["x"] = [says(503)] * 5
    get(server, tmp_path, attempts=6, first_wait=10, longest_wait=75)
    for wait, (shortest, longest) in zip(waits, [(5, 15), (10, 30), (20, 60), (40, 75), (75, 75)], strict=True):
        assert shortest <= wait <= longest


@pytest.mark.parametrize("date", [False, True])
def test_what_the_server_asks_for_is_waited(server, tmp_path, date):
    server.files["x"] = b"x"

    def asks(handler, content):
        handler.status(429, Retry_After=formatdate(time.time() + 2, usegmt=True) if date else "1")  # whole seconds
        return True

    server.faults["x"] = [asks]
    get(server, tmp_path, longest_wait=9.0)
    assert server.times[1] - server.times[0] >= 0.95


@pytest.mark.parametrize(("code", "times"), [(404, 1), (401, 1), (410, 1), (503, 4)])
def test_trouble_that_stays_is_one_line(server, tmp_path, code, times):
    server.files["x"] = b"x"
    server.faults["x"] = [says(code)] * 9
    with pytest.raises(XlmrError, match=rf"127.0.0.1:\d+/x: {code} "):
        get(server, tmp_path)
    assert len(server.requests) == times


def test_password_comes_from_the_netrc_file(tmp_path, monkeypatch):
    import httpx

    (tmp_path / "netrc").write_text("machine h.example login me password word\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    auth = source._client.__wrapped__(1.0).auth
    for host, header in (("h.example", "Basic bWU6d29yZA=="), ("other.example", None)):
        sent = next(auth.sync_auth_flow(httpx.Request("GET", f"https://{host}/x")))
        assert sent.headers.get("Authorization") == header


def test_nobody_is_there(tmp_path):
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        with pytest.raises(XlmrError, match=rf"{base}x: ConnectError: .*\(4 attempts\)"):
            get(CrawlServer(base), tmp_path)


def test_a_server_without_ranges(server, tmp_path):
    server.files["x"] = NOISE
    server.ranges = False
    server.faults["x"] = [cuts(1_000_000), cuts(2_000_000)]
    assert get(server, tmp_path) == NOISE


def test_a_server_without_versions_is_never_gone_on_with(server, tmp_path):
    server.files["x"] = NOISE
    server.tags = False
    server.faults["x"] = [cuts(1_000_000)]
    assert get(server, tmp_path) == NOISE
    assert server.requests == [("x", None), ("x", None)]


def test_a_file_that_changes_while_it_comes(server, tmp_path):
    old, new = NOISE[:2_000_000], NOISE[1_000_000:]
    server.files["x"] = old

    def cut_and_change(handler, content):
        handler.give(content, cut=1_500_000)
        server.files["x"] = new
        return True

    server.faults["x"] = [cut_and_change]
    assert get(server, tmp_path) == new


def test_another_range_than_was_asked_for(server, tmp_path):
    server.files["x"] = NOISE

    def wrong_range(handler, content):
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes 5-{len(content) - 1}/{len(content)}")
        handler.send_header("ETag", handler.tag(content))
        handler.send_header("Content-Length", str(len(content) - 5))
        handler.end_headers()
        handler.wfile.write(content[5:])
        return True

    server.faults["x"] = [cuts(1_000_000), wrong_range]
    assert get(server, tmp_path) == NOISE


@pytest.mark.parametrize(
    "lie",
    [lambda n: n + 1000, lambda n: n - 1000, lambda n: n // 2, lambda n: 20],
    ids=["more", "less", "half", "hardly any"],
)
def test_a_wrong_content_length(server, tmp_path, lie):
    """Too much is a connection that ends early. Too little shows by the member that is cut."""
    server.files["x"] = MEMBERS
    server.faults["x"] = [lies(lie)]
    assert get(server, tmp_path) == server.files["x"]
    assert len(server.requests) in (2, 3)


def test_a_file_that_is_cut_at_its_home_is_taken_as_it_is(server, tmp_path):
    server.files["x"] = MEMBERS[:-100]
    assert get(server, tmp_path) == server.files["x"]
    assert len(server.requests) == 2


def test_a_length_that_is_not_declared(server, tmp_path):
    server.files["x"] = NOISE

    def chunked(handler, content):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for start in range(0, len(content), 100_000):
            block = content[start : start + 100_000]
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(block), block))
        handler.wfile.write(b"0\r\n\r\n")
        return True

    server.faults["x"] = [chunked]
    assert get(server, tmp_path) == NOISE


def test_a_part_that_a_killed_process_left_is_gone_on_with(server, tmp_path):
    server.files["x"] = NOISE
    server.faults["x"] = [cuts(2_000_000), says(404)]
    with pytest.raises(XlmrError):
        get(server, tmp_path)
    assert get(server, tmp_path) == NOISE
    assert server.requests[-1] == ("x", "bytes=2000000-")


# --- the cache -------------------------------------------------------------------------------------------------------


def test_a_copy_is_fetched_once_and_again_when_it_vanished_or_was_damaged(server, tmp_path):
    server.files["x"] = NOISE
    for _ in range(3):
        assert get(server, tmp_path) == NOISE
    assert len(server.requests) == 1
    (copy,) = copies(tmp_path)
    copy.unlink()
    assert get(server, tmp_path) == NOISE
    assert len(server.requests) == 2
    status = copy.stat()
    copy.write_bytes(DAMAGED)
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns + 1))  # a clock of the file system's may stand still
    assert get(server, tmp_path) == NOISE
    assert len(server.requests) == 3
    status = copy.stat()
    copy.write_bytes(DAMAGED)
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert get(server, tmp_path, verify=True) == NOISE
    assert len(server.requests) == 4
    os.utime(copy)  # touched, but the same
    assert get(server, tmp_path) == NOISE
    assert len(server.requests) == 4


def test_a_file_that_changed_since_is_refused(server, tmp_path):
    server.files["x"] = NOISE
    get(server, tmp_path)
    copies(tmp_path)[0].unlink()
    server.files["x"] = NOISE[::-1]
    with pytest.raises(XlmrError, match="its checksum is not that of the first fetch"):
        get(server, tmp_path)


def test_the_least_recently_used_goes_and_never_one_in_use(server, tmp_path):
    for name in "abcd":
        server.files[name] = name.encode() * 1000
    few = settings(tmp_path, limit_bytes=2500)
    with Cache(few) as cache:
        with cache.open(server.base + "a") as a:
            for name in "bcd":
                cache.open(server.base + name).close()
            assert {path.read_bytes()[:1] for path in copies(tmp_path)} == {b"a", b"d"}
            assert a.read() == b"a" * 1000
        cache.open(server.base + "d").close()
        cache.open(server.base + "b").close()
        assert {path.read_bytes()[:1] for path in copies(tmp_path)} == {b"d", b"b"}


def test_a_file_larger_than_the_cache_is_read_all_the_same(server, tmp_path):
    server.files["x"] = NOISE
    assert get(server, tmp_path, limit_bytes=10) == NOISE
    server.files["y"] = b"y"
    get(server, tmp_path, "y", limit_bytes=10)
    assert [path.stat().st_size for path in copies(tmp_path)] == [1]


def test_many_processes_share_the_cache_and_its_connections(server, tmp_path):
    """Each fetches all, in another order, through two connections, into a cache that holds three of six."""
    names = "abcdef"
    server.files |= {name: name.encode() * 10_000 for name in names}
    server.slowness = 0.02
    spawn = multiprocessing.get_context("spawn")
    answers = spawn.Queue()
    few = settings(tmp_path, connections=2, limit_bytes=30_000)
    orders = [names, names[::-1], names[3:] + names[:3]]
    workers = [spawn.Process(target=fetch_many, args=(few, server.base, o, answers)) for o in orders]
    for worker in workers:
        worker.start()
    got = [answers.get(timeout=240) for _ in range(3 * len(names))]
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert sorted(got) == sorted((name, server.files[name]) for name in names for _ in orders)
    assert server.busiest <= 2
    assert sum(path.stat().st_size for path in copies(tmp_path)) <= 30_000
    assert not list((tmp_path / "cache/parts").iterdir())


def test_a_dead_process_gives_its_slot_back(server, tmp_path):
    server.files["x"] = b"x"
    folder = tmp_path / "cache/slots"
    folder.mkdir(parents=True)
    child = os.fork()
    if child == 0:
        handle = (folder / "0.slot").open("ab")
        fcntl.flock(handle, fcntl.LOCK_EX)
        (folder / "held").touch()
        time.sleep(0.3)
        os._exit(1)
    while not (folder / "held").exists():
        time.sleep(0.01)
    assert get(server, tmp_path, connections=1) == b"x"
    assert os.waitpid(child, 0)[1] != 0


def test_no_address_leads_out_of_the_cache(server, tmp_path):
    for path in ("../../../x", "%2e%2e%2fx", "a?b=../..", "\x00", "é" * 300):
        with pytest.raises(XlmrError):
            get(server, tmp_path, path)
    assert {path.name for path in tmp_path.iterdir()} == {"cache"}
    names = {path.relative_to(tmp_path / "cache").parts[0] for path in tmp_path.glob("cache/**/*")}
    assert names <= {"files", "parts", "known", "slots", "evict.lock"}


# --- shards ----------------------------------------------------------------------------------------------------------


def test_a_shard_whose_file_cannot_be_had_fails_and_the_others_are_kept(server, fresh, tmp_path):
    paths = put_dump(server, "D", 3)
    del server.files[paths[1]]
    words = (
        "--corpus.fetch.dumps", "D", "--corpus.fetch.base", server.base,
        "--corpus.fetch.lists", str(tmp_path / "lists"),
        "--corpus.read.download.folder", str(tmp_path / "cache"),
    )  # fmt: skip
    with pytest.raises(XlmrError, match=rf"1 of 3 shards failed.*D-00001.*http.*{paths[1]}: 404 Not Found; check"):
        fresh.run(*words, until="corpus.hash")
    server.files[paths[1]] = server.files[paths[0]]
    del server.requests[:]
    assert fresh.run(*words, until="corpus.hash")["corpus.hash"].manifest.counts["documents"] == 6
    assert [path for path, _ in server.requests] == [paths[1]]


def test_reading_stops_at_so_many_documents_of_a_shard(server, tmp_path):
    paths = [server.base + path for path in put_dump(server, "D", 3)]
    read = Read(documents=3, download=settings(tmp_path))
    documents = list(read_crawl(paths, read, Tally()))
    assert [document.lines[0] for document in documents] == ["D 0 0", "D 0 1", "D 1 0"]
    assert len(list(read_crawl(paths, Read(download=settings(tmp_path)), Tally()))) == 6


def test_any_address_of_fsspec(tmp_path):
    """Memory stands for S3 here: opened, read by parts, gone on with."""
    files = fsspec.filesystem("memory")
    content = gzip.compress(wet_record(1, "title\n" + "a line of some words\n" * 30))
    files.pipe("/bucket/crawl-data/D/wet.paths.gz", gzip.compress(b"crawl-data/D/a.gz\n"))
    files.pipe("/bucket/crawl-data/D/a.gz", content)
    fetch = Fetch(dumps="D", base="memory://bucket", lists=tmp_path / "lists")
    shards = all_shards(fetch)
    assert shards == {"D-00000": ["memory://bucket/crawl-data/D/a.gz"]}
    (document,) = read_crawl(shards["D-00000"], Read(download=settings(tmp_path)), Tally())
    assert document.segment == "crawl-data/D/a.gz"
    files.rm("/bucket", recursive=True)
    (again,) = read_crawl(shards["D-00000"], Read(download=settings(tmp_path)), Tally())
    assert again.lines == document.lines
    with pytest.raises(XlmrError, match="memory://bucket/nothing: FileNotFoundError"):
        list(read_crawl(["memory://bucket/nothing"], Read(download=settings(tmp_path)), Tally()))


def test_a_full_disk_is_said_and_what_has_come_is_kept(server, tmp_path, monkeypatch):
    server.files["x"] = NOISE
    whole = download._write

    def full(opened, part, stop):
        part.stream.write(next(opened.blocks))
        part.stream.flush()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download, "_write", full)
    with pytest.raises(XlmrError, match="cache: the disk is full; free some space"):
        get(server, tmp_path)
    monkeypatch.setattr(download, "_write", whole)
    assert get(server, tmp_path) == NOISE
    assert server.requests[-1][1] is not None
