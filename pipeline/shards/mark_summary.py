"""One file with the marks of a stage that several tasks share, so that none has to open the marks of all others.

Each line is one complete shard, its mark packed. Whoever completes some appends them, under a lock of the file; the
others read what is new since they last looked. It may lack marks, of a task that died before it appended: who takes
over looks for those.
At object storage nothing can be appended: each addition is an object of its own, and one listing shows which are new.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from pipeline.shards.shard import ShardFolder
from pipeline.storage import remove_tree
from pipeline.store.objects import AT_ONCE, at_once
from pipeline.store.path import is_stored

SUMMARY = ".summary.jsonl"
SUMMARIES = ".summaries"
"""Beside the folder of marks at object storage: a folder for each call of ``map_shards``."""


@dataclass(frozen=True)
class SummaryLine:
    """A complete shard: its name, what its files depend on, and its packed mark."""

    __pydantic_config__: ClassVar = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    name: str
    identity: str | None
    packed: bytes


_LINE = TypeAdapter(SummaryLine)


class MarkSummary:
    """The summary of one ``map_shards`` of one output, as one task sees it."""

    def __init__(self, folder: ShardFolder) -> None:
        self._path = folder.marks / SUMMARY
        self._objects = folder.output / SUMMARIES / folder.marks.name
        self._known: set[str] = set()
        self._read_to = 0
        self._file: tuple[int, int] | None = None

    def append(self, lines_of: Iterable[SummaryLine]) -> None:
        """Add these; nobody reads half of a line."""
        lines = b"".join(_LINE.dump_json(line) + b"\n" for line in lines_of)
        if not lines:
            return
        if is_stored(self._objects):
            (self._objects / f"{uuid.uuid4().hex}.jsonl").write_bytes(lines)
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab+") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            end = handle.seek(0, os.SEEK_END)
            if end and os.pread(handle.fileno(), 1, end - 1) != b"\n":
                handle.write(b"\n")  # of a task that died while it wrote
            handle.write(lines)
            handle.flush()
            os.fsync(handle.fileno())

    def new(self) -> Iterator[SummaryLine]:
        """What was appended since the last call. One question where nothing was."""
        if is_stored(self._objects):
            new = [path for path in self._objects.iterdir() if path.name not in self._known]
            self._known |= {path.name for path in new}
            for first in range(0, len(new), AT_ONCE):
                for content in at_once(_content, new[first : first + AT_ONCE]):
                    yield from _read(content.splitlines())
            return
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return
        file = (status.st_dev, status.st_ino)
        if file != self._file or status.st_size < self._read_to:  # another run has begun it anew
            self._file, self._read_to = file, 0
        if status.st_size == self._read_to:
            return
        with self._path.open("rb") as handle:
            handle.seek(self._read_to)
            for line in handle:
                if not line.endswith(b"\n"):
                    return
                self._read_to += len(line)
                yield from _read([line])


def _content(path: Path) -> bytes:
    """Empty where it has been removed since it was listed: another task has finished the stage."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _read(lines: Iterable[bytes]) -> Iterator[SummaryLine]:
    for line in lines:
        with suppress(ValidationError):  # half of a line
            yield _LINE.validate_json(line)


def remove_summaries(marks: Path) -> None:
    """Remove those of all calls below the folder of marks: what they say may not hold any more."""
    if is_stored(marks):
        remove_tree(marks.with_name(SUMMARIES))
        return
    for path in (marks / SUMMARY, *marks.glob(f"*/{SUMMARY}")):
        path.unlink(missing_ok=True)
