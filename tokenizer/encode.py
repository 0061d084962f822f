"""The stage tokenizer.encode: the corpus as sequences of token ids, in memory-mappable files, and what it counted.

A shard is a corpus file, or several small ones. Documents go to train or validation by a hash, are encoded in batches,
and each file's two streams are cut into sequences. sequences.json lists the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
from pipeline.storage import sha256_of_file, write_json
from tokenizer.corpus_files import BucketFile, corpus_files, document_hashes, read_batches, read_counts
from tokenizer.coverage import Coverage
from tokenizer.folder import load_tokenizer
from tokenizer.layout import SequenceWriter, id_type
from tokenizer.names import MODEL_FILE
from tokenizer.pieces import UNK, Ids, Tokenizer
from tokenizer.settings import EncodeSettings
from tokenizer.stages import EncodeStage

SEQUENCES = "sequences.json"
SPLITS = ("train", "validation")
SALT = "validation"
WHOLE = 1 << 64
SHARES = 16
WORTH_A_SHARD = 16 << 20
"""Bytes of text that take about half a second to encode. Starting a worker takes as long, so no shard is smaller."""

CERTAIN = 50
"""Expected validation documents from which on the digests are not read: the probability of none is e^-50."""


@dataclass(frozen=True)
class EncodeFile:
    """One corpus file, the number of its output files, and the hash under which a document is validation.

    ``text_bytes`` is about how much text it holds: by it, small files are combined.
    """

    file: BucketFile
    number: int
    threshold: int
    text_bytes: int = 0

    def sequences(self, split: str) -> Path:
        """Where its sequences lie inside the output: ``<language>/<split>-<number>.bin``."""
        return Path(self.file.language) / f"{split}-{self.number:05d}.bin"


@dataclass(frozen=True)
class EncodeShard:
    """Files that are encoded by one worker, with the tokenizer in the folder ``model``."""

    files: tuple[EncodeFile, ...]
    model: Path

    @property
    def name(self) -> str:
        """The name of its first file, and how many follow."""
        more = f"+{len(self.files) - 1}" if len(self.files) > 1 else ""
        return self.files[0].file.name + more


def run(config: EncodeStage, inputs: Inputs, output: Path, context: Context) -> Counts:
    """Encode the corpus and list the sequences."""
    settings = config.encode
    model = inputs["tokenizer.train"]
    tokenizer = load_tokenizer(model)
    vocab_size = tokenizer.vocab_size
    files = list_files(settings, inputs["corpus.regroup"])
    shards = {shard.name: shard for shard in pack(files, model, shard_size(files, settings.shard_bytes))}
    counted = context.map_shards(partial(encode_shard, settings), shards, read_back=False)
    counts: dict[str, Counts] = {name: of for shard in counted.values() for name, of in shard["files"].items()}
    entries = {language: _entry(language, files, counts) for language in by_language(f.file for f in files)}
    languages = {name: entry for name, entry in entries.items() if any(entry[split]["sequences"] for split in SPLITS)}
    write_json(
        output / SEQUENCES,
        {
            "vocab_size": vocab_size,
            "vocabulary_sha256": sha256_of_file(model / MODEL_FILE),
            "mask_token_id": tokenizer.mask_token_id,
            "sequence_length": settings.sequence_length,
            "dtype": id_type(vocab_size).name,
            "languages": languages,
        },
    )
    if empty := sorted(entries.keys() - languages.keys()):
        context.warn(f"no text, so no sequences: {', '.join(empty)}")
    if alone := [name for name, entry in languages.items() if not entry["validation"]["sequences"]]:
        context.warn(f"one document only, so no validation: {', '.join(alone)}")
    return {"languages": len(languages), **sum_counts(counts)}


def list_files(settings: EncodeSettings, corpus: Path) -> list[EncodeFile]:
    """The files to encode, numbered in each language, with its threshold of validation."""
    chosen = settings.buckets, settings.languages
    documents, texts = (read_counts(corpus, what, *chosen) for what in ("documents", "bytes"))
    files: list[EncodeFile] = []
    for language, own in by_language(corpus_files(corpus, *chosen)).items():
        limit = validation_threshold(own, documents.get(language, 0), settings.validation_share)
        sizes = [file.path.stat().st_size for file in own]
        unpacked = texts.get(language, 0) / sum(sizes)
        files += [EncodeFile(own[i], i, limit, int(size * unpacked)) for i, size in enumerate(sizes)]
    return files


def by_language(files: Iterable[BucketFile]) -> dict[str, list[BucketFile]]:
    """The files of each language, in their order."""
    found: dict[str, list[BucketFile]] = {}
    for file in files:
        found.setdefault(file.language, []).append(file)
    return found


def shard_size(files: Sequence[EncodeFile], most: int) -> int:
    """Bytes of text that make a shard: at most ``most``, and of a small corpus a 16th, so that all workers have some.

    It depends on the corpus alone: another number of workers finds the shards that an interrupted run left.
    """
    return min(most, max(sum(file.text_bytes for file in files) // SHARES, WORTH_A_SHARD))


def pack(files: Sequence[EncodeFile], model: Path, enough: int) -> list[EncodeShard]:
    """Combine neighbouring files into shards of ``enough`` bytes: many files are small, and each shard is synced."""
    shards: list[EncodeShard] = []
    waiting: list[EncodeFile] = []
    size = 0
    for file in files:
        waiting.append(file)
        size += file.text_bytes
        if size >= enough:
            shards.append(EncodeShard(tuple(waiting), model))
            waiting, size = [], 0
    return [*shards, EncodeShard(tuple(waiting), model)] if waiting else shards


def _entry(language: str, files: Sequence[EncodeFile], counts: dict[str, Counts]) -> dict[str, Any]:
    entry: dict[str, Any] = {}
    for split in SPLITS:
        own = {file: counts[file.file.name][split] for file in files if file.file.language == language}
        names = [file.sequences(split).as_posix() for file, count in own.items() if count["sequences"]]
        entry[split] = {**sum_counts({file.file.name: count for file, count in own.items()}), "files": names}
    return entry


def validation_threshold(files: Sequence[BucketFile], documents: int, share: float) -> int:
    """The hash under which a document of this language is validation: ``share`` of them all, one at least of
    two.

    The digests of small languages are read, so that the document with the smallest hash
    is taken where none would be. A language with one document gives none, and no language gives all.
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
    """Encode the files of a shard. Memory: the model, one batch of documents and one sequence a split."""
    tokenizer, coverage = _load(shard.model)
    files = {
        file.file.name: _encode_file(settings, file, DocumentEncoder(tokenizer, coverage, settings.sentence), workspace)
        for file in shard.files
    }
    return ShardReport({"documents": sum(f[s]["documents"] for f in files.values() for s in SPLITS), "files": files})


def _encode_file(
    settings: EncodeSettings, file: EncodeFile, encoder: DocumentEncoder, workspace: Path
) -> dict[str, Counts]:
    dtype = id_type(encoder.tokenizer.vocab_size)
    complete = settings.break_mode == "complete"
    writers = {
        split: SequenceWriter(workspace / file.sequences(split), settings.sequence_length, dtype, complete=complete)
        for split in SPLITS
    }
    counts: dict[str, list[Counts]] = {split: [count_nothing()] for split in SPLITS}
    for batch in read_batches(file.file.path, ("digest", "url", "raw_content")):
        held_out = document_hashes(batch, SALT) < np.uint64(file.threshold)
        for split, chosen in (("train", ~held_out), ("validation", held_out)):
            if chosen.any():
                texts = batch.column("raw_content").filter(pa.array(chosen))
                stream, lengths, counted = encoder.encode(texts)
                writers[split].add(stream, lengths)
                counts[split].append(counted)
    for split, writer in writers.items():
        writer.close()
        counts[split].append({"sequences": writer.sequences})
    return {split: sum_counts(counts[split]) for split in SPLITS}


class DocumentEncoder:
    """Encodes documents into a stream of ids, and counts what is in them."""

    def __init__(self, tokenizer: Tokenizer, coverage: Coverage, sentence: str) -> None:
        self.tokenizer = tokenizer
        self._coverage = coverage
        self._lines = sentence == "line"

    def encode(self, texts: pa.Array) -> tuple[Ids, NDArray[np.int64], Counts]:
        """Return the ids of all documents, the length of each sentence with its ``</s>``, and counts."""
        sentences = self.sentences(texts).cast(pa.large_binary()).to_pylist()
        stream, lengths = self.tokenizer.encode_stream(sentences)
        tokens = count_tokens(stream, self.tokenizer.begins_word)
        unknown = self._coverage.unknown(sentences, stream, lengths) if tokens["unknown"] else 0
        texts_and_sentences = {**count_texts(texts), "sentences": len(sentences)}
        return stream, lengths, {**texts_and_sentences, **tokens, "unknown_characters": unknown}

    def sentences(self, texts: pa.Array) -> pa.Array:
        """Return what ``</s>`` ends: the documents, or their lines that are not empty."""
        if not self._lines:
            return texts
        lines = pc.utf8_trim_whitespace(pc.list_flatten(pc.split_pattern(texts, "\n")))
        return lines.filter(pc.greater(pc.binary_length(lines), 0))


def count_nothing() -> Counts:
    """The counts of a file without documents."""
    names = ("documents", "bytes", "characters", "sentences", "tokens", "unknown", "words", "unknown_characters")
    return dict.fromkeys(names, 0)


def count_texts(texts: pa.Array) -> Counts:
    """Documents, bytes, characters."""
    return {
        "documents": len(texts),
        "bytes": pc.sum(pc.binary_length(texts)).as_py() or 0,
        "characters": pc.sum(pc.utf8_length(texts)).as_py() or 0,
    }


def count_tokens(stream: Ids, begins_word: NDArray[np.bool_]) -> Counts:
    """Count tokens (``</s>`` included), those that are ``<unk>``, and words, which white space separates."""
    return {
        "tokens": len(stream),
        "unknown": int(np.count_nonzero(stream == UNK)),
        "words": int(np.count_nonzero(begins_word[stream])),
    }


@lru_cache(maxsize=1)
def _load(model: Path) -> tuple[Tokenizer, Coverage]:
    """One model a worker, not one a shard."""
    tokenizer = load_tokenizer(model)
    return tokenizer, Coverage(tokenizer)
