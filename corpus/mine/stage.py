"""Stage ``corpus.mine``: what is kept of each document: no duplicate lines, a language that is sure, its perplexity.

One shard reads its files again, along its line hashes. Documents go in batches through the steps of the settings:
deduplicate, identify, select, filter, mask, score, write. What is kept is gathered by language, so that each Arrow
record batch holds one language and corpus.regroup reads no more than it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from corpus.checks import known_codes
from corpus.crawl.chosen import chosen_file
from corpus.crawl.fetch import read_root, read_shards
from corpus.crawl.missing import without_missing
from corpus.filters.apply import FilterChain
from corpus.language.identifier import make_identifier
from corpus.mine.pipeline import make_pipeline
from corpus.mine.shard import MineShard, read_rows
from corpus.mine.steps import StepContext
from corpus.mine.writer import DroppedWriter, RecordWriter
from corpus.perplexity.score import languages_with_models, name_of_model
from pipeline.context import Context
from pipeline.counts import Counts, sum_counts
from pipeline.shards import ShardReport
from pipeline.stage import Inputs

if TYPE_CHECKING:
    from corpus.settings import MineStage


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
    counts = sum_counts(context.map_shards(partial(mine_shard, config), shards, read_back=False))
    read = counts.get("read", {}).get("documents", 0)
    if read and not counts["kept"]["documents"]:
        context.warn(nothing_kept(read, counts["dropped"]))
    there = set(languages_with_models(models))
    without = sorted(code for code in counts.get("languages", {}) if name_of_model(code, there) is None)
    if without:
        context.warn(f"languages without a language model, whose bucket is 'all': {' '.join(without)}")
    known = known_codes(config.language_id)
    never = sorted(there - {name_of_model(code, there) for code in known}) if known is not None else []
    if never:
        context.warn(f"this identifier has no label {' '.join(never)}, so their language models are not used")
    return counts


def nothing_kept(read: int, dropped: Mapping[str, Mapping[str, int]]) -> str:
    """The line for a corpus that came out empty: the reasons that most documents were dropped for."""
    reasons = sorted(dropped.items(), key=lambda one: (-one[1]["documents"], one[0]))[:3]
    named = ", ".join(f"{reason} ({amounts['documents']:,} documents)" for reason, amounts in reasons)
    return f"THE CORPUS IS EMPTY: {read:,} documents were read and none was kept; they were dropped for: {named}"


def mine_shard(config: MineStage, shard: MineShard, workspace: Path) -> ShardReport:
    """Write ``<shard>.arrow`` and, beside it, which language each of its record batches holds."""
    dropped_path = workspace / "dropped" / f"{shard.name}.arrow" if config.mine.keep_dropped else None
    with RecordWriter(workspace / f"{shard.name}.arrow") as writer, DroppedWriter(dropped_path) as dropped:
        mine = make_pipeline(StepContext(config, shard, writer, dropped))
        for rows in read_rows(shard, config.read):
            mine(rows)
    return ShardReport(mine.counts())
