"""Hashes on disk: .npy files of uint64 that are written chunk by chunk, and read without mapping what is not asked for.

A file is the same as numpy's own ``save`` writes; only no more than one chunk of it is ever in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]


class HashWriter:
    """Appends hashes to an .npy file; its header gets the length at the end."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.length = 0
        self._file = path.open("wb")
        self._write_header()

    def __enter__(self) -> HashWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._file.seek(0)
            self._write_header()
        self._file.close()

    def _write_header(self) -> None:
        # numpy leaves space for any length, so the header keeps its size.
        header = {"descr": "<u8", "fortran_order": False, "shape": (self.length,)}
        np.lib.format.write_array_header_1_0(self._file, header)

    def append(self, hashes: Hashes) -> None:
        """Write some more."""
        self._file.write(np.ascontiguousarray(hashes, "<u8").data.cast("B"))
        self.length += len(hashes)


def map_hashes(path: Path) -> Hashes:
    """The file, mapped into memory."""
    hashes: Hashes = np.load(path, mmap_mode="r", allow_pickle=False)
    return hashes


def read_into(target: Hashes, path: Path, start: int) -> None:
    """Fill ``target`` with the hashes of the file from number ``start`` on. Errors: OSError where it is too short."""
    with path.open("rb") as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise OSError(f"{path}: not a file of hashes")
        np.lib.format.read_array_header_1_0(file)
        file.seek(8 * start, 1)
        view = target.data.cast("B")
        while len(view):
            read = file.readinto(view)  # no more than 2 GiB at a time
            if not read:
                raise OSError(f"{path}: shorter than its header says")
            view = view[read:]


def read_chunks(path: Path, start: int, stop: int, size: int) -> Iterator[Hashes]:
    """The hashes ``start`` to ``stop`` of a sorted file in chunks of about ``size``; equal ones are never parted."""
    carried = np.empty(0, np.uint64)
    while start < stop:
        chunk = np.empty(min(size, stop - start), np.uint64)
        read_into(chunk, path, start)
        start += len(chunk)
        chunk = np.concatenate([carried, chunk])
        whole = len(chunk) if start == stop else int(np.searchsorted(chunk, chunk[-1]))
        carried = chunk[whole:]
        yield chunk[:whole]
