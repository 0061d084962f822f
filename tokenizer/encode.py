"""The stage tokenizer.encode: the corpus as samples of pieces, in memory-mappable files, and what it counted.

A shard is a corpus file. Its documents go to train or validation by a hash, are encoded in batches, and each
side's stream is cut into samples. samples.json lists the files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.context import Context
from pipeline.counts import Counts, sum_counts
from pipeline.shards import ShardReport
from pipeline.stage import Inputs
from pipeline.storage import write_json
from tokenizer.corpus_files import CorpusFile, corpus_files, document_hashes, read_batches, read_counts
from tokenizer.layout import SampleWriter, piece_type
from tokenizer.pieces import MODEL_FILE, UNK, Ids, Tokenizer
from tokenizer.stages import EncodeSettings, EncodeStage

SAMPLES = "samples.json"
SPLITS = ("train", "validation")
SALT = "validation"
WHOLE = 1 << 64
CERTAIN = 50
"""Where so many validation documents are expected, the chance of none is e^-50, and nobody has to look."""


@dataclass(frozen=True)
class EncodeShard:
    """One corpus file, the number of its output files, the model, and the hash under which is validation."""

    file: CorpusFile
    number: int
    model: Path
    threshold: int


def run(config: EncodeStage, inputs: Inputs, output: Path, context: Context) -> Counts:
    """Encode the corpus and list the samples."""
    settings = config.encode
    model = inputs["tokenizer.train"] / MODEL_FILE
    tokenizer = Tokenizer.load(model)
    by_language: dict[str, list[CorpusFile]] = {}
    for file in corpus_files(inputs["corpus.regroup"], settings.buckets):
        by_language.setdefault(file.language, []).append(file)
    documents = read_counts(inputs["corpus.regroup"], "documents", settings.buckets)
    shards: dict[str, EncodeShard] = {}
    for language, files in by_language.items():
        limit = validation_threshold(files, documents.get(language, 0), settings.validation_share)
        shards |= {file.name: EncodeShard(file, number, model, limit) for number, file in enumerate(files)}
    counts = context.map_shards(partial(encode_shard, settings), shards)
    dtype = piece_type(tokenizer.vocabulary_size)
    languages = {name: _language_entry(name, shards, counts) for name in by_language}
    write_json(
        output / SAMPLES,
        {
            "vocabulary_size": tokenizer.vocabulary_size,
            "sample_length": settings.sample_length,
            "dtype": dtype.name,
            "languages": languages,
        },
    )
    alone = [name for name, entry in languages.items() if not entry["validation"]["samples"]]
    if alone:
        context.warn(f"one document only, so no validation: {', '.join(alone)}")
    return {"languages": len(languages), **sum_counts(counts)}


def _language_entry(language: str, shards: dict[str, EncodeShard], counts: dict[str, Counts]) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    for split in SPLITS:
        own = {name: counts[name][split] for name, shard in shards.items() if shard.file.language == language}
        files = [sample_file(shards[name], split).as_posix() for name, count in own.items() if count["samples"]]
        entry[split] = {**sum_counts(own), "files": files}
    return entry


def sample_file(shard: EncodeShard, split: str) -> Path:
    """Where a shard's samples lie inside the output: ``<language>/<split>-<number>.bin``."""
    return Path(shard.file.language) / f"{split}-{shard.number:05d}.bin"


def validation_threshold(files: Sequence[CorpusFile], documents: int, share: float) -> int:
    """The hash under which a document of this language is validation: ``share`` of them all, one at least of
    two.

    Small languages are looked through (their digests only), so that the smallest hash is let in where none
    would be; of a language with one document, none is taken, and never all.
    """
    threshold = int(share * WHOLE)
    if documents * share >= CERTAIN:
        return threshold
    batches = [document_hashes(batch, SALT) for file in files for batch in read_batches(file.path, ("digest", "url"))]
    hashes = np.unique(np.concatenate(batches)) if batches else np.empty(0, np.uint64)
    if len(hashes) < 2:
        return 0
    return min(max(threshold, int(hashes[0]) + 1), int(hashes[-1]))


def encode_shard(settings: EncodeSettings, shard: EncodeShard, workspace: Path) -> ShardReport:
    """Encode one corpus file. Memory: one batch of documents and one sample a split."""
    tokenizer = _load(shard.model)
    dtype = piece_type(tokenizer.vocabulary_size)
    complete = settings.break_mode == "complete"
    writers = {
        split: SampleWriter(workspace / sample_file(shard, split), settings.sample_length, dtype, complete=complete)
        for split in SPLITS
    }
    counts: dict[str, list[Counts]] = {split: [] for split in SPLITS}
    for batch in read_batches(shard.file.path, ("digest", "url", "raw_content")):
        held_out = document_hashes(batch, SALT) < np.uint64(shard.threshold)
        for split, chosen in (("train", ~held_out), ("validation", held_out)):
            texts = batch.column("raw_content").filter(pa.array(chosen))
            stream, lengths = tokenizer.encode_stream(texts.cast(pa.large_binary()).to_pylist())
            writers[split].add(stream, lengths)
            counts[split].append(count_texts(texts) | count_pieces(stream, tokenizer.begins_word))
    for split, writer in writers.items():
        writer.close()
        counts[split].append({"samples": writer.samples})
    return ShardReport({split: sum_counts(counts[split]) for split in SPLITS})


def count_texts(texts: pa.Array) -> Counts:
    """Documents, bytes, characters."""
    return {
        "documents": len(texts),
        "bytes": pc.sum(pc.binary_length(texts)).as_py() or 0,
        "characters": pc.sum(pc.utf8_length(texts)).as_py() or 0,
    }


def count_pieces(stream: Ids, begins_word: NDArray[np.bool_]) -> Counts:
    """Pieces of the stream, ``</s>`` included; how many are ``<unk>``; words, which white space parts."""
    return {
        "pieces": len(stream),
        "unknown": int(np.count_nonzero(stream == UNK)),
        "words": int(np.count_nonzero(begins_word[stream])),
    }


@lru_cache(maxsize=1)
def _load(model: Path) -> Tokenizer:
    """One model a worker, not one a shard."""
    return Tokenizer.load(model)
