"""Labelled files, files to answer, folders of models, checkpoints and results: kinds of ``benchmarks.fuzz_inputs``.

Each ``make_…`` writes good ones, small enough to be read often, and each ``read_…`` reads them as the product
does. Tokenizers have a fuzzer of their own, ``benchmarks.fuzz_tokenizers``.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pipeline.errors import XlmrError

TABLE = "text\tpair\tlabel\nSeñor 👍\tb\tx\nc d\te\ty\nf\tg\tx\n"
CONLL = "# id 1\nNew York\tB-LOC\nis\tO\n\n-DOCSTART-\tO\nÄ\tI-PER\nß\tI-PER\n"
CONLLU = "# text = a b\n1-2\tab" + 8 * "\t_" + "\n1\ta\ta\tDET" + 6 * "\t_" + "\n2\tb\tb\tNOUN" + 6 * "\t_" + "\n\n"
ROWS = [{"text": "Señor 👍", "pair": "b", "label": "x"}, {"text": "c", "pair": "d", "label": 2}]
QUESTIONS = [
    {"id": "1", "question": "?", "answers": [{"text": "Ä", "answer_start": 11}]},
    {"id": 2, "question": "?", "answers": [{"text": "Café", "answer_start": 1}]},
    {"id": "3", "question": "?", "answers": [], "is_impossible": True},
]
SQUAD = {
    "version": "2.0",
    "data": [{"title": "t", "paragraphs": [{"context": "Cafe\u0301 👍 in Ä is old", "qas": QUESTIONS}]}],
}
LABELLED: dict[str, tuple[str, dict[str, Any]]] = {
    "table.tsv": (TABLE, {"pair_column": "pair"}),
    "numbers.tsv": ("text\tlabel\na\t1.5\nb\t2\n", {"kind": "regression"}),
    "table.csv": ('text,label\n"Señor, ""👍""\nb",x\nd,y\n', {"format": "csv"}),
    "rows.jsonl": ("".join(f"{json.dumps(row)}\n" for row in ROWS), {"format": "jsonl", "pair_column": "pair"}),
    "tags.conll": (CONLL, {"kind": "tagging", "format": "conll"}),
    "bioes.conll": (
        "A S-PER\nB B-LOC\nC E-LOC\n",
        {"kind": "tagging", "format": "conll", "scheme": "bioes"},
    ),
    "tags.conllu": (CONLLU, {"kind": "tagging", "format": "conll"}),
    "squad.json": (json.dumps(SQUAD, ensure_ascii=False), {"kind": "span", "format": "squad"}),
}
"""Name -> content, and the settings that it is read by."""

PACKED: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}
TEXT = "all human beings are born free and equal in dignity and rights"
LABELS = ("no", "yes")


def make_labelled(folder: Path) -> list[Path]:
    """A file of every format, and one of every compression."""
    files = {name: content.encode() for name, (content, _) in LABELLED.items()}
    files |= {f"table.tsv{suffix}": pack(TABLE.encode()) for suffix, pack in PACKED.items()}
    return _written(folder, files)


def read_labelled(folder: Path) -> None:
    """Each file as train, dev and test."""
    from finetune.data.reading import read_task
    from finetune.data.settings import OwnTask, TaskSettings

    def read(path: Path) -> None:
        name = path.name if path.name in LABELLED else path.stem
        own = OwnTask(train=str(path), dev=str(path), test=str(path), **LABELLED[name][1])
        read_task(TaskSettings(name="own", own=own))

    each(sorted(folder.iterdir()), read)


def make_asked(folder: Path) -> list[Path]:
    """Files for ``predict --input``."""
    files = {name: content.encode() for name, (content, _) in LABELLED.items() if name.startswith(("table", "rows"))}
    return _written(folder, files | {f"table.tsv{suffix}": pack(TABLE.encode()) for suffix, pack in PACKED.items()})


def read_asked(folder: Path) -> None:
    """Every row of each."""
    from finetune.predict_files import read_blocks

    each(sorted(folder.iterdir()), lambda path: [*read_blocks(str(path), size=2)])


def make_models(folder: Path) -> list[Path]:
    """A pretrained model in several files, a fine-tuned one, a checkpoint; their descriptions and weights."""
    import torch

    from finetune.folder import save_fine_tuned
    from finetune.heads.kinds import KINDS
    from finetune.stages import Recipe
    from pretrain.checkpoints.checkpoint import About, CheckpointFolder, Progress
    from pretrain.folder import load_encoder, save_model, save_weights
    from pretrain.model import MaskedLanguageModel, ModelConfig

    tokens = _tokens(folder / "tokens.model")
    torch.manual_seed(7)
    shape = ModelConfig(
        tokens + 2,
        num_hidden_layers=1,
        hidden_size=16,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=34,
    )
    model = MaskedLanguageModel(shape)
    save_model(model, folder / "export", folder / "tokens.model")
    weights = {name: tensor.detach() for name, tensor in model.named_parameters()}
    save_weights(weights, shape, folder / "model", limit=10_000)
    kind = KINDS["classification"](LABELS, Recipe(longest=16, dtype="fp32"), "own")
    encoder = load_encoder(folder / "export")
    save_fine_tuned(kind.model(encoder, 0.1), kind, folder / "tokens.model", folder / "tuned")
    parts = ((name, dict.fromkeys(("weights", "exp_avg", "exp_avg_sq"), value)) for name, value in weights.items())
    about = About(shape, tokens + 2, Progress(1, 1, 0, 9, 0.5), 7.5)
    CheckpointFolder(folder / "checkpoints").write(parts, about)
    inside = (path for path in folder.rglob("*") if path.suffix in {".json", ".safetensors"})
    return sorted(path for path in inside if not path.name.startswith(("tokenizer", "special")))


def read_models(folder: Path) -> None:
    """Each by what loads it; the fine-tuned one answers a text."""
    from finetune.folder import load_fine_tuned, take_head, why_new_head
    from finetune.predict_tool import lines_of
    from pretrain.checkpoints.checkpoint import read_checkpoint
    from pretrain.folder import load_encoder, load_model

    def head(path: Path) -> None:
        tuned = load_fine_tuned(path)
        if not why_new_head(path, tuned.kind):
            take_head(tuned.model, path, tuned.kind)
        lines_of([TEXT, ""], path)

    (checkpoint,) = (folder / "checkpoints").iterdir()
    each([folder / "export"], load_encoder)
    each([folder / "model"], load_model)
    each([folder / "tuned"], head)
    each([checkpoint], read_checkpoint)


def make_results(folder: Path) -> list[Path]:
    """What finetune.task wrote, as tables read it."""
    run = {"initialisation": "pretrained", "learning_rate": 1e-5, "seed": 1, "dev_score": 0.5}
    scores = {"en": {"accuracy": 0.5, "count": 9.0}, "de": {"accuracy": 0.25, "count": 9.0}}
    value = {
        "task": "xnli", "kind": "classification", "trained_on": ["en"], "chosen_on": ["en"], "encoder": "a/b",
        "runs": [{**run, "test": scores}, {**run, "seed": 2, "test": scores}],
    }  # fmt: skip
    return _written(folder, {"results.json": json.dumps(value).encode()})


def read_task_results(folder: Path) -> None:
    """The table of its task."""
    from finetune.table_results import read_results
    from finetune.tables import as_html, make_table

    as_html(make_table("xnli", [read_results(folder)]))


def each(paths: Iterable[Path], read: Callable[[Path], object]) -> None:
    """Read every one, so that the damaged one is among them; a refusal is raised when all were read."""
    refusal: XlmrError | None = None
    for path in paths:
        try:
            read(path)
        except XlmrError as error:
            refusal = error
    if refusal:
        raise refusal


def _written(folder: Path, files: dict[str, bytes]) -> list[Path]:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in files]


def _tokens(path: Path) -> int:
    """Train a vocabulary of a few tokens into ``path``; how many it has."""
    import sentencepiece

    with path.open("wb") as model:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([TEXT] * 3), model_writer=model, vocab_size=28, minloglevel=2
        )
    return int(sentencepiece.SentencePieceProcessor(model_file=str(path)).vocab_size())
