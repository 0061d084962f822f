"""Storages that create objects for several writers, and protocols whose package is not there: one line, at once."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractFileSystem

from pipeline.cli import main
from pipeline.errors import UsageError, XlmrError
from pipeline.lease import Lease
from pipeline.store import objects
from pipeline.store.path import StoredPath

if TYPE_CHECKING:
    from conftest import Toy
    from s3_server import S3Server


@pytest.mark.parametrize(
    ("conditions", "problem"),
    [
        ("ignored", "the storage ignores the condition of a write, and writes over what is there; name a bucket of"),
        ("not implemented", r"the storage refuses conditional writes \(.*\); name a bucket of a storage"),
    ],
)
def test_storage_without_conditional_writes_is_refused(
    stored_toy: Toy, bucket: StoredPath, s3: S3Server, conditions: str, problem: str
) -> None:
    s3.conditions = conditions
    with pytest.raises(XlmrError, match=rf"^{bucket}/runs/t/\.running: {problem}"):
        stored_toy.run()
    assert stored_toy.ran() == []
    assert bucket.sizes() == {}, "neither the try nor a log is left"
    assert not list(stored_toy.folder.rglob("*.jsonl")), "on this machine neither"
    s3.conditions = "as AWS"
    stored_toy.run()


def test_bucket_is_asked_once(stored_toy: Toy, bucket: StoredPath, s3: S3Server) -> None:
    stored_toy.run()
    stored_toy.run("--toy.power.exponent", "3")
    assert len({path for _, path in s3.requests if path.endswith(".probe?")}) == 1
    assert s3.count("PUT", ".probe") == 2
    assert s3.count("GET", ".probe") + s3.count("HEAD", ".probe") + s3.count("DELETE", ".probe") <= 2


def test_refusal_need_not_name_the_condition(bucket: StoredPath, s3: S3Server) -> None:
    """As that of MinIO and others, which s3fs takes for a wrong argument."""
    s3.conditions = "as others"
    with Lease(bucket / "x.lease"), pytest.raises(XlmrError, match="is being written by process"):
        Lease(bucket / "x.lease").__enter__()


def test_faults_do_not_disturb_the_try(bucket: StoredPath, s3: S3Server, quick_tries: None) -> None:
    s3.faults = {"busy": 0.3, "lost": 0.3, "cut": 0.3}
    for number in range(5):
        with Lease(bucket / f"{number}.lease"):
            pass
    assert all(s3.injected[kind] for kind in ("busy", "lost"))


class LooksFirst(MemoryFileSystem):
    """Creates as most packages of fsspec do: a look, then a write."""

    protocol = "looksfirst"
    pipe_file = AbstractFileSystem.pipe_file


class KnowsNoMode(MemoryFileSystem):
    """A package that is older than conditional writes."""

    protocol = "knowsnomode"

    def pipe_file(self, path: str, value: bytes) -> None:
        with self.open(path, "wb") as file:
            file.write(value)


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        (LooksFirst, "fsspec's package for it creates objects without a condition"),
        (KnowsNoMode, r"the storage refuses conditional writes \(.*mode"),
    ],
)
def test_package_without_conditional_writes_is_refused(kind: Any, problem: str) -> None:
    fsspec.register_implementation(kind.protocol, kind, clobber=True)
    path = StoredPath(f"{kind.protocol}://runs/x.lease")
    with pytest.raises(XlmrError, match=problem):
        Lease(path).take()
    assert path.parent.sizes() == {}


def test_memory_has_conditional_writes() -> None:
    path = StoredPath("memory://conditional/x.lease")
    with Lease(path), pytest.raises(XlmrError, match="is being written by process"):
        Lease(path).__enter__()


MISSING = [
    ("s3://b/runs", "s3fs", r"pip install 'xlmr-pipeline\[s3\]'"),
    ("gs://b/runs", "gcsfs", r"pip install 'xlmr-pipeline\[gs\]'"),
    ("abfs://c@a.dfs.core.windows.net/runs", "adlfs", r"pip install 'xlmr-pipeline\[abfs\]'"),
    ("oss://b/runs", "ossfs", "install what fsspec's pages name for oss://"),
]


@pytest.fixture
def no_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the packages is installed."""
    for name in ("s3fs", "gcsfs", "adlfs", "ossfs"):
        monkeypatch.setitem(sys.modules, name, None)
    imported: dict[str, Any] = {}
    for name in ("_registry", "registry"):  # one is a view of the other
        monkeypatch.setattr(sys.modules["fsspec.registry"], name, imported)
    objects._filesystem.cache_clear()


@pytest.mark.parametrize(("address", "package", "fix"), MISSING)
def test_missing_package_is_named_with_what_installs_it(
    toy: Toy, no_packages: None, address: str, package: str, fix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match=rf"^{address}\S*: .*[Ii]nstall {package} .*; {fix}$"):
        toy.run("--run.directory", address)
    assert main(["plan", "configs/demo.yaml", "--run.directory", address]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert package in line


def test_missing_package_of_an_input_is_named(no_packages: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "configs/demo.yaml", "--corpus.fetch.crawl", "gs://b/*.warc.wet.gz"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "gcsfs" in line
    assert "pip install 'xlmr-pipeline[gs]'" in line


def test_an_address_may_name_its_host() -> None:
    assert "node:9870" in objects.filesystem_at("webhdfs://node:9870/runs").url
    assert objects.filesystem_at("memory://a") is objects.filesystem_at("memory://b")
