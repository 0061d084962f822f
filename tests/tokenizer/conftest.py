"""A corpus of real text small enough to stand here: how the Universal Declaration of Human Rights begins."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.context import Context
from pipeline.log import EventLog
from tokenizer.folder import load_tokenizer
from tokenizer.names import MODEL_FILE
from tokenizer.pieces import Tokenizer
from tokenizer.settings import TokenizerSettings
from tokenizer.stages import PACKAGE

TEXT = Path(__file__).with_name("rights.tsv")
"""Lines of language, tab, paragraph."""

RICH = ("en", "fr", "de", "ru")
"""Languages with more documents than others, in two buckets."""


def write_file(path: Path, language: str, bucket: str, texts: list[str], digests: list[str] | None = None) -> None:
    """One corpus file, a few documents a record batch."""
    digests = digests or [f"sha1:{hashlib.sha1(text.encode()).hexdigest()}" for text in texts]
    table = pa.table(
        {
            "url": [f"https://{language}.example/{bucket}/{number}" for number in range(len(texts))],
            "digest": digests,
            "title": pa.nulls(len(texts), pa.string()),
            "raw_content": pa.array(texts, pa.large_string()),
            "language": [language] * len(texts),
            "bucket": [bucket] * len(texts),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=7)


def write_corpus(folder: Path, documents: dict[str, dict[str, list[str]]]) -> Path:
    """A folder as corpus.regroup makes it: {language: {bucket: texts}}, two files for a bucket of over 20."""
    counts: dict[str, Any] = {"documents": {}, "characters": {}, "bytes": {}}
    for language, buckets in documents.items():
        for bucket, texts in buckets.items():
            halves = [texts[:20], texts[20:]] if len(texts) > 20 else [texts]
            for number, half in enumerate(halves):
                write_file(folder / language / f"{bucket}-{number:05d}.arrow", language, bucket, half)
            counts["documents"].setdefault(language, {})[bucket] = len(texts)
            counts["characters"].setdefault(language, {})[bucket] = sum(map(len, texts))
            counts["bytes"].setdefault(language, {})[bucket] = sum(len(text.encode()) for text in texts)
    (folder / "counts.json").write_text(json.dumps(counts), encoding="utf-8")
    return folder


def make_documents() -> dict[str, dict[str, list[str]]]:
    """Documents of one to three lines of ``rights.tsv``; 40 of each rich language, a few of the others."""
    documents: dict[str, dict[str, list[str]]] = {}
    lines_of: dict[str, list[str]] = {}
    for line in TEXT.read_text(encoding="utf-8").splitlines():
        language, _, paragraph = line.partition("\t")
        lines_of.setdefault(language, []).append(paragraph)
    for language, lines in lines_of.items():
        if language in RICH:
            made = ["\n".join(lines[(i + j) % len(lines)] for j in range(i % 3 + 1)) + f" ({i})" for i in range(40)]
            documents[language] = {"head": made[:25], "middle": made[25:35], "tail": made[35:]}
        else:
            documents[language] = {"all": lines}
    return documents


@pytest.fixture(scope="session", name="write_corpus")
def _write_corpus() -> Callable[..., Path]:
    return write_corpus


@pytest.fixture(scope="session", name="write_file")
def _write_file() -> Callable[..., None]:
    return write_file


@pytest.fixture(scope="session")
def documents() -> dict[str, dict[str, list[str]]]:
    return make_documents()


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"), make_documents())


RunStage = Callable[..., tuple[dict[str, Any], Context]]


@pytest.fixture(scope="session")
def run_stage(tmp_path_factory: pytest.TempPathFactory) -> RunStage:
    """run_stage(name, settings, inputs, output, workers) -> (counts, context)."""

    def run(
        name: str, settings: dict[str, Any], inputs: dict[str, Path], output: Path, workers: int = 1
    ) -> tuple[dict[str, Any], Context]:
        output.mkdir(parents=True, exist_ok=True)
        stage = next(stage for stage in PACKAGE.stages if stage.name == name)
        config = stage.config_from(TokenizerSettings.model_validate(settings))
        context = Context(name, output, workers, EventLog(tmp_path_factory.mktemp("log") / "log.jsonl"))
        return stage.load()(config, inputs, output, context), context

    return run


@pytest.fixture(scope="session")
def trained(corpus: Path, run_stage: RunStage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output of tokenizer.train over the whole corpus: 700 pieces."""
    folder = tmp_path_factory.mktemp("trained")
    inputs = {"corpus.regroup": corpus}
    run_stage("tokenizer.sample", {"sample": {"bytes": 10_000_000}}, inputs, folder / "sample")
    run_stage(
        "tokenizer.train",
        {"train": {"vocab_size": 700}},
        {"tokenizer.sample": folder / "sample"},
        folder / "train",
    )
    return folder / "train"


@pytest.fixture(scope="session")
def tokenizer(trained: Path) -> Tokenizer:
    return load_tokenizer(trained)


@pytest.fixture(scope="session")
def saved(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As today's transformers saves a tokenizer: no model file, and added tokens of all kinds."""
    folder = tmp_path_factory.mktemp("saved")
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(str(trained))
    added = transformers.AddedToken
    theirs.add_tokens(["<new>", added("doc", single_word=True), "Ｘ１", added("<l>", lstrip=True, normalized=False)])
    theirs.add_tokens([added("<r>", rstrip=True)])
    theirs.add_special_tokens({"additional_special_tokens": ["<ctl>"]})
    theirs.save_pretrained(str(folder))
    assert not (folder / MODEL_FILE).exists()
    return folder
