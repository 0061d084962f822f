"""Stage ``corpus.mine``: what is kept of each document: no duplicate lines, a language that is sure, its perplexity.

One shard reads its files again and walks along its line hashes. Documents go in batches, and through one step after
the other: deduplicate, identify, filter, score. What is kept is gathered by language, so that each Arrow record batch
holds one language and corpus.regroup reads no more than it needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from corpus.checks import known_codes
from corpus.crawl.chosen import chosen_file, read_chosen
from corpus.crawl.fetch import dump_of, read_root, read_shards
from corpus.crawl.missing import without_missing
from corpus.crawl.tally import Tally
from corpus.crawl.wet import Document, read_crawl
from corpus.duplicates.arrays import Hashes
from corpus.duplicates.exact import read_drops
from corpus.duplicates.hash import DOCUMENTS_AT_ONCE, batched
from corpus.filters.apply import FilterChain, load_filters
from corpus.language.identifier import load_identifier, make_identifier
from corpus.mine.documents import Models, identify_documents, score_documents
from corpus.mine.filtering import filter_rows, mask_rows
from corpus.mine.paragraphs import identify_paragraphs, score_paragraphs
from corpus.mine.rows import Drop, Row, deduplicate
from corpus.mine.tally import MineTally
from corpus.mine.writer import DroppedWriter, RecordWriter
from corpus.perplexity.score import LanguageModel, languages_with_models, load_language_model, name_of_model
from pipeline.context import Context
from pipeline.counts import Counts, sum_counts
from pipeline.errors import XlmrError
from pipeline.shards import ShardReport
from pipeline.stage import Inputs

if TYPE_CHECKING:
    from corpus.stages import MineStage

OTHER_DUMP = "another dump's language"
OTHER_LANGUAGE = "not one of the languages asked for"


@dataclass(frozen=True)
class MineShard:
    """Where one shard's text and what was found out about it are. ``root`` is left out of the names of files."""

    name: str
    files: Sequence[str]
    hashes: Path
    duplicates: Path
    models: Path
    root: str = ""
    chosen: Path | None = None


def run(config: MineStage, inputs: Inputs, output: Path, context: Context) -> Counts:
    """Mine each shard. Errors: XlmrError where the identifier or a list of the filters cannot be used, before any."""
    del output
    make_identifier(config.language_id)
    FilterChain(config.filters)
    models, hashes = inputs["corpus.language_models"], inputs["corpus.hash"]
    root = read_root(inputs["corpus.fetch"])
    shards = {
        name: MineShard(
            name,
            without_missing(hashes, name, files),
            hashes / "lines" / f"{name}.npy",
            inputs["corpus.duplicates"],
            models,
            root,
            chosen_file(inputs["corpus.fetch"], name),
        )
        for name, files in read_shards(inputs["corpus.fetch"]).items()
    }
    counts = sum_counts(context.map_shards(partial(mine_shard, config), shards))
    read = counts.get("read", {}).get("documents", 0)
    if read and not counts["kept"]["documents"]:
        context.warn(nothing_kept(read, counts["dropped"]))
    there = set(languages_with_models(models))
    without = sorted(code for code in counts.get("languages", {}) if name_of_model(code, there) is None)
    if without:
        context.warn(f"{len(without)} languages have no language model, their bucket is 'all': {' '.join(without)}")
    known = known_codes(config.language_id)
    never = sorted(there - {name_of_model(code, there) for code in known}) if known is not None else []
    if never:
        context.warn(f"no text is ever called {' '.join(never)} by this identifier, so their models are not used")
    return counts


def nothing_kept(read: int, dropped: Mapping[str, Mapping[str, int]]) -> str:
    """The line for a corpus that came out empty: the reasons that most documents went for."""
    reasons = sorted(dropped.items(), key=lambda one: (-one[1]["documents"], one[0]))[:3]
    told = ", ".join(f"{reason} ({amounts['documents']:,} documents)" for reason, amounts in reasons)
    return f"THE CORPUS IS EMPTY: {read:,} documents were read and none was kept; they went for: {told}"


def mine_shard(config: MineStage, shard: MineShard, workspace: Path) -> ShardReport:
    """Write ``<shard>.arrow`` and, beside it, which language each of its record batches holds."""
    tally = MineTally()
    drops = read_drops(shard.duplicates, shard.name)
    dropped_path = workspace / "dropped" / f"{shard.name}.arrow" if config.mine.keep_dropped else None
    with RecordWriter(workspace / f"{shard.name}.arrow") as writer, DroppedWriter(dropped_path) as dropped:

        def drop(row: Row, reason: str) -> None:
            lines, characters = len(row.lines), row.characters
            tally.drop(reason, language=row.language, documents=1, lines=lines, characters=characters)
            dropped.add(row, reason)

        models = models_in(shard.models, config.scoring.memory_bytes)
        sift = Sift(config, dump_of(shard.name), models, drop, tally)
        for documents, hashes in _with_hashes(config, shard):
            for row in sift.rows(deduplicate(documents, hashes, drops, drop, tally)):
                writer.add(row)
    return ShardReport(tally.plain())


class Sift:
    """The steps after deduplication: language, dump, filters, perplexity; by document or by paragraph."""

    def __init__(self, config: MineStage, dump: str, models: Models, drop: Drop, tally: MineTally) -> None:
        self._config = config
        self._dump = dump
        self._models = models
        self._drop = drop
        self._tally = tally
        self._filters = load_filters(config.filters)
        by_document = config.mine.unit == "document"
        self._identify = identify_documents if by_document else identify_paragraphs
        self._score = score_documents if by_document else score_paragraphs

    def rows(self, rows: Sequence[Row]) -> list[Row]:
        """Those that stay, with language and perplexity. They are counted before anything is masked."""
        settings = self._config.language_id
        rows = self._identify(rows, load_identifier(settings), settings, self._drop)
        kept = [row for row in rows if self._is_taken(row)]
        if not self._filters.empty:
            kept = filter_rows(kept, self._filters, self._drop, self._tally)
        for row in kept:
            self._tally.keep(row.language, len(row.lines), row.characters)
        mask_rows(kept, self._filters, self._tally)
        self._score(kept, self._models)
        return kept

    def _is_taken(self, row: Row) -> bool:
        mine = self._config.mine
        if mine.languages and row.language not in mine.languages:
            self._drop(row, OTHER_LANGUAGE)
            return False
        if not mine.takes(row.language, self._dump):
            self._drop(row, OTHER_DUMP)
            return False
        return True


def models_in(folder: Path, memory_bytes: int) -> Models:
    """The models in a folder, by language: see ``name_of_model``."""
    there = set(languages_with_models(folder))

    def model(language: str) -> LanguageModel | None:
        name = name_of_model(language, there)
        return load_language_model(folder, name, memory_bytes) if name else None

    return model


def _with_hashes(config: MineStage, shard: MineShard) -> Iterator[tuple[list[Document], Hashes]]:
    """Batches of documents, each with the hashes of its lines one after the other."""
    hashes: Hashes = np.load(shard.hashes, mmap_mode="r", allow_pickle=False)
    documents = read_crawl(shard.files, config.read, Tally(), root=shard.root, chosen=read_chosen(shard.chosen))
    start = 0
    for batch in batched(documents, DOCUMENTS_AT_ONCE):
        stop = start + sum(len(document.lines) for document in batch)
        yield batch, np.asarray(hashes[start:stop])
        start = stop
    if start != len(hashes):
        raise XlmrError(f"{shard.name}: its files changed after they were hashed", "run the same command again")
