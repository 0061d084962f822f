"""Checkpoints: a folder for each, complete or absent, verified when read. Tensors are safetensors, the rest is JSON.

``step-00000400/`` holds weights, exp_avg, exp_avg_sq (.safetensors) and checkpoint.json with their checksums. The
tensors are whole, by parameter name and in fp32, so any number of ranks at any ZeRO stage can resume from them.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import torch
from pydantic import BaseModel, Field
from torch import Tensor

from pipeline.errors import XlmrError
from pipeline.json_file import read_json_as
from pipeline.storage import fsync_folder, publish, sha256_of_file
from pipeline.store.saver import Saver
from pretrain.checkpoints.state import PARTS, WEIGHTS
from pretrain.checkpoints.tensor_files import TensorFile, TensorWriter
from pretrain.config_file import Architecture
from pretrain.model import ModelConfig, build
from pretrain.weights_file import WeightsFile

RECORD = "checkpoint.json"

Count = Annotated[int, Field(ge=0)]

NamedTensors = Iterable[tuple[str, Mapping[str, Tensor]]]
"""Parameter name and its tensor in each of the parts, in the model's order: what ``Engine.state_stream`` gives."""


@dataclass(frozen=True)
class Progress:
    """How far a training has come: ``step`` batches were taken, ``applied`` of them changed the weights."""

    step: Count = 0
    applied: Count = 0
    skipped_in_a_row: Count = 0
    tokens: Count = 0
    seconds: Annotated[float, Field(ge=0)] = 0.0


@dataclass(frozen=True)
class About:
    """What a checkpoint is of. ``validation_loss`` is None where it was not measured at this very step.

    ``vocabulary`` is the SHA-256 of the tokenizer's model file, '' where the sequences did not say.
    """

    architecture: ModelConfig
    vocabulary_size: int
    progress: Progress
    validation_loss: float | None = None
    vocabulary: str = ""


class _Files(BaseModel):
    """The checksum of each part's file."""

    weights: str
    exp_avg: str
    exp_avg_sq: str


class _Record(BaseModel):
    """``checkpoint.json``."""

    architecture: Architecture
    vocabulary_size: Annotated[int, Field(ge=1, lt=2**31)]
    progress: Progress
    validation_loss: float | None
    vocabulary: str = ""
    files: _Files


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose record was read; ``verify`` says whether its files are what was written."""

    folder: Path
    about: About
    files: Mapping[str, str] = field(repr=False)

    @property
    def architecture(self) -> ModelConfig:
        """The model's."""
        return self.about.architecture

    @property
    def progress(self) -> Progress:
        """How far it is."""
        return self.about.progress

    def load(self) -> dict[str, TensorFile]:
        """Its parts, whose tensors are read when they are asked for."""
        return {part: TensorFile(self.folder / f"{part}.safetensors") for part in PARTS}

    def load_weights(self) -> dict[str, Tensor]:
        """Its weights alone, read at once."""
        return dict(WeightsFile(self.folder / f"{WEIGHTS}.safetensors"))

    def verify(self) -> None:
        """Errors: XlmrError naming the file that is missing, cut short, changed, or not of this architecture."""
        with ThreadPoolExecutor(len(PARTS)) as pool:
            list(pool.map(self._verify_file, PARTS))

    def _verify_file(self, part: str) -> None:
        path = self.folder / f"{part}.safetensors"
        if not path.exists():
            raise XlmrError(f"{path}: missing")
        if sha256_of_file(path) != self.files[part]:
            raise XlmrError(f"{path}: not what was written (its checksum differs)")
        if TensorFile(path).shapes() != shapes_of(self.architecture):
            raise XlmrError(f"{path}: its tensors are not those of the architecture in {RECORD}")


@dataclass(frozen=True)
class Keeping:
    """Which checkpoints stay: the ``last`` ones, every ``every``-th step (0: none), the one of the lowest
    validation loss if ``best``.
    """

    last: int = 1
    every: int = 0
    best: bool = False

    def kept(self, steps: Sequence[int], losses: Mapping[int, float]) -> set[int]:
        """Those of ``steps`` that stay; ``losses`` of those where it was measured."""
        newest = set(sorted(steps)[-self.last :])
        milestones = {step for step in steps if self.every and step % self.every == 0}
        measured = sorted((loss, step) for step, loss in losses.items() if math.isfinite(loss))
        return newest | milestones | ({measured[0][1]} if self.best and measured else set())


class CheckpointFolder:
    """The checkpoints of one training. ``saver`` saves them elsewhere too; one that it works on stays here.

    ``beside`` are files of the training that are saved with each, as they are then.
    """

    def __init__(
        self, folder: Path, keeping: Keeping | None = None, saver: Saver | None = None, beside: Sequence[Path] = ()
    ) -> None:
        self.folder, self._keeping, self._saver, self._beside = folder, keeping or Keeping(), saver, beside

    def write(self, tensors: NamedTensors, about: About) -> Path:
        """Write a checkpoint: under a temporary name, to the disk, then renamed. A kill leaves no half of it."""
        final = self.folder / f"step-{about.progress.step:08d}"
        temporary = self.folder / f".{final.name}.{os.getpid()}.tmp"
        self._sweep()
        temporary.mkdir(parents=True)
        files = _write_tensors(temporary, tensors, about.architecture)
        record = {**asdict(about), "files": files}
        (temporary / RECORD).write_text(json.dumps(record, indent=1) + "\n")
        publish(temporary / RECORD, temporary / RECORD)
        shutil.rmtree(final, ignore_errors=True)
        temporary.rename(final)
        fsync_folder(self.folder)
        if self._saver is not None:
            self._saver.save(final, self._beside)
        self._discard()
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

    def at(self, step: int) -> Checkpoint:
        """The checkpoint after ``step``, which another rank has verified."""
        folder = self.folder / f"step-{step:08d}"
        if not folder.exists():
            raise XlmrError(
                f"{folder}: not on this machine, where another rank resumes from it",
                "let run.directory lie on a file system that all machines share",
            )
        return read_record(folder)

    def resume_from(self, step: int) -> None:
        """Remove the checkpoints that are newer than ``step``; let files beside it be as they were then."""
        if self._saver is not None:
            self._saver.restore_beside(self.folder / f"step-{step:08d}")
        for folder in self._names():
            if _step_of(folder) > step:
                self._remove(folder)

    def settle(self) -> None:
        """Once nothing more is written: remove what stayed because it was still being saved."""
        if self._saver is not None:
            self._saver.wait()
            self._discard()

    def losses(self) -> dict[int, float]:
        """The validation losses of the checkpoints that have one, by step."""
        found = {}
        for folder in self._names():
            with suppress(XlmrError):  # a damaged one is reported when training resumes from it
                loss = read_record(folder).about.validation_loss
                if loss is not None:
                    found[_step_of(folder)] = loss
        return found

    def _names(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"), key=_step_of)

    def _discard(self) -> None:
        names = self._names()
        kept = self._keeping.kept([_step_of(folder) for folder in names], self.losses() if self._keeping.best else {})
        for folder in names:
            if _step_of(folder) not in kept and not (self._saver is not None and self._saver.is_pending(folder)):
                self._remove(folder)

    def _remove(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        if self._saver is not None:
            self._saver.forget(folder)

    def _sweep(self) -> None:
        for left in self.folder.glob(".step-*.tmp"):
            shutil.rmtree(left, ignore_errors=True)


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint's record and verify its files. Errors: XlmrError naming what is not whole."""
    checkpoint = read_record(folder)
    checkpoint.verify()
    return checkpoint


def read_record(folder: Path) -> Checkpoint:
    """Read what a checkpoint says of itself. Errors: XlmrError naming the file and the key that is not as written."""
    record = read_json_as(_Record, folder / RECORD, "restore it from a copy, or remove the checkpoint's folder")
    about = About(
        record.architecture.model(),
        record.vocabulary_size,
        record.progress,
        record.validation_loss,
        record.vocabulary,
    )
    return Checkpoint(folder, about, record.files.model_dump())


def check_fits(checkpoint: Checkpoint, architecture: ModelConfig, vocabulary_size: int, vocabulary: str = "") -> None:
    """Refuse a checkpoint of another architecture or vocabulary. Errors: XlmrError listing what differs."""
    have, want = asdict(checkpoint.architecture), asdict(architecture)
    differing = [f"{name} {have[name]} instead of {want[name]}" for name in want if have[name] != want[name]]
    if differing:
        raise XlmrError(
            f"{checkpoint.folder}: a checkpoint of another architecture ({', '.join(differing)})",
            "use the settings that it was trained with, or another run.project",
        )
    if checkpoint.about.vocabulary_size != vocabulary_size:
        raise XlmrError(
            f"{checkpoint.folder}: trained on a vocabulary of {checkpoint.about.vocabulary_size} tokens,"
            f" the sequences have one of {vocabulary_size}",
            "use the sequences that it was trained on, or another run.project",
        )
    if checkpoint.about.vocabulary and vocabulary and checkpoint.about.vocabulary != vocabulary:
        raise XlmrError(
            f"{checkpoint.folder}: trained on another vocabulary of {vocabulary_size} tokens"
            " than that of the sequences",
            "use the sequences that it was trained on, or another run.project",
        )


def shapes_of(architecture: ModelConfig) -> dict[str, torch.Size]:
    """The whole shape of each parameter, in the model's order."""
    return {name: parameter.shape for name, parameter in build(architecture).named_parameters()}


def _write_tensors(folder: Path, tensors: NamedTensors, architecture: ModelConfig) -> dict[str, str]:
    """The checksum of each part's file."""
    shapes = shapes_of(architecture)
    with ExitStack() as open_files:
        writers: dict[str, TensorWriter] = {}
        for part in PARTS:
            writers[part] = TensorWriter(folder / f"{part}.safetensors", shapes)
            open_files.callback(writers[part].abandon)
        for name, parts in tensors:
            for part, writer in writers.items():
                writer.add(name, parts[part])
        return {part: writer.close() for part, writer in writers.items()}


def _step_of(folder: Path) -> int:
    digits = folder.name.removeprefix("step-")
    return int(digits) if digits.isdecimal() else -1
