"""Compressed files that cannot be unpacked: one line that names the file."""

from __future__ import annotations

import zipfile
from pathlib import Path

import fsspec
import pytest

from pipeline.errors import XlmrError
from pipeline.packed import unpacking


def read(path: Path) -> bytes:
    with unpacking(str(path)), fsspec.open(str(path), "rb", compression="infer") as stream:
        return bytes(stream.read())


def flagged(path: Path, *, encrypted: bool = False, method: int | None = None) -> Path:
    """A zip whose member says that it is encrypted, or packed by another method."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "some text")
    data = bytearray(path.read_bytes())
    for signature, flags, how in ((b"PK\3\4", 6, 8), (b"PK\1\2", 8, 10)):
        start = data.index(signature)
        data[start + flags] |= encrypted
        if method is not None:
            data[start + how] = method
    path.write_bytes(data)
    return path


def test_a_zip_with_a_password_is_a_line(tmp_path):
    with pytest.raises(XlmrError, match=r"a\.zip: not readable \(.*(encrypted|password)"):
        read(flagged(tmp_path / "a.zip", encrypted=True))


def test_a_zip_by_another_method_is_a_line(tmp_path):
    with pytest.raises(XlmrError, match=r"a\.zip: not readable"):
        read(flagged(tmp_path / "a.zip", method=97))


def test_a_whole_zip_is_read(tmp_path):
    assert read(flagged(tmp_path / "a.zip")) == b"some text"


def test_other_errors_of_the_block_stay_what_they_are():
    with pytest.raises(RuntimeError, match="a fault"), unpacking("a.gz"):
        raise RuntimeError("a fault")
