"""Stage ``corpus.fetch``: assigns the files of the crawl to shards. Writes shards.json, what later stages read, and
root.json, the folder that local files lie in.

No file of the crawl is fetched here: whoever reads a shard fetches its files (corpus/crawl/cache.py), so that a dump
never has to lie on one disk.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus.crawl.addresses import address_of, wet_of
from corpus.crawl.dumps import files_of, list_of_files, root_of
from pipeline.context import Context
from pipeline.counts import Counts
from pipeline.errors import XlmrError
from pipeline.stage import Inputs
from pipeline.storage import read_json, write_json

if TYPE_CHECKING:
    from corpus.crawl.settings import Fetch
    from corpus.settings import FetchStage

SHARDS = "shards.json"
ROOT_FOLDER = "root.json"
WITHOUT_DUMP = "shard"
RECORDS_A_SHARD = 100_000
"""Of records that an index chooses, where ``fetch.shards`` does not say how many shards there are: our choice."""


def run(config: FetchStage, inputs: Inputs, output: Path, context: Context) -> Counts:
    """List the files and assign them to shards."""
    del inputs, context
    fetch = config.fetch
    counts = {"dumps": len(fetch.dumps)}
    if fetch.index.files:
        from corpus.crawl.chosen import write_chosen
        from corpus.crawl.index import choose

        table = choose(fetch)
        found = table.column("file").unique().to_pylist()
        names = {address_of(_file_of(name, fetch.kind), fetch.base): name for name in found}
        shards = _picked(sorted(names), fetch, WITHOUT_DUMP, -(-table.num_rows // RECORDS_A_SHARD))
        write_chosen(table, shards, names, output)
        counts |= {"records": table.num_rows}
    else:
        shards = all_shards(fetch)
    write_json(output / SHARDS, shards)
    is_own = not fetch.dumps and not fetch.index.files
    write_json(output / ROOT_FOLDER, root_of(fetch.crawl) if is_own else "")
    return {"files": sum(map(len, shards.values())), "shards": len(shards), **counts}


def _file_of(name: str, kind: str) -> str:
    """The file of the crawl that is read for a WARC file of the index."""
    return name if kind == "warc" else wet_of(name)


def all_shards(fetch: Fetch) -> dict[str, list[str]]:
    """The files of each shard that is picked, by its name."""
    if fetch.dumps:
        sources = {dump: list_of_files(fetch, dump) for dump in fetch.dumps}
    else:
        sources = {WITHOUT_DUMP: files_of(fetch.crawl)}
    shards: dict[str, list[str]] = {}
    for name, files in sources.items():
        shards |= _picked(files, fetch, name, len(files))
    return shards


def _picked(files: list[str], fetch: Fetch, name: str, usual: int) -> dict[str, list[str]]:
    """The shards that are picked, of ``usual`` many where no number is set."""
    dealt = deal_out(files, fetch.shards or min(usual, len(files)), name)
    picked = list(dealt)[_as_slice(fetch.pick)]
    if not picked:
        raise XlmrError(f"pick {fetch.pick} takes none of {len(dealt)} shards", "change corpus.fetch.pick")
    return {shard: dealt[shard] for shard in picked}


def deal_out(files: list[str], shards: int, name: str = WITHOUT_DUMP) -> dict[str, list[str]]:
    """Shard i of N takes files [i·n//N, (i+1)·n//N). Source: cc_net mine.py. Errors: XlmrError if N > n."""
    if shards > len(files):
        raise XlmrError(f"{len(files)} files cannot fill {shards} shards", "set corpus.fetch.shards lower")
    n = len(files)
    return {f"{name}-{i:05d}": files[i * n // shards : (i + 1) * n // shards] for i in range(shards)}


def dump_of(shard: str) -> str:
    """The dump that a shard is of; ``shard`` for those that are of no named dump."""
    return shard.rpartition("-")[0]


def read_shards(folder: Path) -> dict[str, list[str]]:
    """What corpus.fetch wrote: the files of each shard, by its name, in order."""
    shards: dict[str, Any] = read_json(folder / SHARDS)
    return shards


def read_root(folder: Path) -> str:
    """The folder of this machine that the files of the shards lie in, with its slash; empty for others."""
    root: str = read_json(folder / ROOT_FOLDER)
    return root


def _as_slice(pick: str | None) -> slice:
    if pick is None:
        return slice(None)
    if ":" not in pick:
        return slice(int(pick), int(pick) + 1 or None)
    return slice(*[int(part) if part else None for part in pick.split(":")])
