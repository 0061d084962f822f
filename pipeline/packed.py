"""Compressed files: whatever an unpacker raises for one that is damaged is one line that names the file."""

from __future__ import annotations

import lzma
import sys
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from isal.igzip_lib import IsalError

from pipeline.errors import XlmrError

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdError
else:
    from backports.zstd import ZstdError

DAMAGED: tuple[type[Exception], ...] = (  # type: ignore[assignment]
    EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, IsalError, ZstdError,
)  # fmt: skip
"""What gzip (fsspec takes isal's), bz2, lzma, zip and zstd raise for a file that is cut, damaged or of another form."""


@contextmanager
def unpacking(address: str) -> Iterator[None]:
    """The block reads the file at ``address``. Errors: XlmrError where it is not whole, or not what its name says."""
    try:
        yield
    except DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:  # the system's own refusal
            raise
        raise _unreadable(address, error) from None
    except RuntimeError as error:  # what zipfile raises for a password, or a method that it does not know
        if not address.endswith(".zip"):
            raise
        raise _unreadable(address, error) from None


def _unreadable(address: str, error: Exception) -> XlmrError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return XlmrError(f"{address}: not readable ({reason})", "it must be whole, and compressed as named")
