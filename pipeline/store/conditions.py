"""Whether a storage refuses to create an object that is there: without that, two runs would write one output.

An S3 server that does not know ``If-None-Match`` writes over the object and says nothing. So the first who creates an
object in a bucket tries it out: two conditional writes of one object, of which the second must be refused.
"""

from __future__ import annotations

import uuid
from typing import Any

from pipeline.errors import XlmrError
from pipeline.store.objects import UnconditionalError, create_object, filesystem_at, remove_objects

FIX = (
    "name a bucket of a storage that has conditional writes, as S3 (If-None-Match), Google's and Azure's, "
    "or a folder that it is mounted at"
)


def check_conditional_writes(folder: str) -> None:
    """Errors: XlmrError where an object below the address ``folder`` cannot be created by one of several writers.

    A bucket is asked once by a process: four requests.
    """
    protocol, _, path = folder.partition("://")
    bucket = f"{protocol}://{path.partition('/')[0]}"
    if bucket not in _known:
        _try_out(folder)
        _known.add(bucket)


_known: set[str] = set()


def _try_out(folder: str) -> None:
    probe = f"{folder}/.{uuid.uuid4().hex}.probe"
    if not _has_condition(filesystem_at(folder)):
        raise XlmrError(f"{folder}: fsspec's package for it creates objects without a condition", FIX)
    try:
        first, second = (create_object(probe, uuid.uuid4().hex.encode()) for _ in range(2))
    except UnconditionalError as error:
        raise XlmrError(f"{folder}: the storage refuses conditional writes ({error})", FIX) from error
    finally:
        remove_objects([probe])
    if not first or second:
        raise XlmrError(f"{folder}: the storage ignores the condition of a write, and writes over what is there", FIX)


def _has_condition(filesystem: Any) -> bool:
    """Whether its class has more than fsspec's default, which looks first and writes then."""
    from fsspec.asyn import AsyncFileSystem
    from fsspec.spec import AbstractFileSystem

    if isinstance(filesystem, AsyncFileSystem):
        return type(filesystem)._pipe_file is not AsyncFileSystem._pipe_file
    return type(filesystem).pipe_file is not AbstractFileSystem.pipe_file
