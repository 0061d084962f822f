"""Copies of stored outputs on this machine, shared by its processes, each file verified when it is fetched.

A copy has the output's place below ``run.cache``: ``s3://bucket/runs/demo/corpus.mine/1a2b3c4d`` is copied to
``<cache>/s3/bucket/runs/demo/corpus.mine/1a2b3c4d``. Whole files are fetched, because Arrow, KenLM and SentencePiece
map them into memory. A process holds a lock on each copy that it uses; the others are removed when the cache is full.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from pipeline.errors import XlmrError
from pipeline.manifest import MANIFEST, FileRecord, Manifest, list_files, read_manifest, usable_manifest
from pipeline.store.objects import at_once
from pipeline.store.path import StoredPath, is_stored

BEGUN = ".begun"
"""In an output and its copies: a random name that is new each time that the output is begun anew."""
LOCKS = ".copies"
"""In the cache: a file for each copy that names it, which is locked by those that use it."""
TRIES = 4
"""Of a file whose checksum is not that of its record: a body may have been cut."""


class Copies:
    """The copies that this process uses. As a context manager: at the end it uses none."""

    def __init__(self, cache: Path, limit: int) -> None:
        self.cache, self.limit = cache.absolute(), limit
        self._held: dict[Path, int] = {}

    def __enter__(self) -> Copies:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Use none from here on: those that nobody else uses may be removed."""
        for descriptor in self._held.values():
            os.close(descriptor)
        self._held.clear()

    def folder(self, output: Path) -> Path:
        """Where stages find an output: its copy, which is not removed while it is used; a local output itself."""
        if not is_stored(output):
            return output
        copy = output.local(self.cache)
        if copy not in self._held:
            self._held[copy] = self._lock(copy, fcntl.LOCK_SH)
        return copy

    def begin(self, output: Path, *, anew: bool) -> Path:
        """The copy of an output that is being made, without what belongs to an earlier beginning of it."""
        copy = self.folder(output)
        if is_stored(output):
            if anew:
                (output / BEGUN).write_bytes(uuid.uuid4().hex.encode())
            with self._fetching(copy):
                begun = _read(output / BEGUN)
                if begun != _read(copy / BEGUN):
                    shutil.rmtree(copy, ignore_errors=True)
                    copy.mkdir(parents=True)
                    (copy / BEGUN).write_bytes(begun)
        return copy

    def bring(self, output: Path) -> Path:
        """The folder with all files of a complete output. Errors: XlmrError where it is not complete."""
        if not is_stored(output):
            return output
        copy = self.folder(output)
        with self._fetching(copy):
            manifest = read_manifest(output)
            if manifest is None:
                raise XlmrError(f"{output}: is not complete", "run its stage first")
            here = usable_manifest(copy)
            if here is None or here.build != manifest.build:
                (copy / MANIFEST).unlink(missing_ok=True)
            for path in list(list_files(copy)):
                if path.relative_to(copy).as_posix() not in manifest.files:
                    path.unlink()
            self._fetch(output, manifest.files)
            _write_manifest(manifest, copy)
        self._bring_manifests(output, manifest)
        return copy

    def _bring_manifests(self, output: StoredPath, manifest: Manifest) -> None:
        """Fetch the manifests of what an output was made from: the corpus' card and the report quote them."""
        for stage, source in manifest.inputs.items():
            above = output.parent.parent / stage / source["key"][: len(output.name)]
            copy = self.folder(above)
            here = usable_manifest(copy)
            known = here if here is not None and here.build == source["build"] else usable_manifest(above)
            if known is not None and known.build == source["build"]:
                if known is not here:
                    known.write(copy)
                self._bring_manifests(above, known)

    def fetch(self, output: StoredPath, files: Mapping[str, FileRecord]) -> None:
        """Fetch those of these files that the copy lacks. Errors: XlmrError for one that is not as it was written."""
        with self._fetching(self.folder(output)):
            self._fetch(output, files)

    def _fetch(self, output: StoredPath, files: Mapping[str, FileRecord]) -> None:
        copy = self.folder(output)
        missing = [name for name, record in files.items() if record.fault(copy / name) is not None]
        if missing:
            self._evict_for(sum(files[name].size for name in missing))
            at_once(lambda name: fetch_file(output / name, copy / name, files[name]), missing)

    @contextmanager
    def _fetching(self, copy: Path) -> Iterator[None]:
        """Hold what one process at a time does with a copy."""
        descriptor = self._lock(copy.with_name(f"{copy.name}.fetching"), fcntl.LOCK_EX)
        try:
            yield
        finally:
            os.close(descriptor)

    def _lock(self, copy: Path, how: int) -> int:
        name = copy.relative_to(self.cache).as_posix()
        path = self.cache / LOCKS / hashlib.sha256(name.encode()).hexdigest()[:32]
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, how)
            os.pwrite(descriptor, name.encode(), 0)  # and the time of the last use
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def _evict_for(self, needed: int) -> None:
        """Remove copies that nobody uses, the oldest use first, until ``needed`` bytes fit or all are in use."""
        copies = {}
        for lock in (self.cache / LOCKS).iterdir():
            copy = self.cache / lock.read_text("utf-8")
            if copy.is_dir():
                copies[copy] = (lock.stat().st_mtime, _bytes_in(copy))
        total = needed + sum(size for _, size in copies.values())
        for copy in sorted(copies, key=lambda path: copies[path][0]):
            if total <= self.limit:
                return
            with suppress(BlockingIOError):
                descriptor = -1 if copy in self._held else self._lock(copy, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if descriptor >= 0:
                    shutil.rmtree(copy, ignore_errors=True)
                    os.close(descriptor)
                    total -= copies[copy][1]


def fetch_file(source: StoredPath, target: Path, record: FileRecord) -> None:
    """Copy an object to ``target`` and verify it. Errors: XlmrError where it is missing or not as it was written."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        for _ in range(TRIES):
            source.fetch(draft)
            if FileRecord.of(draft).sha256 == record.sha256:
                os.utime(draft, ns=(record.mtime_ns, record.mtime_ns))
                draft.replace(target)
                return
    except FileNotFoundError:
        raise XlmrError(f"{source}: is missing", "run its stage again") from None
    finally:
        draft.unlink(missing_ok=True)
    raise XlmrError(f"{source}: checksum mismatch", "run its stage again")


def _write_manifest(manifest: Manifest, copy: Path) -> None:
    if not (copy / MANIFEST).exists():
        manifest.write(copy)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _bytes_in(folder: Path) -> int:
    return sum(os.lstat(Path(top, name)).st_size for top, _, names in os.walk(folder) for name in names)
