"""Files of the crawl that are gone, and addresses that cannot be read: what is left out, what is said."""

from __future__ import annotations

import errno
import gzip
import sys

import fsspec
import pyarrow as pa
import pytest
from crawl_server import put_dump, says, serve, settings
from fsspec.registry import _registry

from corpus.crawl.cache import Cache
from corpus.crawl.download import GoneError
from corpus.crawl.missing import FOLDER
from corpus.crawl.settings import Read
from corpus.crawl.source import RefusedError, open_source
from corpus.crawl.tally import Tally
from corpus.crawl.wet import read_crawl
from pipeline.errors import UsageError, XlmrError
from pipeline.storage import expand

LEAVE_OUT = ("--corpus.read.missing", "leave_out")


@pytest.fixture
def server():
    with serve() as crawl:
        yield crawl


@pytest.fixture
def memory():
    files = fsspec.filesystem("memory")
    files.pipe("/bucket/x", b"x" * 1000)
    yield files
    files.rm("/bucket", recursive=True)


def texts(folder) -> list[str]:
    return [text for path in sorted(folder.glob("*.arrow")) for text in column(path)]


def column(path) -> list[str]:
    return pa.ipc.open_file(str(path)).read_all().column("raw_content").to_pylist()


def test_a_dump_without_the_files_that_are_gone(small, done, tmp_path):
    first, second, third = (path.read_bytes() for path in sorted((small / "crawl").iterdir()))
    for dump, names in {"D": "abc", "E": "ac"}.items():
        folder = tmp_path / "crawl-data" / dump
        folder.mkdir(parents=True)
        (folder / "wet.paths.gz").write_bytes(
            gzip.compress("".join(f"crawl-data/{dump}/{name}.gz\n" for name in names).encode())
        )
        (folder / "a.gz").write_bytes(first)
        (folder / "c.gz").write_bytes(third)
    lost = tmp_path / "crawl-data/D/b.gz"
    words = ("--corpus.fetch.base", str(tmp_path), "--corpus.fetch.shards", "1", "--corpus.fetch.dumps")
    with pytest.raises(XlmrError, match=rf"{lost}: no such file; .* corpus\.read\.missing: leave_out"):
        done.run(*words, "D", until="corpus.hash")
    plan = done.run(*words, "D", *LEAVE_OUT, until="corpus.mine")
    hashed = plan["corpus.hash"].manifest
    assert hashed.counts["missing_files"] == 1
    assert f"{lost}: is gone; left out" in hashed.warnings
    assert hashed.warnings[-1].startswith("1 of 3 files of the crawl are gone and left out")
    other = done.run(*words, "E", *LEAVE_OUT, until="corpus.mine")
    assert "missing_files" not in other["corpus.hash"].manifest.counts
    assert texts(plan["corpus.mine"].output) == texts(other["corpus.mine"].output) != []

    lost.write_bytes(second)  # it is there again
    assert done.run(*words, "D", until="corpus.hash")["corpus.hash"].manifest.build == hashed.build
    (plan["corpus.hash"].output / FOLDER / "D-00000.json").unlink()
    again = done.run(*words, "D", until="corpus.hash")["corpus.hash"].manifest
    assert "missing_files" not in again.counts
    assert again.counts["documents"] > hashed.counts["documents"]


@pytest.mark.parametrize("gone", [[0], [1], [2], [0, 1, 2]], ids=str)
def test_the_files_that_are_there_are_read(server, tmp_path, gone):
    paths = put_dump(server, "D", 3)
    for number in gone:
        del server.files[paths[number]]
    read = Read(download=settings(tmp_path))
    missing: list[str] = []
    documents = list(read_crawl([server.base + path for path in paths], read, Tally(), missing))
    assert missing == [server.base + paths[number] for number in gone]
    assert len(documents) == 2 * (3 - len(gone))
    with pytest.raises(GoneError, match=f"{paths[gone[0]]}: 404 Not Found"):
        list(read_crawl([server.base + path for path in paths], read, Tally()))


def test_a_file_that_is_not_to_be_had_now_is_not_gone(server, tmp_path):
    (path,) = put_dump(server, "D", 1)
    missing: list[str] = []
    for code in (503, 401):
        server.faults[path] = [says(code)] * 4
        with pytest.raises(XlmrError, match=str(code)):
            list(read_crawl([server.base + path], Read(download=settings(tmp_path)), Tally(), missing))
    assert missing == []


def test_an_address_that_needs_what_is_not_installed(fresh, monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(_registry, "s3", raising=False)  # another test of this process may have used it
    line = r"s3://a/b\.gz: .*s3fs.*; pip install 'xlmr-pipeline\[s3\]'"
    with pytest.raises(UsageError, match=line):
        fresh.run("--corpus.fetch.crawl", "s3://a/b.gz", until="corpus.fetch")
    with pytest.raises(UsageError, match=rf"corpus\.language_models\.text: {line}"):
        fresh.run("--corpus.language_models.text", "s3://a/b.gz")
    with pytest.raises(UsageError, match=r"nowhere://a: .*an address that fsspec knows"):
        expand("nowhere://a")


def test_an_error_of_a_remote_file_system_is_one_line(memory, monkeypatch):
    def refuse(*words, **options):
        raise RuntimeError("Unable to locate\ncredentials")

    monkeypatch.setattr(type(memory), "info", refuse)
    with pytest.raises(XlmrError, match="memory://bucket/x: RuntimeError: Unable to locate credentials; check"):
        expand("memory://bucket/x")


def test_the_trouble_of_whoever_writes_is_not_the_sources(memory, tmp_path, monkeypatch):
    def write() -> None:
        with open_source("memory://bucket/x", 0, None, 5.0) as opened:
            assert next(opened.blocks) == b"x" * 1000
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write()
    tried = []

    def deny(self, path, *words, **options):
        tried.append(path)
        raise PermissionError("Forbidden")

    monkeypatch.setattr(type(memory), "_open", deny)
    with Cache(settings(tmp_path)) as cache, pytest.raises(XlmrError, match="PermissionError: Forbidden; check"):
        cache.open("memory://bucket/x")
    assert len(tried) == 1


def test_a_source_that_fails_while_it_is_read_is_tried_again(memory, monkeypatch):
    def reset(*words):
        raise ConnectionResetError("by the peer")

    with open_source("memory://bucket/x", 0, None, 5.0) as opened:
        monkeypatch.setattr("fsspec.implementations.memory.MemoryFile.read", reset)
        with pytest.raises(RefusedError, match="ConnectionResetError: by the peer") as caught:
            next(opened.blocks)
    assert caught.value.passing
