"""Folders that a running stage saves at object storage, as a training its checkpoints, in a thread beside it.

The files are put first, then a mark with their checksums: a folder is saved whole or not at all. The copy here must
stay until ``is_pending`` says that it may go. Another machine that resumes the stage begins with ``restore``.

A storage that does not answer stops no stage: a folder that could not be saved is tried again with the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar

from pipeline.errors import XlmrError
from pipeline.json_file import CLOSED, DamagedFileError, InnerPath, read_record
from pipeline.manifest import FileRecord, list_files
from pipeline.storage import atomic_write, write_json
from pipeline.store.objects import at_once
from pipeline.store.path import StoredPath
from pipeline.terminal import say

SAVED = ".saved"
"""In an output: a mark for each folder that is saved."""


@dataclass(frozen=True)
class SavedFolder:
    """The mark: where in the output it lies, and its files by their name there.

    ``beside``: texts that belong to it, by their name in the output: files to which more is written later.
    """

    __pydantic_config__: ClassVar = CLOSED

    folder: InnerPath
    files: dict[InnerPath, FileRecord]
    beside: dict[InnerPath, str] = field(default_factory=dict)


class Saver:
    """Saves folders of ``copy`` at ``output``, one after the other, in the order that was asked for.

    ``warn`` gets a line about what could not be saved.
    """

    def __init__(self, output: StoredPath, copy: Path) -> None:
        self._output, self._copy = output, copy
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="saver")
        self._waiting: list[tuple[str, Future[None]]] = []
        self._failed: dict[str, dict[str, str]] = {}
        self._restored: dict[str, SavedFolder] = {}
        self.files: dict[str, FileRecord] = {}
        self.warn: Callable[[str], None] = say

    def save(self, folder: Path, beside: Iterable[Path] = ()) -> None:
        """Have a folder saved whose files change no more, with files beside it as they are now, where there are any."""
        texts = {self._name(path): path.read_text(encoding="utf-8") for path in beside if path.exists()}
        self._take_note_of_done()
        for name, its_texts in [*self._failed.items(), (self._name(folder), texts)]:
            self._submit(name, partial(self._save, name, its_texts))

    def forget(self, folder: Path) -> None:
        """Have a folder removed there, after what was asked for before: one that is newer is saved by then."""
        self._take_note_of_done()
        name = self._name(folder)
        self._failed.pop(name, None)
        self._submit(name, partial(self._forget, name))

    def is_pending(self, folder: Path) -> bool:
        """Whether it is still being saved."""
        name = self._name(folder)
        return any(one == name and not future.done() for one, future in self._waiting)

    def wait(self) -> None:
        """Wait until all is done, or has failed and ``warn`` got a line about it."""
        for _, future in self._waiting:
            future.result()
        self._waiting = []

    def finish(self) -> None:
        """The same at the end: nothing is saved afterwards."""
        self.wait()
        self._pool.shutdown()

    def restore(self, fetch: Callable[[Mapping[str, FileRecord]], None]) -> None:
        """Fetch what the copy lacks of the folders that are saved; ``fetch`` gets files of the output."""
        for saved in at_once(_read_mark, (self._output / SAVED).iterdir()):
            if saved is not None:
                fetch(saved.files)
                self.files |= saved.files
                self._restored[saved.folder] = saved

    def restore_beside(self, folder: Path) -> None:
        """Let the files beside a folder be as they were when it was saved; where it was not, they are as they are."""
        saved = self._restored.get(self._name(folder))
        for name, text in saved.beside.items() if saved else ():
            with atomic_write(self._copy / name, "w") as handle:
                handle.write(text)

    def _submit(self, name: str, function: Callable[[], None]) -> None:
        self._waiting.append((name, self._pool.submit(function)))

    def _take_note_of_done(self) -> None:
        done = [future for _, future in self._waiting if future.done()]
        self._waiting = [(name, future) for name, future in self._waiting if not future.done()]
        for future in done:
            future.result()

    def _name(self, folder: Path) -> str:
        return folder.relative_to(self._copy).as_posix()

    def _mark(self, name: str) -> StoredPath:
        return self._output / SAVED / f"{name.replace('/', '.')}.json"

    def _save(self, name: str, beside: dict[str, str]) -> None:
        try:
            files = {self._name(path): FileRecord.of(path) for path in list_files(self._copy / name)}
            at_once(lambda file: (self._output / file).put(self._copy / file), files)
            write_json(self._mark(name), asdict(SavedFolder(name, files, beside)))
        except FileNotFoundError:  # one that could not be saved before, and has been removed since
            self._failed.pop(name, None)
        except XlmrError as error:
            self._failed[name] = beside
            self.warn(f"{name} is on this machine only: {error}")
        else:
            self._failed.pop(name, None)
            self.files |= files

    def _forget(self, name: str) -> None:
        with suppress(XlmrError):  # what is left is removed when the output is complete
            self._mark(name).unlink()
            (self._output / name).remove_tree()
        for file in [file for file in self.files if file.startswith(f"{name}/")]:
            del self.files[file]


def _read_mark(path: StoredPath) -> SavedFolder | None:
    with suppress(FileNotFoundError, DamagedFileError):
        return read_record(SavedFolder, path, "run the stage again")
    return None
