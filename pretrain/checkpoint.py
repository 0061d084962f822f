"""Checkpoints: a folder for each, complete or absent, verified when read. Tensors are safetensors, the rest is JSON.

``update-00000400/`` holds weights, exp_avg, exp_avg_sq (.safetensors) and checkpoint.json with their checksums.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from pipeline.errors import XlmrError
from pipeline.storage import fsync_folder, publish, read_json, sha256_of_file
from pretrain.engine import State
from pretrain.model import ModelConfig

RECORD = "checkpoint.json"


@dataclass(frozen=True)
class Progress:
    """How far a training has come: ``update`` batches were taken, ``applied`` of them changed the weights."""

    update: int = 0
    applied: int = 0
    skipped_in_a_row: int = 0
    pieces: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read and found whole."""

    folder: Path
    architecture: ModelConfig
    progress: Progress
    files: Mapping[str, str] = field(repr=False)

    def load(self) -> State:
        """Its tensors."""
        return {Path(name).stem: load_file(self.folder / name) for name in self.files}

    def load_weights(self) -> dict[str, Any]:
        """Its weights alone."""
        return load_file(self.folder / "weights.safetensors")


class CheckpointFolder:
    """The checkpoints of one training; the last ``keep`` stay."""

    def __init__(self, folder: Path, keep: int = 1) -> None:
        self.folder, self._keep = folder, keep

    def save(self, state: State, architecture: ModelConfig, progress: Progress) -> Path:
        """Write a checkpoint: under a temporary name, to the disk, then renamed. A kill leaves no half of it."""
        final = self.folder / f"update-{progress.update:08d}"
        temporary = self.folder / f".{final.name}.{os.getpid()}.tmp"
        self._sweep()
        temporary.mkdir(parents=True)
        files = {}
        for part, tensors in state.items():
            path = temporary / f"{part}.safetensors"
            save_file(tensors, path)
            publish(path, path)
            files[path.name] = sha256_of_file(path)
        record = {"architecture": asdict(architecture), "progress": asdict(progress), "files": files}
        (temporary / RECORD).write_text(json.dumps(record, indent=1) + "\n")
        publish(temporary / RECORD, temporary / RECORD)
        shutil.rmtree(final, ignore_errors=True)
        temporary.rename(final)
        fsync_folder(self.folder)
        for old in self._names()[: -self._keep]:
            shutil.rmtree(old, ignore_errors=True)
        return final

    def newest(self) -> tuple[Checkpoint | None, list[str]]:
        """The newest checkpoint that is whole, and a line about each newer one that is not.

        (None, []) when there is no checkpoint. Errors: XlmrError when there are some, and none of them is whole.
        """
        faults: list[str] = []
        for folder in reversed(self._names()):
            try:
                return read_checkpoint(folder), faults
            except XlmrError as error:
                faults.append(error.problem)
        if faults:
            raise XlmrError(
                f"{self.folder}: no checkpoint is whole ({'; '.join(faults)})",
                "restore one from a copy, or start again with --force pretrain.train",
            )
        return None, []

    def discard_after(self, update: int) -> None:
        """Remove the checkpoints that are newer than ``update``: training goes on from there."""
        for folder in self._names():
            if folder.name > f"update-{update:08d}":
                shutil.rmtree(folder)

    def _names(self) -> list[Path]:
        return sorted(self.folder.glob("update-*"))

    def _sweep(self) -> None:
        for left in self.folder.glob(".update-*.tmp"):
            shutil.rmtree(left, ignore_errors=True)


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint's record and verify its files. Errors: XlmrError naming what is not whole."""
    try:
        record = read_json(folder / RECORD)
        checkpoint = Checkpoint(
            folder, ModelConfig(**record["architecture"]), Progress(**record["progress"]), record["files"]
        )
    except (OSError, KeyError, TypeError) as error:
        raise XlmrError(f"{folder}: not a checkpoint ({error})") from None
    for name, checksum in checkpoint.files.items():
        path = folder / name
        if not path.exists():
            raise XlmrError(f"{path}: missing")
        if sha256_of_file(path) != checksum:
            raise XlmrError(f"{path}: not what was written (its checksum differs)")
    return checkpoint


def check_architecture(checkpoint: Checkpoint, wanted: ModelConfig) -> None:
    """Refuse a checkpoint of another architecture. Errors: XlmrError listing what differs."""
    have, want = asdict(checkpoint.architecture), asdict(wanted)
    differing = [f"{name} {have[name]} instead of {want[name]}" for name in want if have[name] != want[name]]
    if differing:
        raise XlmrError(
            f"{checkpoint.folder}: a checkpoint of another architecture ({', '.join(differing)})",
            "use the settings that it was trained with, or another run.project",
        )
