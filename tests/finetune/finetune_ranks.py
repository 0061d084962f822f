"""What the ranks of a launch do in tests: the same small comparison, with tensors cut, then with Adam's state shared.

python finetune_ranks.py ENCODER FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from torch import distributed

from finetune.data.examples import Classification, Tagging, TaskData
from finetune.launcher import main
from finetune.stages import Protocol, Recipe
from finetune.training.comparison import Comparison
from pipeline.context import Context
from pipeline.log import EventLog

WORDS = ["cell", "line", "page", "row", "circle"]
LAYOUTS = {
    "tensor": {"tensor_parallel": 2, "activation_checkpointing": True},
    "zero": {"zero_stage": 2, "micro_batch": 1},
}


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
    output.mkdir(parents=True)
    context = Context("finetune.task", output, 1, EventLog(output.parent / f"{output.name}.jsonl"))
    Comparison(tiny_task(kind), recipe, Protocol(seeds=(1,)), encoder).run(output, context)


def command(words: list[str]) -> int:
    """In place of ``xlmr``, on rank 0."""
    encoder, folder = map(Path, words)
    for name, layout in LAYOUTS.items():
        tiny_comparison("classification", encoder, folder / name, **layout)
    tiny_comparison("tagging", encoder, folder / "tagging", zero_stage=1)
    (folder / "world").write_text(str(distributed.get_world_size()))
    return 0


if __name__ == "__main__":
    sys.exit(main(command=command))
