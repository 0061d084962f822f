"""The stage tokenizer.study: vocabularies of several smoothings and sizes, each measured on the same held-out text.

corpus -> for each (model type, α, size): text drawn, a model trained, held-out text encoded -> study.json.
XLM-R §5.3 (figures 5 and 6) does this up to the accuracy of models; this stops at counts of tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.context import Context
from pipeline.counts import Counts
from pipeline.lines import cut
from pipeline.shards import ShardReport
from pipeline.stage import Inputs
from pipeline.storage import read_json, write_json
from tokenizer.corpus_files import BucketFile, corpus_files, document_hashes, read_batches, read_counts
from tokenizer.coverage import Coverage
from tokenizer.encode import DocumentEncoder
from tokenizer.folder import load_tokenizer
from tokenizer.names import MODEL_FILE
from tokenizer.pieces import Tokenizer
from tokenizer.sample import draw_lines
from tokenizer.settings import StudySettings
from tokenizer.shares import drawn_fractions
from tokenizer.stages import StudyStage
from tokenizer.train import train_model
from tokenizer.trainer_log import MisfitError
from tokenizer.vocabulary import pieces_by_script

STUDY = "study.json"
SALT = "study"


@dataclass(frozen=True)
class Variant:
    """One vocabulary of the study, with the text that it is trained and measured on."""

    model_type: str
    alpha: float
    size: int
    files: tuple[BucketFile, ...]
    fractions: Mapping[str, float]

    @property
    def name(self) -> str:
        """``unigram-0.3-32000``."""
        return f"{self.model_type}-{self.alpha:g}-{self.size}"


def run(config: StudyStage, inputs: Inputs, output: Path, context: Context) -> Counts:
    """Train and measure every variant. Without ``study.alphas`` there are none."""
    settings, corpus = config.study, inputs["corpus.regroup"]
    if not settings.alphas:
        write_json(output / STUDY, {"variants": []})
        return {"variants": 0}
    chosen = config.sample.buckets, config.sample.languages
    files = tuple(corpus_files(corpus, *chosen))
    characters = read_counts(corpus, "characters", *chosen)
    sizes = read_counts(corpus, "bytes", *chosen)
    trainable = {language: int(size * (1 - settings.test_share)) for language, size in sizes.items()}
    if sum(trainable.values()) <= settings.bytes:
        context.warn(
            f"the corpus has {sum(trainable.values()):,} bytes to train on, not more than "
            f"study.bytes={settings.bytes:,}: all of it is used, and alpha has no effect"
        )
    variants = [
        Variant(model_type, alpha, size, files, drawn_fractions(characters, trainable, alpha, settings.bytes))
        for model_type in settings.model_types
        for alpha in settings.alphas
        for size in settings.sizes
    ]
    shards = {variant.name: variant for variant in variants}
    context.map_shards(partial(study_variant, config), shards)
    rows = [read_json(output / _file(variant)) for variant in variants]
    for row in rows:
        if row["refused"]:
            context.warn(f"{row['model_type']}, α {row['alpha']:g}: {row['refused']}")
    write_json(output / STUDY, {"characters": characters, "variants": [row for row in rows if not row["refused"]]})
    return {"variants": sum(not row["refused"] for row in rows), "refused": sum(bool(row["refused"]) for row in rows)}


def _file(variant: Variant) -> str:
    return f"variants/{variant.name}.json"


def study_variant(config: StudyStage, variant: Variant, workspace: Path) -> ShardReport:
    """Train one vocabulary and measure it. Its text is on the disk meanwhile, beside the result."""
    row: dict[str, Any] = {"model_type": variant.model_type, "alpha": variant.alpha, "size": variant.size}
    row |= {"refused": "", "languages": {}, "scripts": {}}
    with TemporaryDirectory(dir=workspace) as scratch:
        text, model = Path(scratch) / "text.txt", Path(scratch) / MODEL_FILE
        with text.open("wb") as lines:
            lines.writelines(b"%b\n" % line for line in training_lines(config, variant))
        settings = config.train.model_copy(
            update={"vocab_size": variant.size, "model_type": variant.model_type, "input_sentence_size": 0}
        )
        try:
            train_model(settings, [text], model, Path(scratch) / "log")
            tokenizer = load_tokenizer(model)
            row["languages"] = measure(config.study, tokenizer, variant.files)
            row["scripts"] = pieces_by_script(tokenizer)
        except MisfitError as refusal:
            row["refused"] = refusal.problem
    (workspace / "variants").mkdir()
    write_json(workspace / _file(variant), row)
    return ShardReport({"variants": 1})


def training_lines(config: StudyStage, variant: Variant) -> Iterator[bytes]:
    """Yield the drawn lines of all documents that are not held out."""
    for file in variant.files:
        for batch in read_batches(file.path, ("digest", "url", "raw_content")):
            kept = batch.filter(pa.array(~_is_test(batch, config.study)))
            if kept.num_rows and variant.fractions.get(file.language, 0) > 0:
                lines = draw_lines(kept, variant.fractions[file.language], config.sample.seed)
                for line in lines.cast(pa.large_binary()).to_pylist():
                    yield from cut(line, config.sample.max_sentence_length)


def measure(settings: StudySettings, tokenizer: Tokenizer, files: tuple[BucketFile, ...]) -> dict[str, Counts]:
    """Count the held-out text of each language: characters, words, tokens, unknown characters."""
    encoder = DocumentEncoder(tokenizer, Coverage(tokenizer), "document")
    counts: dict[str, Counts] = {}
    for file in files:
        of = counts.setdefault(file.language, dict.fromkeys(("bytes", "characters", "words", "tokens", "unknown"), 0))
        for batch in read_batches(file.path, ("digest", "url", "raw_content")):
            texts = batch.column("raw_content").filter(pa.array(_is_test(batch, settings)))
            within = (
                np.cumsum(pc.binary_length(texts).to_numpy(zero_copy_only=False)) <= settings.test_bytes - of["bytes"]
            )
            if not within.any():
                continue
            _, _, counted = encoder.encode(texts.filter(pa.array(within)))
            of["tokens"] += counted["tokens"] - counted["sentences"]  # without </s>
            of["unknown"] += counted["unknown_characters"]
            for name in ("bytes", "characters", "words"):
                of[name] += counted[name]
    return {language: of for language, of in counts.items() if of["tokens"]}


def _is_test(batch: pa.RecordBatch, settings: StudySettings) -> Any:
    return document_hashes(batch, SALT) < np.uint64(int(settings.test_share * (1 << 64)))
