"""What the ranks of a launch do in tests: the same small comparison at each layout, and resumed after an epoch.

python finetune_ranks.py ENCODER FOLDER
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from torch import distributed

from finetune.data.examples import Classification, Tagging, TaskData
from finetune.launcher import main
from finetune.stages import Encoders, Protocol, Recipe
from finetune.training import loop
from finetune.training.comparison import Comparison
from pipeline.context import Context
from pipeline.log import EventLog

WORDS = ["cell", "line", "page", "row", "circle"]
LAYOUTS = {
    "tensor": {"tensor_parallel": 2, "activation_checkpointing": True},
    "zero 0": {"micro_batch": 2},
    "zero 2": {"zero_stage": 2, "micro_batch": 1},
    "zero 3": {"zero_stage": 3, "micro_batch": 1, "activation_checkpointing": True},
}
RESUMED = {"zero 3 resumed": LAYOUTS["zero 3"], "tensor resumed": LAYOUTS["tensor"]}
"""Layouts that begin with what ZeRO-3 wrote after the first epoch."""


def tiny_task(kind: str) -> TaskData:
    """Texts of 1 to 7 words; their number is not a multiple of batch or ranks."""

    def texts(count: int) -> list[Classification]:
        return [Classification(str(n), f"{WORDS[n % 5]} " * (1 + n % 7), None, "ab"[n % 5 % 2]) for n in range(count)]

    def sentences(count: int) -> list[Tagging]:
        words = [tuple(one.text.split()) for one in texts(count)]
        return [Tagging(str(n), one, tuple("B-X" if w == "cell" else "O" for w in one)) for n, one in enumerate(words)]

    make = texts if kind == "classification" else sentences
    labels = ("a", "b") if kind == "classification" else ("O", "B-X", "I-X")
    return TaskData("tiny", kind, labels, {"en": make(21)}, {"en": make(9)}, {"de": make(70)})  # type: ignore[arg-type]


def tiny_comparison(kind: str, encoder: Path, output: Path, **layout: int) -> None:
    """Two runs: from the folder, and from fresh weights."""
    recipe = Recipe(longest=24, batch=4, epochs=2, learning_rates=(1e-3,), dropout=0.0, dtype="fp32", **layout)  # type: ignore[arg-type]
    output.mkdir(parents=True, exist_ok=True)
    context = Context("finetune.task", output, 1, EventLog(output.parent / f"{output.name}.jsonl"))
    Comparison(tiny_task(kind), recipe, Protocol(seeds=(1,)), Encoders(encoder)).run(output, context)


@contextmanager
def checkpoints_kept(folder: Path) -> Iterator[list[int]]:
    """Copy each run's checkpoint after the first epoch into ``folder``; gives the epochs after which one was saved."""
    real, saved = loop.save_checkpoint, []

    def save(path: Path, history: Sequence[Any], *given: Any) -> None:
        real(path, history, *given)
        saved.append(len(history))
        if len(history) == 1:
            folder.mkdir(exist_ok=True)
            shutil.copy(path, folder / path.name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", save)
        yield saved


def resumed_comparison(kept: Path, encoder: Path, output: Path, **layout: int) -> None:
    """The comparison of classes by checkpoints that ``checkpoints_kept`` copied: one epoch is left of each run."""
    shutil.copytree(kept, output / "checkpoints")
    with checkpoints_kept(output) as saved:
        tiny_comparison("classification", encoder, output, **layout)
    assert saved == [2, 2]


def command(words: list[str]) -> int:
    """In place of ``xlmr``, on rank 0."""
    encoder, folder = map(Path, words)
    with checkpoints_kept(folder / "kept"):
        for name, layout in LAYOUTS.items():
            tiny_comparison("classification", encoder, folder / name, **layout)
    for name, layout in RESUMED.items():
        resumed_comparison(folder / "kept", encoder, folder / name, **layout)
    tiny_comparison("tagging", encoder, folder / "tagging", zero_stage=1)
    (folder / "world").write_text(str(distributed.get_world_size()))
    return 0


if __name__ == "__main__":
    sys.exit(main(command=command))
