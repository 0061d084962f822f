"""A stored output while its stage runs: where its files are kept, and what is put there when the stage is complete."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from pathlib import Path

from pipeline.errors import XlmrError
from pipeline.manifest import FileRecord, list_files
from pipeline.shards import MARKS
from pipeline.storage import write_json
from pipeline.store.copies import BEGUN, Copies, fetch_file
from pipeline.store.needed_copies import MadeFiles, NeededCopies
from pipeline.store.objects import at_once, remove_objects
from pipeline.store.path import StoredPath
from pipeline.store.saver import Saver

MADE = ".made"
"""In an output while its stage runs: for each call of workers elsewhere, which files they need."""
KEPT = (f"{MARKS}/", ".made_from")
"""How the names begin of what stays in a complete output beside its files."""


class StoredOutput:
    """``elsewhere``: files of shards that other machines may have made, and that the stage does not read."""

    def __init__(self, output: StoredPath, copies: Copies, inputs: Collection[StoredPath] = ()) -> None:
        self.output, self._copies, self._inputs = output, copies, tuple(inputs)
        self.copy = copies.folder(output)
        self.elsewhere: dict[str, FileRecord] = {}
        self._there: dict[str, FileRecord] = {}
        self.saver = Saver(output, self.copy)

    def path_of(self, copy: Path) -> StoredPath:
        """Where a folder of the copy is kept."""
        return self.output / copy.relative_to(self.copy)

    def restore(self) -> None:
        """Let the copy have what an earlier run of the stage saved, on whatever machine."""
        self.saver.restore(lambda files: self._fetch(self.copy, files))

    def fetch(self, folder: Path, files: Mapping[str, FileRecord]) -> None:
        """Fetch those of these files of shards that ``folder``, the copy or one in it, lacks."""
        self._fetch(folder, files)
        self._there |= self.inside(folder, files)

    def inside(self, folder: Path, files: Mapping[str, FileRecord]) -> dict[str, FileRecord]:
        """Files of ``folder``, the copy or one in it, by their name in the output."""
        inside = folder.relative_to(self.copy)
        return {(inside / name).as_posix(): record for name, record in files.items()}

    def _fetch(self, folder: Path, files: Mapping[str, FileRecord]) -> None:
        kept = self.path_of(folder)
        missing = [name for name, record in files.items() if record.fault(folder / name) is not None]
        at_once(lambda name: fetch_file(kept / name, folder / name, files[name]), missing)

    def needed_copies(self, call: str, others: Callable[[], Collection[str]]) -> NeededCopies:
        """What workers elsewhere need for the shards of ``call``, a name that no other call has.

        Files that the stage has written itself are put first; ``others`` says which are of shards that nobody reads.
        """
        here = {path.relative_to(self.copy).as_posix(): path for path in list_files(self.copy)}
        new = {name for name, path in here.items() if name not in self._there or self._there[name].fault(path)}
        own = {name: FileRecord.of(here[name]) for name in (new.difference(others()) if new else ())}
        at_once(lambda name: (self.output / name).put(here[name]), own)
        self._there |= own
        made = {name: record for name, record in self._there.items() if (self.copy / name).exists()}
        path = self.output / MADE / f"{call}.json" if made else None
        if path is not None:
            write_json(path, asdict(MadeFiles(made)))
        return NeededCopies(self._copies.cache, self._copies.limit, self.output, self._inputs, path)

    def complete(self, files: Mapping[str, FileRecord], shards: Mapping[str, FileRecord]) -> dict[str, FileRecord]:
        """Put the files that no shard has put, remove what is no longer part of the output; give the record of all.

        ``files`` are those of the copy; ``shards`` are those of shards, also where the stage has removed them since.
        Errors: XlmrError where a file is not there in the end.
        """
        self.saver.finish()
        there = {**self._there, **shards, **self.saver.files}
        own = [name for name, record in files.items() if there.get(name) != record]
        at_once(lambda name: (self.output / name).put(self.copy / name), own)
        every = {**self.elsewhere, **files}
        sizes = self.output.sizes()
        kept = {*every, BEGUN}
        remove_objects((self.output / name).address for name in sizes if name not in kept and not name.startswith(KEPT))
        for name, record in every.items():
            if fault := record.wrong_size(sizes.get(name)):
                raise XlmrError(f"{self.output / name}: {fault}", "run the same command again")
        return every
