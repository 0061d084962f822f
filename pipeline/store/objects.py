"""Objects at any address that fsspec knows: whole reads and writes, tried again until the storage answers.

No partial write can be seen: an object appears whole or not at all. ``create`` is the one conditional write, by which
one of several writers is chosen.
"""

from __future__ import annotations

import errno
import os
import random
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pipeline.errors import UnreachableError, UsageError, XlmrError
from pipeline.store.protocols import missing_package

Answer = TypeVar("Answer")

WAITS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0)
"""Seconds between the tries of one request: two minutes in all, as long as a lease lives without its owner."""
_S3 = {"connect_timeout": 10, "read_timeout": 30, "retries": {"total_max_attempts": 1}}
OPTIONS: dict[str, dict[str, Any]] = {"s3": {"config_kwargs": _S3}, "s3a": {"config_kwargs": _S3}}
"""What a file system is made with: a request that nobody answers ends soon, to be tried again."""
ONE_GET: dict[str, dict[str, Any]] = {"s3": {"max_concurrency": 1}, "s3a": {"max_concurrency": 1}}
"""How an object is read by one request: s3fs asks for its size first, to read large ones in parts."""
AT_ONCE = 16
"""Requests of one process that are under way at once."""


class UnconditionalError(Exception):
    """The storage, or fsspec's package for it, takes no conditional write."""


_FINAL = (
    FileNotFoundError,
    FileExistsError,
    IsADirectoryError,
    NotADirectoryError,
    TypeError,
    XlmrError,
    UnconditionalError,
)
"""What a further try does not change."""
_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "ClientAuthenticationError")


@dataclass(frozen=True)
class ObjectStatus:
    """Of an object: bytes, and when it was written by the clock of the storage, in seconds."""

    size: int
    modified: float


def read_object(address: str) -> bytes:
    """The bytes of an object. Errors: FileNotFoundError; XlmrError when the storage does not answer."""
    filesystem = filesystem_at(address)
    one_get = ONE_GET.get(address.partition("://")[0], {})
    content: bytes = trying(address, lambda: filesystem.cat_file(address, **one_get))
    return content


def write_object(address: str, content: bytes) -> None:
    """Write an object, in place of one that may be there."""
    filesystem = filesystem_at(address)
    _writing(address, lambda: filesystem.pipe_file(address, content))


def create_object(address: str, content: bytes) -> bool:
    """Write an object if there is none; whether it is ours. ``content`` must be one that no other writer has.

    An answer may be lost after the write: then the next try finds our own object, which is known by its bytes.
    Errors: UnconditionalError.
    """
    filesystem = filesystem_at(address)
    try:
        _writing(address, lambda: _create(filesystem, address, content))
    except FileExistsError:
        try:
            return read_object(address) == content
        except FileNotFoundError:  # whoever had it has given it back
            return False
    return True


def _create(filesystem: Any, address: str, content: bytes) -> None:
    try:
        filesystem.pipe_file(address, content, mode="create")
    except (TypeError, NotImplementedError) as error:
        raise UnconditionalError(str(error)) from error
    except OSError as error:
        # s3fs knows AWS' own answer only: that of other servers does not name the condition.
        answer = getattr(error.__cause__, "response", {})
        if answer.get("ResponseMetadata", {}).get("HTTPStatusCode") == 412:
            raise FileExistsError(address) from error
        if error.errno == errno.ENOSYS:
            raise UnconditionalError(str(error)) from error
        raise


def put_file(path: Path, address: str) -> None:
    """Copy a file of this machine to the storage."""
    filesystem = filesystem_at(address)
    _writing(address, lambda: filesystem.put_file(str(path), address))


def get_file(address: str, path: Path) -> None:
    """Copy an object to ``path``. What is cut short raises no error everywhere, so the caller compares checksums."""
    filesystem = filesystem_at(address)
    trying(address, lambda: filesystem.get_file(address, str(path)))


def copy_object(source: str, target: str) -> None:
    """Copy inside the storage: no byte comes here."""
    filesystem = filesystem_at(source)
    trying(source, lambda: filesystem.cp_file(source, target))


def object_status(address: str) -> ObjectStatus | None:
    """What is known of an object; None where there is none."""
    about = _info(address)
    return None if about is None or about["type"] == "directory" else ObjectStatus(int(about["size"]), _modified(about))


def something_at(address: str) -> bool:
    """Whether there is an object, or one below."""
    return _info(address) is not None


def _info(address: str) -> dict[str, Any] | None:
    filesystem = filesystem_at(address)
    try:
        about: dict[str, Any] = trying(address, lambda: filesystem.info(address))
    except FileNotFoundError:
        return None
    return about


def children_of(address: str) -> dict[str, bool]:
    """The names directly below an address, and whether each is a folder. Empty where nothing is."""
    filesystem = filesystem_at(address)
    try:
        found: list[dict[str, Any]] = trying(address, lambda: filesystem.ls(address, detail=True))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    here = filesystem._strip_protocol(address).rstrip("/")
    names = {about["name"].rstrip("/"): about["type"] == "directory" for about in found}
    return {name.rpartition("/")[2]: is_folder for name, is_folder in names.items() if name != here}


def sizes_below(address: str) -> dict[str, int]:
    """The bytes of every object below an address, by its name from there. One request for a thousand of them."""
    filesystem = filesystem_at(address)
    try:
        found: dict[str, dict[str, Any]] = trying(address, lambda: filesystem.find(address, detail=True))
    except FileNotFoundError:
        return {}
    start = len(filesystem._strip_protocol(address).rstrip("/")) + 1
    return {name[start:]: int(about["size"]) for name, about in found.items() if len(name) >= start}


def remove_objects(addresses: Iterable[str]) -> None:
    """Remove these; those that are not there count as removed."""
    at_once(_remove_object, addresses)


def _remove_object(address: str) -> None:
    filesystem = filesystem_at(address)
    try:
        trying(address, lambda: filesystem.rm_file(address))
    except FileNotFoundError:
        return


def at_once(function: Callable[[Any], Answer], items: Iterable[Any]) -> list[Answer]:
    """What ``function`` returns of each item, in order; several are asked for at once."""
    given = list(items)
    if len(given) <= 1:
        return [function(item) for item in given]
    with ThreadPoolExecutor(min(AT_ONCE, len(given))) as pool:
        return list(pool.map(function, given))


def filesystem_at(address: str) -> Any:
    """The file system of an address. Errors: UsageError, with what to install."""
    protocol = address.partition("://")[0]
    try:
        return _filesystem(protocol, _place(protocol, address), os.getpid())
    except ImportError as error:
        raise missing_package(address, error) from None
    except ValueError as error:
        raise UsageError(f"{address}: {error}", "write a path, or an address that fsspec knows") from None


def _place(protocol: str, address: str) -> tuple[tuple[str, Any], ...]:
    """What an address says beside bucket and name: a host, or an account of Azure."""
    import fsspec

    return tuple(sorted(fsspec.get_filesystem_class(protocol)._get_kwargs_from_urls(address).items()))


@cache
def _filesystem(protocol: str, place: tuple[tuple[str, Any], ...], process: int) -> Any:
    del process  # connections do not survive a fork
    import fsspec

    options = {**OPTIONS.get(protocol, {}), **dict(place)}
    return fsspec.filesystem(protocol, use_listings_cache=False, skip_instance_cache=True, **options)


def trying(address: str, function: Callable[[], Answer]) -> Answer:
    """What ``function`` returns, tried again while the storage fails.

    Errors: UnreachableError when the last try has failed too; XlmrError at once where the storage refuses us;
    FileNotFoundError and FileExistsError as they come.
    """
    for seconds in (*WAITS, None):
        try:
            return function()
        except _FINAL:
            raise
        except Exception as error:
            problem = " ".join(f"{type(error).__name__}: {error}".split())
            if isinstance(error, PermissionError) or type(error).__name__ in _CREDENTIALS:
                fix = "credentials come from the environment alone, as AWS_ACCESS_KEY_ID; check them"
                raise XlmrError(f"{address}: {problem}", fix) from error
            if seconds is None:
                fix = "run the same command again when the storage answers: what is complete is kept"
                raise UnreachableError(f"{address}: {problem}", fix) from error
        time.sleep(seconds * random.uniform(0.75, 1.25))
    raise AssertionError("the last try returns or raises")


def _writing(address: str, function: Callable[[], Any]) -> None:
    try:
        trying(address, function)
    except FileNotFoundError as error:
        problem = " ".join(str(error).split()) or "not there"
        raise XlmrError(f"{address}: {problem}", "make the bucket or container first, or name another") from error


def _modified(about: dict[str, Any]) -> float:
    for name in ("LastModified", "last_modified", "mtime", "updated", "modified", "created"):
        value = about.get(name)
        if isinstance(value, int | float):
            return float(value)
        if isinstance(value, str):
            from datetime import datetime

            return datetime.fromisoformat(value).timestamp()
        if value is not None:
            return float(value.timestamp())
    return 0.0
