"""Stage ``corpus.fetch``: the files of the crawl, dealt out to shards. Writes shards.json, what later stages read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.context import Context
from pipeline.counts import Counts
from pipeline.errors import XlmrError
from pipeline.stage import Inputs
from pipeline.storage import expand, read_json, write_json

if TYPE_CHECKING:
    from corpus.stages import FetchStage

SHARDS = "shards.json"


def run(config: FetchStage, inputs: Inputs, output: Path, context: Context) -> Counts:
    """List the files and deal them out."""
    del inputs, context
    files = expand(config.fetch.crawl)
    shards = deal_out(files, config.fetch.shards or len(files))
    write_json(output / SHARDS, shards)
    return {"files": len(files), "shards": len(shards)}


def deal_out(files: list[str], shards: int) -> dict[str, list[str]]:
    """Shard i of N takes files [i·n//N, (i+1)·n//N). Source: cc_net mine.py. Errors: XlmrError if N > n."""
    if shards > len(files):
        raise XlmrError(f"{len(files)} files cannot fill {shards} shards", "set corpus.fetch.shards lower")
    n = len(files)
    return {f"shard-{i:05d}": files[i * n // shards : (i + 1) * n // shards] for i in range(shards)}


def read_shards(folder: Path) -> dict[str, list[str]]:
    """What corpus.fetch wrote: the files of each shard, by its name, in order."""
    shards: dict[str, Any] = read_json(folder / SHARDS)
    return shards
