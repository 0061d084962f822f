"""manifest.json: written last, atomically. No manifest, no stage.

It records what a stage was made from, what it made (size and checksum of every file), what it counted and cost.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from typing_extensions import TypedDict

from pipeline.counts import Counts
from pipeline.json_file import CLOSED, DamagedFileError, InnerPath, read_record
from pipeline.storage import sha256_of_file, write_json
from pipeline.store.path import is_stored

MANIFEST = "manifest.json"

PACKAGES = (
    "apache-beam", "deepspeed", "fasttext", "fastwarc", "kenlm", "numpy", "prefect", "pyarrow", "sentencepiece",
    "torch",
)  # fmt: skip


@dataclass(frozen=True)
class FileRecord:
    """One file of an output: bytes, SHA-256, and the modification time that spares reading it again."""

    __pydantic_config__: ClassVar = CLOSED

    size: int
    sha256: str
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> FileRecord:
        """Read the file at ``path``."""
        status = path.stat()
        return cls(status.st_size, sha256_of_file(path), status.st_mtime_ns)

    def fault(self, path: Path, *, verify: bool = False) -> str | None:
        """What is wrong with the file now, or None. Reads it only if it looks touched or ``verify`` is set.

        The time of an object says when it was put there; nothing can touch it since but a new object.
        """
        try:
            status = path.stat()
        except FileNotFoundError:
            return "is missing"
        if fault := self.wrong_size(status.st_size):
            return fault
        looks_touched = status.st_mtime_ns != self.mtime_ns and not is_stored(path)
        if (verify or looks_touched) and sha256_of_file(path) != self.sha256:
            return "was changed"
        return None

    def wrong_size(self, size: int | None) -> str | None:
        """What is wrong with a file of this size, None of one that is not there; None where nothing is."""
        if size is None:
            return "is missing"
        return None if size == self.size else f"has {size:,} bytes, not {self.size:,}"


class InputRecord(TypedDict):
    """What an output was made from: the key and the build of the other output."""

    key: str
    build: str


@dataclass(frozen=True)
class Manifest:
    """What stands in manifest.json. ``build`` names this very run of the stage: what depends on it quotes it."""

    __pydantic_config__: ClassVar = CLOSED

    stage: str
    version: int
    key: str
    build: str
    config: dict[str, Any]
    inputs: dict[str, InputRecord]
    outside: dict[str, str]
    counts: Counts
    files: dict[InnerPath, FileRecord]
    started: str
    seconds: float
    peak_memory_bytes: int
    git_commit: str = ""
    packages: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def write(self, output: Path) -> None:
        """Mark ``output`` as complete."""
        write_json(output / MANIFEST, asdict(self))

    def faults(self, output: Path, *, verify: bool = False) -> dict[Path, str]:
        """What is wrong with the files of ``output``, for each that is not as it was written."""
        if is_stored(output) and not verify:  # one listing
            sizes = output.sizes()
            found = {name: record.wrong_size(sizes.get(name)) for name, record in self.files.items()}
        else:
            found = {name: record.fault(output / name, verify=verify) for name, record in self.files.items()}
        return {output / name: fault for name, fault in sorted(found.items()) if fault is not None}


def read_manifest(output: Path) -> Manifest | None:
    """The manifest of an output folder; None where there is none. Errors: DamagedFileError with the key at fault."""
    try:
        return read_record(Manifest, output / MANIFEST, "run the stage again")
    except FileNotFoundError:
        return None


def usable_manifest(output: Path) -> Manifest | None:
    """The manifest of an output folder; None where there is none or a damaged one, which is as good as none."""
    try:
        return read_manifest(output)
    except (DamagedFileError, OSError):
        return None


def list_files(output: Path) -> Iterator[Path]:
    """Every file of an output but the manifest and the hidden working files, sorted."""
    for folder, folders, names in os.walk(output):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder) / name
            if not name.startswith(".") and path != output / MANIFEST:
                yield path


def record_files(output: Path, known: Mapping[str, FileRecord] | None = None) -> dict[str, FileRecord]:
    """A record of every file; ``known`` ones (just checked by their shard) are not read again."""
    known = known or {}
    names = (path.relative_to(output).as_posix() for path in list_files(output))
    return {name: known.get(name) or FileRecord.of(output / name) for name in names}


def package_versions(names: Iterable[str] = PACKAGES) -> dict[str, str]:
    """The versions of the packages that do the work, those installed."""
    versions = {}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


@cache
def git_commit() -> str:
    """The commit of the code that runs, with ``+changes`` where the tree is not clean; empty outside a checkout."""
    here = Path(__file__).parent
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, timeout=10, check=False
        )
        changes = subprocess.run(
            ["git", "status", "--porcelain", "-uno"], cwd=here, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return commit.stdout.strip() + ("+changes" if changes.stdout.strip() else "")
