"""A path at an address of object storage, as ``s3://bucket/runs``: what the core does with paths, done there.

It is a Path, so the manifests, marks and leases of a run are written by the same functions wherever it lives. There are
no folders: one is there if something lies below it. A function that needs a file of this machine gets a TypeError.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PosixPath
from typing import Any, NoReturn, TypeGuard

from pipeline.store.conditions import check_conditional_writes
from pipeline.store.objects import (
    children_of,
    copy_object,
    create_object,
    filesystem_at,
    get_file,
    object_status,
    put_file,
    read_object,
    remove_objects,
    sizes_below,
    something_at,
    write_object,
)

ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://[^/:]")
"""How the address of a folder begins: a protocol, and the name of a bucket, container or host."""


def is_address(text: str) -> bool:
    """Whether it is the address of a folder at object storage, and no path."""
    return bool(ADDRESS.match(text)) and not text.startswith(("file://", "local://")) and "::" not in text


def is_stored(path: Path) -> TypeGuard[StoredPath]:
    """Whether a path lies at object storage."""
    return isinstance(path, StoredPath)


class StoredPath(PosixPath):
    """``StoredPath("s3://bucket/runs") / "demo"``. The methods of Path that the core calls; others raise TypeError."""

    def __str__(self) -> str:
        protocol, _, rest = super().__str__().partition(":/")
        return f"{protocol}://{rest}"

    def __fspath__(self) -> NoReturn:
        raise TypeError(f"{self} is at an address, and a file of this machine is needed")

    @cached_property
    def address(self) -> str:
        """As fsspec takes it."""
        return str(self)

    def local(self, cache: Path) -> Path:
        """Where its copy on this machine lies, below the folder ``cache``."""
        return cache.joinpath(self.parts[0].rstrip(":"), *self.parts[1:])

    def absolute(self) -> StoredPath:
        """Itself."""
        return self

    def read_bytes(self) -> bytes:
        """The whole object. Errors: FileNotFoundError."""
        return read_object(self.address)

    def read_text(self, encoding: str | None = None, errors: str | None = None, newline: str | None = None) -> str:
        """The whole object as text."""
        del newline
        return self.read_bytes().decode(encoding or "utf-8", errors or "strict")

    def write_bytes(self, data: Any) -> int:
        """Write the object at once."""
        write_object(self.address, bytes(data))
        return len(data)

    def create(self, content: bytes) -> bool:
        """Write it if there is none; whether it is ours. ``content`` must be one that no other writer has.

        Errors: XlmrError where the storage would let two writers create it.
        """
        check_conditional_writes(self.parent.address)
        return create_object(self.address, content)

    def put(self, path: Path) -> None:
        """Copy a file of this machine here."""
        put_file(path, self.address)

    def fetch(self, path: Path) -> None:
        """Copy this to a file of this machine."""
        get_file(self.address, path)

    def copy_to(self, target: StoredPath) -> None:
        """Copy inside the storage."""
        copy_object(self.address, target.address)

    def sizes(self) -> dict[str, int]:
        """The bytes of every object below, by its name from here."""
        return sizes_below(self.address)

    def remove_tree(self) -> None:
        """Remove everything below."""
        remove_objects(f"{self.address}/{name}" for name in self.sizes())

    def open(self, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        """A stream to read. Errors: ValueError for another mode: objects are written whole."""
        if mode != "rb":
            raise ValueError(f"{self}: opened as {mode!r}, and objects are written whole")
        return filesystem_at(self.address).open(self.address, "rb")

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Size and time of an object; of a folder neither. Errors: FileNotFoundError."""
        del follow_symlinks
        status = object_status(self.address)
        if status is None:
            if not self.is_dir():
                raise FileNotFoundError(self.address)
            return os.stat_result((0o040755, 0, 0, 0, 0, 0, 0, 0, 0, 0))
        time = int(status.modified)
        return os.stat_result((0o100644, 0, 0, 1, 0, 0, status.size, time, time, time))

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        """Whether there is an object, or one below."""
        del follow_symlinks
        return something_at(self.address)

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Whether something lies below."""
        del follow_symlinks
        return bool(children_of(self.address))

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Whether there is an object."""
        del follow_symlinks
        return object_status(self.address) is not None

    def is_symlink(self) -> bool:
        """Never."""
        return False

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Nothing: folders come and go with what lies in them."""

    def touch(self, mode: int = 0o666, exist_ok: bool = True) -> None:
        """Write an empty object."""
        del mode, exist_ok
        write_object(self.address, b"")

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the object; one that is not there is none to complain of."""
        del missing_ok
        remove_objects([self.address])

    def iterdir(self) -> Iterator[StoredPath]:  # type: ignore[override]
        """What lies directly below, sorted."""
        return iter([self / name for name in sorted(children_of(self.address))])

    def glob(self, pattern: str, **kwargs: Any) -> Iterator[StoredPath]:  # type: ignore[override]
        """The paths of a pattern without ``**``, sorted: one listing for each folder that it may lie in."""
        assert not kwargs
        first, _, rest = pattern.partition("/")
        names = [name for name in sorted(children_of(self.address)) if fnmatch.fnmatchcase(name, first)]
        if not rest:
            return iter([self / name for name in names])
        if any(sign in rest for sign in "*?["):
            return iter([path for name in names for path in (self / name).glob(rest)])
        return iter([path for name in names if (path := self / name / rest).exists()])
