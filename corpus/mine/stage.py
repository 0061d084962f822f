"""Stage ``corpus.mine``: what is kept of each document: no duplicate lines, one sure language, its perplexity.

One shard reads its WET files again and walks along its line hashes. Documents go in batches: those that lose all their
lines go first, then those whose language is unsure; the rest are scored language by language. Kept records are
gathered by language, so that each Arrow record batch holds one language and corpus.regroup reads no more than it needs.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from corpus.crawl.fetch import read_shards
from corpus.crawl.wet import Document, Tally, read_documents
from corpus.duplicates.exact import is_in, read_drops
from corpus.duplicates.hash import DOCUMENTS_AT_ONCE, Hashes, batched, first_in_document
from corpus.language.identifier import LanguageIdentifier, load_identifier
from corpus.output.records import MINED
from corpus.perplexity.score import languages_with_models, load_language_model
from pipeline.context import Context
from pipeline.counts import Counts, sum_counts
from pipeline.errors import XlmrError
from pipeline.shards import ShardReport
from pipeline.stage import Inputs
from pipeline.storage import write_json

if TYPE_CHECKING:
    from corpus.stages import MineStage

BATCH_CHARACTERS = 4_000_000
"""Text that is gathered of one language before it is written as one record batch."""


@dataclass(frozen=True)
class MineShard:
    """Where one shard's text and what was found out about it are."""

    name: str
    files: Sequence[str]
    hashes: Path
    duplicates: Path
    models: Path


@dataclass
class Kept:
    """What is left of a document after deduplication: its lines and their numbers, then its language and perplexity."""

    document: Document
    lines: list[str]
    line_ids: list[int]
    language: str = ""
    score: float = 0.0
    perplexity: float | None = None


@dataclass
class MineCounts:
    """Documents, lines and characters, before and after each step, and by language."""

    documents: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    lines: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    characters: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    languages: dict[str, dict[str, int]] = field(default_factory=dict)

    def add_kept(self, kept: Kept) -> None:
        """Count a document that stays."""
        characters = sum(map(len, kept.lines))
        self.documents["kept"] += 1
        self.characters["kept"] += characters
        self.lines["kept"] += len(kept.lines)
        of_language = self.languages.setdefault(kept.language, {"documents": 0, "characters": 0, "lines": 0})
        of_language["documents"] += 1
        of_language["characters"] += characters
        of_language["lines"] += len(kept.lines)

    def plain(self) -> Counts:
        """As plain values."""
        parts = {"documents": self.documents, "lines": self.lines, "characters": self.characters}
        return {**{name: dict(part) for name, part in parts.items()}, "languages": self.languages}


def run(config: MineStage, inputs: Inputs, output: Path, context: Context) -> Counts:
    """Mine each shard."""
    del output
    models = inputs["corpus.language_models"]
    shards = {
        name: MineShard(
            name, files, inputs["corpus.hash"] / "lines" / f"{name}.npy", inputs["corpus.duplicates"], models
        )
        for name, files in read_shards(inputs["corpus.fetch"]).items()
    }
    counts = sum_counts(context.map_shards(partial(mine_shard, config), shards))
    without = sorted(set(counts.get("languages", {})) - set(languages_with_models(models)))
    if without:
        context.warn(f"{len(without)} languages have no language model, their bucket is 'all': {' '.join(without)}")
    return counts


def mine_shard(config: MineStage, shard: MineShard, workspace: Path) -> ShardReport:
    """Write ``<shard>.arrow`` and, beside it, which language each of its record batches holds."""
    counts = MineCounts()
    drops = read_drops(shard.duplicates, shard.name)
    identifier = load_identifier(config.language_id.model)
    modelled = set(languages_with_models(shard.models))
    with RecordWriter(workspace / f"{shard.name}.arrow") as writer:
        for documents, hashes in _with_hashes(config, shard, Tally()):
            kept = deduplicate(documents, hashes, drops, counts)
            kept = identify(kept, identifier, config.language_id.threshold, counts)
            score(kept, shard.models, modelled)
            for one in kept:
                counts.add_kept(one)
                writer.add(one)
    return ShardReport(counts.plain())


def _with_hashes(config: MineStage, shard: MineShard, tally: Tally) -> Iterator[tuple[list[Document], Hashes]]:
    """Batches of documents, each with the hashes of its lines one after the other."""
    hashes: Hashes = np.load(shard.hashes, mmap_mode="r", allow_pickle=False)
    documents = read_documents(shard.files, config.read.min_characters, config.read.max_record_bytes, tally)
    start = 0
    for batch in batched(documents, DOCUMENTS_AT_ONCE):
        stop = start + sum(len(document.lines) for document in batch)
        yield batch, np.asarray(hashes[start:stop])
        start = stop
    if start != len(hashes):
        raise XlmrError(f"{shard.name}: its files changed after they were hashed", "run the same command again")


def deduplicate(documents: Sequence[Document], hashes: Hashes, drops: Hashes, counts: MineCounts) -> list[Kept]:
    """Leave out lines whose hash is in ``drops`` (sorted) and repeats in a document; then documents without text."""
    lengths = [len(document.lines) for document in documents]
    owner = np.repeat(np.arange(len(documents)), lengths)
    duplicate = is_in(hashes, drops)
    keep = first_in_document(hashes, owner) & ~duplicate
    counts.lines["read"] += len(hashes)
    counts.lines["duplicate"] += int(duplicate.sum())
    counts.lines["repeated in the document"] += int((~keep & ~duplicate).sum())
    kept = []
    for document, mask in zip(documents, np.split(keep, np.cumsum(lengths)[:-1]), strict=True):
        lines = list(compress(document.lines, mask))
        characters = sum(map(len, lines))
        counts.documents["read"] += 1
        counts.characters["read"] += sum(map(len, document.lines))
        counts.characters["after deduplication"] += characters
        if characters:
            kept.append(Kept(document, lines, np.flatnonzero(mask).tolist()))
        else:
            counts.documents["dropped: only duplicates"] += 1
    return kept


def identify(kept: Sequence[Kept], identifier: LanguageIdentifier, threshold: float, counts: MineCounts) -> list[Kept]:
    """Set language and score; leave out what is under the threshold. Lines are glued together, as cc_net does."""
    languages, scores = identifier.identify(["".join(one.lines) for one in kept])
    sure = []
    for one, language, value in zip(kept, languages, scores.tolist(), strict=True):
        if value < threshold or not language:
            counts.documents["dropped: language unsure"] += 1
            counts.characters["language unsure"] += sum(map(len, one.lines))
        else:
            one.language, one.score = language, value
            sure.append(one)
    return sure


def score(kept: Sequence[Kept], models: Path, modelled: set[str]) -> None:
    """Set the perplexity of documents whose language has a model, language by language."""
    by_language: dict[str, list[Kept]] = defaultdict(list)
    for one in kept:
        if one.language in modelled:
            by_language[one.language].append(one)
    for language, group in sorted(by_language.items()):
        model = load_language_model(models, language)
        values = model.perplexities(["\n".join(one.lines) for one in group]).tolist()
        for one, value in zip(group, values, strict=True):
            one.perplexity = None if math.isnan(value) else value


class RecordWriter:
    """Writes kept documents to an Arrow file, a language a record batch, and the list of these languages beside it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._characters: dict[str, int] = defaultdict(int)
        self._languages: list[str] = []

    def __enter__(self) -> RecordWriter:
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        self._writer = pa.ipc.new_file(str(self._path), MINED, options=options)
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            for language in sorted(self._waiting):
                self._flush(language)
            write_json(self._path.with_suffix(".languages.json"), self._languages)
        self._writer.close()

    def add(self, kept: Kept) -> None:
        """Take one document."""
        record = _record(kept)
        self._waiting[kept.language].append(record)
        self._characters[kept.language] += record["length"]
        if self._characters[kept.language] > BATCH_CHARACTERS:
            self._flush(kept.language)

    def _flush(self, language: str) -> None:
        records = self._waiting.pop(language)
        self._characters[language] = 0
        self._writer.write_batch(pa.RecordBatch.from_pylist(records, schema=MINED))
        self._languages.append(language)


def _record(kept: Kept) -> dict[str, Any]:
    document = kept.document
    text = "\n".join(kept.lines)
    return {
        "url": document.url,
        "date_download": document.date_download,
        "digest": document.digest,
        "length": len(text),
        "nlines": len(kept.lines),
        "source_domain": document.source_domain,
        "title": document.title,
        "raw_content": text,
        "cc_segment": document.segment,
        "original_nlines": len(document.lines),
        "original_length": document.length,
        "line_ids": kept.line_ids,
        "language": kept.language,
        "language_score": kept.score,
        "perplexity": kept.perplexity,
    }
