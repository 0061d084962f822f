"""Small fine-tuned models, trained in seconds: docstrings and pages show what they predict."""

from __future__ import annotations

from pathlib import Path

from finetune.data.examples import Classification, Example, Kind, Tagging, TaskData
from finetune.stages import Encoders, Protocol, Recipe
from finetune.training.comparison import Comparison
from pipeline.context import Context
from pipeline.log import EventLog
from tests.finetune.tiny_encoder import write_encoder
from tests.finetune.toy_task import WORDS, example_rows

TAGS = ("O", "B-PART", "I-PART")


def write_models(folder: Path) -> None:
    """Write ``model`` (what a text is about) and ``tagger`` (which words name a part of a document)."""
    rows = [(str(row["id"]), str(row["text"]), str(row["label"])) for row in example_rows(90)]
    texts = [Classification(name, text, None, label) for name, text, label in rows]
    parts = set(" ".join(WORDS.values()).split())
    words = [(name, ("see", "the", text.split()[n % 3], "below")) for n, (name, text, _) in enumerate(rows)]
    tagged = [Tagging(name, some, tuple("B-PART" if word in parts else "O" for word in some)) for name, some in words]
    write_encoder(folder / "encoder")
    _train("classification", tuple(sorted(WORDS)), texts, folder, "model")
    _train("tagging", TAGS, tagged, folder, "tagger")


def _train(kind: Kind, labels: tuple[str, ...], examples: list[Example], folder: Path, name: str) -> None:
    held_out = {"en": examples[-9:]}
    data = TaskData("toy", kind, labels, {"en": examples[:-9]}, held_out, held_out)
    recipe = Recipe(longest=16, batch=4, epochs=4, learning_rates=(4e-3,), dtype="fp32")
    protocol = Protocol(seeds=(1,), initialisations=("pretrained",), baselines=False)
    output = folder / f"{name}-output"
    output.mkdir()
    context = Context("finetune.task", output, 1, EventLog(folder / f"{name}.jsonl"))
    Comparison(data, recipe, protocol, Encoders(folder / "encoder")).run(output, context)
    (output / "model").rename(folder / name)
