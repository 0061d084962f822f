"""The content of a labelled file: bytes unpacked as its name says, then text, then lines.

A file that is not whole, or not what its name says, is one line that names it.
"""

from __future__ import annotations

import errno
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO

from pipeline.errors import XlmrError

UTF8 = ("utf-8-sig",)
UTF8_OR_LATIN1 = ("utf-8-sig", "latin-1")
"""Old files: whole as UTF-8 if they can be read so (copies were converted), else latin-1 as published."""

COMPRESSIONS = ("", ".gz", ".xz", ".bz2", ".zip")


@contextmanager
def opened(address: str) -> Iterator[IO[bytes]]:
    """The unpacked bytes of a file: .gz, .xz, .bz2, a .zip of one file, or as they stand.

    Errors: XlmrError for a file that is not there, or not readable; OSError where the system refuses it.
    """
    import fsspec

    try:
        if _is_zip(address):
            with (
                fsspec.open(address, "rb") as raw,
                zipfile.ZipFile(raw) as archive,
                archive.open(_only_member(address, archive)) as handle,
            ):
                yield handle
        else:
            with fsspec.open(address, "rb", compression="infer") as handle:
                yield handle
    except (FileNotFoundError, XlmrError) as error:
        if isinstance(error, XlmrError):
            raise
        raise XlmrError(f"{address}: no such file", "check the path") from None
    except Exception as error:  # each unpacker has errors of its own for what is cut, damaged, encrypted or no archive
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise XlmrError(f"{address}: not readable ({reason})", "it must be whole, and compressed as named") from None


def read_text(address: str, encodings: Sequence[str] = UTF8) -> str:
    """The whole file, in the first of ``encodings`` that fits it. Errors: XlmrError naming the file."""
    with opened(address) as handle:
        content = handle.read()
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError as error:
            fault = error
        except LookupError:
            raise XlmrError(f"{address}: there is no encoding {encoding!r}", "utf-8 and latin-1 are usual") from None
    row = content.count(b"\n", 0, fault.start) + 1
    raise XlmrError(f"{address}, row {row}: not {fault.encoding}", "name the file's encoding")


def lines_of(text: str) -> Iterator[tuple[int, str]]:
    """(row from 1, line). Only a line feed ends a line: texts hold U+0085 and U+2028, old files end in CR LF."""
    for row, line in enumerate(text.split("\n"), 1):
        yield row, line.removesuffix("\r")


def _is_zip(address: str) -> bool:
    import fsspec

    _, path = fsspec.core.url_to_fs(address)
    return str(path).lower().endswith(".zip")


def _only_member(address: str, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """The one file of an archive; the side files that macOS adds do not count."""
    found = [one for one in archive.infolist() if not one.is_dir() and not one.filename.startswith("__MACOSX/")]
    if len(found) != 1:
        raise XlmrError(f"{address}: holds {len(found)} files, not one", "unpack it and name the file")
    return found[0]
