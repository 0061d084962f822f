"""Folders that a running stage saves at object storage, as a training its checkpoints, in a thread beside it.

The files are put first, then a mark with their checksums: a folder is saved whole or not at all. The copy here must
stay until ``is_pending`` says that it may go. Another machine that resumes the stage begins with ``restore``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

from pipeline.json_file import CLOSED, DamagedFileError, InnerPath, read_record
from pipeline.manifest import FileRecord, list_files
from pipeline.storage import write_json
from pipeline.store.objects import at_once
from pipeline.store.path import StoredPath

SAVED = ".saved"
"""In an output: a mark for each folder that is saved."""


@dataclass(frozen=True)
class SavedFolder:
    """The mark: where in the output it lies, and its files by their name there."""

    __pydantic_config__: ClassVar = CLOSED

    folder: InnerPath
    files: dict[InnerPath, FileRecord]


class Saver:
    """Saves folders of ``copy`` at ``output``, one after the other, in the order that was asked for."""

    def __init__(self, output: StoredPath, copy: Path) -> None:
        self._output, self._copy = output, copy
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="saver")
        self._waiting: list[tuple[str, Future[None]]] = []
        self.files: dict[str, FileRecord] = {}

    def save(self, folder: Path) -> None:
        """Have a folder saved whose files change no more."""
        self._submit(folder, self._save)

    def forget(self, folder: Path) -> None:
        """Have a folder removed there, after what was asked for before: one that is newer is saved by then."""
        self._submit(folder, self._forget)

    def is_pending(self, folder: Path) -> bool:
        """Whether it is still being saved."""
        name = self._name(folder)
        return any(one == name and not future.done() for one, future in self._waiting)

    def finish(self) -> None:
        """Wait until all is done. Errors: XlmrError where something could not be saved."""
        waiting, self._waiting = self._waiting, []
        for _, future in waiting:
            future.result()

    def restore(self, fetch: Callable[[Mapping[str, FileRecord]], None]) -> None:
        """Fetch what the copy lacks of the folders that are saved; ``fetch`` gets files of the output."""
        for saved in at_once(_read_mark, (self._output / SAVED).iterdir()):
            if saved is not None:
                fetch(saved.files)
                self.files |= saved.files

    def _submit(self, folder: Path, function: Callable[[str], None]) -> None:
        name = self._name(folder)
        done = [future for _, future in self._waiting if future.done()]
        self._waiting = [(one, future) for one, future in self._waiting if not future.done()]
        self._waiting.append((name, self._pool.submit(function, name)))
        for future in done:
            future.result()  # what went wrong is said now, not hours later

    def _name(self, folder: Path) -> str:
        return folder.relative_to(self._copy).as_posix()

    def _mark(self, name: str) -> StoredPath:
        return self._output / SAVED / f"{name.replace('/', '.')}.json"

    def _save(self, name: str) -> None:
        files = {path.relative_to(self._copy).as_posix(): FileRecord.of(path) for path in list_files(self._copy / name)}
        at_once(lambda file: (self._output / file).put(self._copy / file), files)
        write_json(self._mark(name), asdict(SavedFolder(name, files)))
        self.files |= files

    def _forget(self, name: str) -> None:
        self._mark(name).unlink()
        (self._output / name).remove_tree()
        for file in [file for file in self.files if file.startswith(f"{name}/")]:
            del self.files[file]


def _read_mark(path: StoredPath) -> SavedFolder | None:
    with suppress(FileNotFoundError, DamagedFileError):
        return read_record(SavedFolder, path, "run the stage again")
    return None
