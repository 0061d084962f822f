"""``xlmr prune``: remove the outputs of a project that its configuration, as it is now, does not lead to.

Runs under way say which outputs they read and write; those are left alone, and so is what a live lease holds.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.config import Section
from pipeline.dag import Dag
from pipeline.errors import XlmrError
from pipeline.formatting import size
from pipeline.lease import Lease, describe_owner, live_owner
from pipeline.manifest import MANIFEST, usable_manifest
from pipeline.plan import KEY_LENGTH, make_plan
from pipeline.run_settings import project_folder
from pipeline.shards.partitions import refuse_while_partitions_are_done, stage_lock_path
from pipeline.store.path import is_stored

_RUNNING = ".running"
_KEY = re.compile(rf"[0-9a-f]{{{KEY_LENGTH}}}")


@dataclass(frozen=True)
class OldOutput:
    """An output under another key: its bytes on disk, why it stays, if it does, and what became of it."""

    path: Path
    size: int
    made: str
    held: str = ""
    action: str = ""

    def line(self) -> str:
        """As ``xlmr prune`` says it."""
        return f"{self.action} {self.path}  {size(self.size)}  {self.made}" + (f"  {self.held}" if self.held else "")

    def as_json(self) -> dict[str, Any]:
        """What ``xlmr prune --json`` prints."""
        return asdict(self) | {"path": str(self.path)}


def running_path(project: Path) -> Path:
    """Where a run says, as long as it lives, which outputs it needs: a lease of its own."""
    return project / _RUNNING / f"{uuid.uuid4().hex}.lease"


def prune(dag: Dag, config: Section, *, dry_run: bool) -> Iterator[str]:
    """Remove old outputs and say so, a line each and a sum. Bytes that another output shares by links do not count."""
    outputs = old_outputs(dag, config)
    gone = [output.path for output in outputs if not output.held]
    freed = freed_by(gone)
    for output, after in zip(outputs, remove(outputs, dry_run=dry_run), strict=True):
        yield after.line()
        if after.held and not output.held:
            gone.remove(output.path)
            freed -= output.size
    yield f"{len(gone)} old outputs, {size(freed)}{' would be freed' if dry_run else ' freed'}"


def remove(outputs: Iterable[OldOutput], *, dry_run: bool) -> Iterator[OldOutput]:
    """Remove those that nothing holds, each with what became of it."""
    for output in outputs:
        held = output.held if output.held or dry_run else _remove(output.path)
        yield replace(output, held=held, action="kept" if held else "would remove" if dry_run else "removed")


def old_outputs(dag: Dag, config: Section) -> list[OldOutput]:
    """The outputs of the project's stages that are not those of ``config``.

    What cannot be planned for want of a file from outside, as the sample task of a run that ends before it, has no
    known key: its outputs are left alone.
    """
    project = project_folder(config)
    left_out: dict[str, XlmrError] = {}
    current = {plan.output for plan in make_plan(dag, config, left_out=left_out).values()}
    needed = _needed_by_runs(project)
    found = []
    for stage in (name for name in dag.stages if name not in left_out):
        for path in sorted((project / stage).glob("*")):
            if path.is_dir() and _KEY.fullmatch(path.name) and path not in current:
                held = needed.get(str(path.absolute())) or _held(path)
                found.append(OldOutput(path, freed_by([path]), _made(path), held))
    return found


def _needed_by_runs(project: Path) -> dict[str, str]:
    needed: dict[str, str] = {}
    for lease in sorted((project / _RUNNING).glob("*.lease")):
        owner = live_owner(lease)
        if owner is None:
            lease.unlink(missing_ok=True)
            continue
        needed |= {path: f"needed by {describe_owner(owner)}" for path in owner["outputs"]}
    return needed


def _held(path: Path) -> str:
    for lease in (stage_lock_path(path), *sorted(path.parent.glob(f"{path.name}.partition-*.lease"))):
        owner = live_owner(lease)
        if owner is not None:
            return f"being written by {describe_owner(owner)}"
    return ""


def _made(path: Path) -> str:
    manifest = usable_manifest(path)
    return f"made {manifest.started[:19]}" if manifest else "not complete"


def freed_by(folders: Collection[Path]) -> int:
    """Bytes that removing these folders gives back: files that others link too give nothing."""
    links: Counter[tuple[int, int]] = Counter()
    sizes: dict[tuple[int, int], tuple[int, int]] = {}
    stored = sum(sum(folder.sizes().values()) for folder in folders if is_stored(folder))
    for top in (folder for folder in folders if not is_stored(folder)):
        for folder, _, names in os.walk(top):
            for name in names:
                status = os.lstat(Path(folder, name))
                file = (status.st_dev, status.st_ino)
                links[file] += 1
                sizes[file] = (status.st_size, status.st_nlink)
    return stored + sum(bytes_ for file, (bytes_, there) in sizes.items() if links[file] >= there)


def _remove(path: Path) -> str:
    """Remove an output under its lease; why not, where another run has taken it meanwhile."""
    try:
        with Lease(stage_lock_path(path)):
            refuse_while_partitions_are_done(path)
            if is_stored(path):
                (path / MANIFEST).unlink()  # without it, it is no output any more
                path.remove_tree()
                return ""
            grave = path.with_name(f".{path.name}.pruned")  # by one rename it is no output any more
            shutil.rmtree(grave, ignore_errors=True)
            path.rename(grave)
            shutil.rmtree(grave)
    except XlmrError as error:
        return error.problem
    return ""
