from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from s3_server import S3Server

from pipeline.errors import XlmrError
from pipeline.store import objects
from pipeline.store.path import StoredPath, is_address

ALL_FAULTS = {"busy": 0.15, "slow": 0.02, "cut": 0.15, "lost": 0.15}


@pytest.mark.parametrize(
    "text", ["s3://bucket/runs", "gs://b", "abfs://c@account.dfs.core.windows.net/r", "memory://r"]
)
def test_address_of_a_folder(text: str) -> None:
    assert is_address(text)
    assert str(StoredPath(text)) == text
    assert str(StoredPath(text) / "a" / "b.json") == f"{text}/a/b.json"


@pytest.mark.parametrize("text", ["runs", "/runs", "file:///runs", "C:/runs", "zip://a::s3://b/c", "s3:///runs"])
def test_no_address_of_a_folder(text: str) -> None:
    assert not is_address(text)


def test_objects_are_read_listed_and_removed(bucket: StoredPath, tmp_path: Path) -> None:
    folder = bucket / "a"
    (folder / "one.json").write_bytes(b"1")
    (folder / "b" / "two.json").write_bytes(b"22")
    assert (folder / "one.json").read_text() == "1"
    assert folder.sizes() == {"one.json": 1, "b/two.json": 2}
    assert [path.name for path in folder.iterdir()] == ["b", "one.json"]
    assert [str(path) for path in bucket.glob("*/b/*.json")] == [f"{folder}/b/two.json"]
    assert (folder / "b").is_dir()
    assert not (folder / "c").exists()
    assert (folder / "one.json").stat().st_size == 1
    (tmp_path / "file").write_bytes(b"333")
    (folder / "three").put(tmp_path / "file")
    (folder / "three").copy_to(folder / "four")
    (folder / "four").fetch(tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"333"
    folder.remove_tree()
    (folder / "one.json").unlink()
    assert folder.sizes() == {}
    with pytest.raises(FileNotFoundError):
        (folder / "one.json").read_bytes()


def test_local_functions_refuse_a_stored_path(bucket: StoredPath) -> None:
    with pytest.raises(TypeError, match="a file of this machine is needed"):
        shutil.copyfile(bucket / "x", bucket / "y")


def test_one_of_several_writers_creates(bucket: StoredPath) -> None:
    won: list[int] = []

    def create(number: int) -> None:
        if (bucket / "one").create(str(number).encode()):
            won.append(number)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [str(number).encode() for number in won] == [(bucket / "one").read_bytes()]


def test_every_fault_is_survived(s3: S3Server, bucket: StoredPath, tmp_path: Path, quick_tries: None) -> None:
    s3.faults = ALL_FAULTS
    content = bytes(range(256)) * 512
    (tmp_path / "file").write_bytes(content)
    made = 0
    # Faults come by chance: twelve files, and as many more as it takes until each kind has come.
    while made < 12 or (made < 200 and not all(s3.injected[kind] for kind in ALL_FAULTS)):
        made += 1
        path = bucket / f"{made}"
        assert path.create(f"mine {made}".encode())
        assert not path.create(f"yours {made}".encode())
        assert path.read_bytes() == f"mine {made}".encode()
        path.put(tmp_path / "file")
        path.fetch(tmp_path / "back")
        assert path.stat().st_size == len(content)
    assert len(bucket.sizes()) == made
    assert all(s3.injected[kind] for kind in ALL_FAULTS)


def test_what_is_wrong_is_one_line(s3: S3Server, bucket: StoredPath, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(XlmrError, match=r"s3://no-such-bucket/x: .*make the bucket"):
        StoredPath("s3://no-such-bucket/x").write_bytes(b"1")
    monkeypatch.setattr(objects, "WAITS", (0.0,))
    s3.faults = {"busy": 1.0}
    with pytest.raises(XlmrError, match=r"x: OSError: .*run the same command again"):
        (bucket / "x").read_bytes()
