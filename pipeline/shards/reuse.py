"""Adoption: shards that another output of the same stage made from the same thing are linked in, not made again.

A stage's key changes with the list of its shards; the files of one shard need not. Where a stage says what each shard's
files depend on (its identity), a complete shard of a sibling output with the same identity is as good as a new one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from pipeline.config import Section
from pipeline.keys import FORMAT, key_settings
from pipeline.manifest import FileRecord
from pipeline.shards.mark import PackedMarks, ShardMark
from pipeline.shards.shard import FEW, MARKS, Shard, ShardFolder, ShardWork
from pipeline.storage import canonical_json, publish
from pipeline.store.objects import at_once, remove_objects
from pipeline.store.path import StoredPath, is_stored


def identity_of(stage: str, version: int, settings: Section, name: str, depends_on: str) -> str:
    """What a shard's files depend on, as one hash: the stage and its settings, the shard's name, and its input."""
    described = [FORMAT, stage, version, key_settings(settings), name, depends_on]
    return hashlib.sha256(canonical_json(described).encode()).hexdigest()


def reuse_shards(work: ShardWork, shards: Iterable[Shard]) -> PackedMarks:
    """Link into the output those of ``shards`` that a sibling output has whole; give their marks, by name.

    A sibling that is removed meanwhile costs nothing: what was linked stays, what was not is made anew.
    """
    wanted = {shard.name: shard for shard in shards if shard.identity is not None}
    reused = PackedMarks()
    for sibling in _siblings(work.folder) if wanted else ():
        left = wanted.keys() - reused.keys()
        for name in sorted(left & sibling.named() if len(left) > FEW else left):
            mark = sibling.read(name)
            if mark is not None and mark.identity == wanted[name].identity and mark.is_whole(sibling.output):
                taken = _take_over(work, name, mark, sibling.output)
                if taken is not None:
                    reused[name] = taken
    return reused


def _siblings(own: ShardFolder) -> list[ShardFolder]:
    """The other outputs of the stage, the newest first."""
    inside = own.marks.relative_to(own.output)
    outputs = [path for path in own.output.parent.iterdir() if path != own.output and (path / inside).is_dir()]
    outputs.sort(key=lambda path: (path / inside).stat().st_mtime, reverse=True)
    return [ShardFolder.at(path, inside) for path in outputs]


def _take_over(work: ShardWork, name: str, mark: ShardMark, source: Path) -> ShardMark | None:
    """Link (or copy) the files into a workspace, then put them in their place as if they had been made there."""
    output = work.folder.output
    if is_stored(output) and is_stored(source):
        return _copy_stored(work, name, mark, source, output)
    workspace = work.workspaces / name
    records: dict[str, FileRecord] = {}
    try:
        for file, record in mark.files.items():
            (workspace / file).parent.mkdir(parents=True, exist_ok=True)
            records[file] = _link_or_copy(source / file, workspace / file, record)
        for file in mark.files:
            publish(workspace / file, work.folder.output / file)
        taken = replace(mark, files=records, seconds=0.0)
        work.folder.keep(name, taken)
    except (OSError, _ChangedError):
        return None
    finally:
        shutil.rmtree(workspace, ignore_errors=True)
    return taken


def _copy_stored(
    work: ShardWork, name: str, mark: ShardMark, source: StoredPath, output: StoredPath
) -> ShardMark | None:
    """The same at object storage, which copies what a mark names without sending it here."""
    try:
        at_once(lambda file: (source / file).copy_to(output / file), mark.files)
    except FileNotFoundError:
        return None
    taken = replace(mark, seconds=0.0)
    work.folder.keep(name, taken)
    return taken


class _ChangedError(Exception):
    """A copy is not what the mark says."""


def _link_or_copy(source: Path, target: Path, record: FileRecord) -> FileRecord:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)
        copied = FileRecord.of(target)
        if copied.sha256 != record.sha256:
            raise _ChangedError from None
        return copied
    return record


def keep_identified(output: Path) -> None:
    """Empty an output but for the shards that say what they depend on: whether they may stay is seen when asked for."""
    if is_stored(output):
        _keep_identified_stored(output)
        return
    marks = [path for path in (output / MARKS).rglob("*.json") if not path.name.startswith(".")]
    kept: set[Path] = set()
    for path in marks:
        mark = ShardMark.read(path)
        if mark is not None and mark.identity is not None:
            kept |= {path, *(output / file for file in mark.files)}
    if not kept:
        shutil.rmtree(output, ignore_errors=True)
        return
    for folder, _, names in os.walk(output):
        for name in names:
            if Path(folder, name) not in kept:
                Path(folder, name).unlink(missing_ok=True)


def _keep_identified_stored(output: StoredPath) -> None:
    names = output.sizes()
    marks = [name for name in names if name.startswith(f"{MARKS}/") and name.endswith(".json")]
    kept: set[str] = set()

    def look(name: str) -> None:
        mark = ShardMark.read(output / name)
        if mark is not None and mark.identity is not None:
            kept.update([name, *mark.files])

    at_once(look, marks)
    remove_objects((output / name).address for name in names if name not in kept)
