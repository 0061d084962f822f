"""A file of the crawl that cannot be read is named in the error; the shards of the others are kept."""

from __future__ import annotations

import errno
import gzip
import json
import os
import random
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from corpus_crawl import wet_file, wet_record
from pyarrow import parquet

from corpus.crawl.download import LocalFile, open_here
from corpus.crawl.settings import Read
from corpus.crawl.tally import Tally
from corpus.crawl.wet import read_crawl
from pipeline.errors import XlmrError, explain_os_error
from pipeline.shards import MARKS
from pipeline.storage import expand, naming

UNREADABLE = "/proc/self/mem"
"""A regular file whose first byte gives EIO."""


@pytest.fixture
def crawl(small, tmp_path) -> Path:
    shutil.copytree(small / "crawl", tmp_path / "crawl")
    return tmp_path / "crawl"


def asked(crawl: Path) -> tuple[str, str]:
    return "--corpus.fetch.crawl", f"{crawl}/*"


def test_a_link_to_nothing(fresh, crawl):
    (crawl / "x.gz").symlink_to("/nowhere.gz")
    with pytest.raises(XlmrError, match=r"crawl/x\.gz: is a link to /nowhere\.gz, which is not there.*fetch\.crawl"):
        fresh.run(*asked(crawl), until="corpus.fetch")


def test_a_pipe_is_not_waited_for(fresh, crawl):
    os.mkfifo(crawl / "x.gz")
    with pytest.raises(XlmrError, match=r"crawl/x\.gz: is a pipe or a device, no regular file"):
        fresh.run(*asked(crawl), until="corpus.fetch")
    with pytest.raises(XlmrError, match=r"crawl/x\.gz: is a pipe"):
        open_here(str(crawl / "x.gz"))


def test_a_name_that_is_not_utf_8(fresh, crawl):
    Path(os.fsdecode(os.fsencode(crawl) + b"/x\xff.gz")).touch()
    with pytest.raises(XlmrError, match=r"crawl/x\\xff\.gz: the name of this file is not UTF-8; .*fetch\.crawl"):
        fresh.run(*asked(crawl), until="corpus.fetch")


def test_a_folder_is_no_file_of_a_pattern(crawl):
    files = expand(f"{crawl}/*")
    (crawl / "x.gz").mkdir()
    (crawl / "link.gz").symlink_to(crawl / "x.gz")
    assert expand(f"{crawl}/*") == files
    with pytest.raises(XlmrError, match=r"crawl/x\.gz: is a folder, and a file is meant"):
        open_here(str(crawl / "x.gz"))


def test_an_error_of_the_disk_is_named():
    with open_here(UNREADABLE) as stream, pytest.raises(XlmrError, match=f"{UNREADABLE}: Input/output error"):
        stream.read(1)


@pytest.mark.parametrize("name", ["x.warc.wet.gz", "x.jsonl.gz", "x.jsonl", "x.parquet"])
def test_an_error_of_the_disk_is_not_taken_for_damage(tmp_path, monkeypatch, name):
    texts = [random.Random(n).randbytes(40_000).hex() for n in range(20)]
    path = tmp_path / name
    if name == "x.parquet":
        parquet.write_table(pa.table({"text": texts}), path, row_group_size=5, compression="none")
    elif name == "x.warc.wet.gz":
        wet_file(path, *(wet_record(n, text) for n, text in enumerate(texts)))
    else:
        lines = "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()
        path.write_bytes(gzip.compress(lines) if name.endswith(".gz") else lines)

    class Worn(LocalFile):
        """After so many bytes the disk fails."""

        def read(self, size: int | None = -1) -> bytes:
            with naming(path):
                self._wear()
                return super().read(size)

        def readinto(self, buffer):
            with naming(path):
                self._wear()
                return super().readinto(buffer)

        def _wear(self) -> None:
            if 600_000 < self.tell() < 1_200_000:
                raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("corpus.crawl.download.LocalFile", Worn)
    with pytest.raises(XlmrError, match=f"{name}: Input/output error"):
        list(read_crawl([str(path)], Read(), Tally()))


def test_the_other_shards_are_kept(fresh, crawl, monkeypatch):
    bad = sorted(crawl.iterdir())[1]

    def fail(path):
        with naming(Path(path)):
            if Path(path) == bad:
                raise OSError(errno.EIO, "Input/output error")
        return open_here(path)

    monkeypatch.setattr("corpus.crawl.open_files.open_here", fail)
    with pytest.raises(XlmrError, match=rf"corpus\.hash: 1 of 3 shards failed \(shard-00001\): {bad}: Input/output"):
        fresh.run(*asked(crawl), until="corpus.hash")
    output = fresh.output("corpus.hash", *asked(crawl))
    assert len(list((output / MARKS).glob("*.json"))) == 2


def test_a_run_folder_that_is_read_only_is_named():
    error = explain_os_error(OSError(errno.EROFS, "Read-only file system", "/mnt/runs"))
    assert str(error) == "/mnt/runs: the file system is read-only; choose another run.directory"
