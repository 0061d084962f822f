"""What a worker on any machine needs before it does shards of a run at an address: copies where the run has them.

Functions of shards name files by their paths in the run's copies. So ``run.cache`` is the same path on every machine:
one folder that they share, or a folder of its own on each, to which a worker brings what it lacks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from pipeline.errors import XlmrError
from pipeline.json_file import CLOSED, InnerPath, read_record
from pipeline.manifest import FileRecord
from pipeline.store.copies import Copies
from pipeline.store.path import StoredPath


@dataclass(frozen=True)
class MadeFiles:
    """Files that a stage has made before these shards, by their name in its output."""

    __pydantic_config__: ClassVar = CLOSED

    files: dict[InnerPath, FileRecord] = field(default_factory=dict)


@dataclass(frozen=True)
class NeededCopies:
    """The stage's inputs, and what it has made so far as the object ``made`` says. Picklable, and small."""

    cache: Path
    cache_bytes: int
    output: StoredPath
    inputs: tuple[StoredPath, ...]
    made: StoredPath | None

    def bring(self) -> None:
        """Fetch what this machine lacks; once in a process for all shards of a call.

        Errors: XlmrError where something is missing, damaged, or the cache cannot be written.
        """
        if _USED and _USED[0][0] == self:
            return
        while _USED:
            _USED.pop()[1].release()
        copies = Copies(self.cache, self.cache_bytes)
        try:
            self._bring(copies)
        except OSError as error:
            copies.release()
            fix = "run.cache has to be a path that every worker can write"
            raise XlmrError(f"{error.filename or self.cache}: {error.strerror or error}", fix) from error
        except BaseException:
            copies.release()
            raise
        _USED.append((self, copies))

    def _bring(self, copies: Copies) -> None:
        copies.begin(self.output, anew=False)
        for source in self.inputs:
            copies.bring(source)
        if self.made is not None:
            made = read_record(MadeFiles, self.made, "run the same command again")
            copies.fetch(self.output, made.files)


_USED: list[tuple[NeededCopies, Copies]] = []
"""The one that this process has brought, and its locks: nobody removes the copies while it works."""
