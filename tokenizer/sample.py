"""The stage tokenizer.sample: lines drawn from the corpus, in one text file for each file of the corpus.

Whether a line is drawn depends on its document's digest, its place there and the seed alone, so the text is
the same whatever the number of workers, and no line is drawn twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.context import Context
from pipeline.counts import Counts, sum_counts
from pipeline.errors import XlmrError
from pipeline.lines import cut
from pipeline.shards import ShardReport
from pipeline.stage import Inputs
from pipeline.storage import write_json
from tokenizer.corpus_files import BucketFile, corpus_files, document_hashes, mix, read_batches, read_counts
from tokenizer.folder import load_tokenizer
from tokenizer.hugging_face import check_exportable
from tokenizer.settings import SampleSettings
from tokenizer.shares import drawn_fractions, smoothed_shares
from tokenizer.stages import SampleStage, TrainStage

LANGUAGES = "languages.json"
TEXT = "text"
"""Folder of the drawn text inside the output."""


@dataclass(frozen=True)
class SampleShard:
    """One corpus file and the fraction of its lines to draw."""

    file: BucketFile
    fraction: float


def check(config: SampleStage | TrainStage) -> None:
    """Errors: XlmrError where the existing vocabulary cannot be read or cannot be exported."""
    if existing := config.existing.path():
        check_exportable(load_tokenizer(existing))


def run(config: SampleStage, inputs: Inputs, output: Path, context: Context) -> Counts:
    """Draw the text and write the table of languages, which is empty if ``existing.model`` is set."""
    if config.existing.path():
        write_json(output / LANGUAGES, {})
        return {}
    settings = config.sample
    corpus = inputs["corpus.regroup"]
    chosen = settings.buckets, settings.languages
    files = corpus_files(corpus, *chosen)
    characters = read_counts(corpus, "characters", *chosen)
    sizes = read_counts(corpus, "bytes", *chosen)
    unknown = sorted({file.language for file in files} - characters.keys())
    if unknown:
        raise XlmrError(f"{corpus / 'counts.json'}: does not count {', '.join(unknown)}", "run corpus.regroup again")
    fractions = drawn_fractions(characters, sizes, settings.alpha, settings.bytes)
    if sum(sizes.values()) <= settings.bytes:
        context.warn(
            f"the corpus has {sum(sizes.values()):,} bytes, not more than sample.bytes={settings.bytes:,}: "
            "all of it is used, and alpha has no effect"
        )
    shards = {file.name: SampleShard(file, fractions[file.language]) for file in files if fractions[file.language] > 0}
    counts = context.map_shards(partial(draw_shard, settings), shards, read_back=False)
    drawn: dict[str, list[Counts]] = {}
    for name, shard in shards.items():
        drawn.setdefault(shard.file.language, []).append(counts[name])
    totals = {language: sum_counts(parts) for language, parts in sorted(drawn.items())}
    write_json(output / LANGUAGES, language_table(settings, characters, sizes, fractions, totals))
    return {"languages": len(totals), **sum_counts(totals)}


def language_table(
    settings: SampleSettings,
    characters: Mapping[str, int],
    sizes: Mapping[str, int],
    fractions: Mapping[str, float],
    totals: Mapping[str, Counts],
) -> dict[str, dict[str, Any]]:
    """Return a row for each language: available text, target share, drawn share and amounts."""
    natural = smoothed_shares(characters, 1.0)
    target = smoothed_shares(characters, settings.alpha)
    nothing: Counts = {"bytes": 0, "characters": 0, "lines": 0, "cuts": 0}
    all_drawn = sum(total["characters"] for total in totals.values()) or 1
    table = {}
    for language, available in characters.items():
        drawn = totals.get(language, nothing)
        table[language] = {
            "available_characters": available,
            "available_bytes": sizes[language],
            "natural_share": natural[language],
            "target_share": target[language],
            "drawn_share": drawn["characters"] / all_drawn,
            "fraction": fractions[language],
            **{f"drawn_{name}": drawn[name] for name in ("characters", "bytes", "lines")},
        }
    return table


def draw_shard(settings: SampleSettings, shard: SampleShard, workspace: Path) -> ShardReport:
    """Draw from one corpus file into ``text/<language>/<bucket>-<number>.txt``, unless no line is drawn."""
    counts = {"bytes": 0, "characters": 0, "lines": 0, "cuts": 0}
    path = workspace / TEXT / shard.file.language / f"{shard.file.path.stem}.txt"
    path.parent.mkdir(parents=True)
    with path.open("wb") as text:
        for batch in read_batches(shard.file.path, ("digest", "url", "raw_content")):
            lines = draw_lines(batch, shard.fraction, settings.seed)
            whole = [
                piece
                for line in lines.cast(pa.large_binary()).to_pylist()
                for piece in cut(line, settings.max_sentence_length)
            ]
            text.writelines(b"%b\n" % line for line in whole)
            counts["characters"] += pc.sum(pc.utf8_length(lines)).as_py() or 0
            counts["bytes"] += pc.sum(pc.binary_length(lines)).as_py() or 0
            counts["lines"] += len(whole)
            counts["cuts"] += len(whole) - len(lines)
    if not counts["lines"]:
        path.unlink()
    return ShardReport(counts)


def draw_lines(batch: pa.RecordBatch, fraction: float, seed: int) -> pa.Array:
    """The drawn lines of the documents of ``batch``, stripped, empty ones left out."""
    split = pc.split_pattern(batch.column("raw_content"), "\n")
    lines = pc.list_flatten(split)
    if fraction < 1:
        document = pc.list_parent_indices(split).to_numpy().astype(np.int64)
        first = np.searchsorted(document, np.arange(len(batch)))
        position = np.arange(len(document)) - first[document]
        draws = uniform(document_hashes(batch, f"sample {seed}")[document] + position.astype(np.uint64))
        lines = lines.filter(pa.array(draws < fraction))
    lines = pc.utf8_trim_whitespace(lines)
    return lines.filter(pc.greater(pc.binary_length(lines), 0))


def uniform(keys: NDArray[np.uint64]) -> NDArray[np.float64]:
    """A number in [0, 1) for each key: 53 bits of its hash."""
    return (mix(keys) >> np.uint64(11)).astype(np.float64) * 2.0**-53
