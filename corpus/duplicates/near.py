"""Stage ``corpus.near_duplicates``: documents that are nearly the same, and which of them to drop. Off by default.

``drops/<stem>.npy``  int64, sorted: rows of that mined file to leave out.
``clusters.arrow``    every document of every cluster of two or more: cluster, URL, shard, row, whether it is kept, and
                      its estimated similarity to the one that is.
Beside these lie the signatures and bands that they are made from (corpus/duplicates/minhash.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus.duplicates.clusters import Forest, Numbers, SignatureFiles, find_clusters
from corpus.duplicates.minhash import MinedFile, bands_and_rows, sign_file
from pipeline.context import Context
from pipeline.counts import Counts
from pipeline.stage import Inputs

if TYPE_CHECKING:
    from corpus.duplicates.settings import NearDuplicates
    from corpus.settings import NearDuplicatesStage

DROPS = "drops"
CLUSTERS = "clusters.arrow"
ROW_BYTES = 300
"""Of one row of the clusters' table, while it is put together."""

TABLE = pa.schema(
    [
        ("cluster", pa.int64()),
        ("url", pa.string()),
        ("shard", pa.string()),
        ("row", pa.int64()),
        ("kept", pa.bool_()),
        ("similarity", pa.float32()),
    ]
)


@dataclass(frozen=True)
class Members:
    """Every document of a cluster of two or more, by cluster and then in order; ``kept`` is the one that stays."""

    documents: Numbers
    clusters: Numbers
    kept: Numbers


def run(config: NearDuplicatesStage, inputs: Inputs, output: Path, context: Context) -> Counts:
    """Sign every mined file, find the clusters, write what to drop."""
    settings = config.near_duplicates
    if not settings.enabled:
        return {}
    files = {path.stem: MinedFile(path) for path in sorted(inputs["corpus.mine"].glob("*.arrow"))}
    context.map_shards(partial(sign_file, settings), files)
    signed = SignatureFiles(output, list(files))
    forest = find_clusters(signed, settings.threshold, settings.memory_bytes)
    paths = [file.path for file in files.values()]
    members = find_members(forest, paths, signed.starts, settings)
    dropped = np.sort(members.documents[members.documents != members.kept])
    (output / DROPS).mkdir(exist_ok=True)
    for number, stem in enumerate(files):
        start, stop = np.searchsorted(dropped, signed.starts[number : number + 2])
        np.save(output / DROPS / f"{stem}.npy", dropped[start:stop] - signed.starts[number], allow_pickle=False)
    write_clusters(output / CLUSTERS, members, paths, signed, settings.memory_bytes)
    bands, rows = bands_and_rows(settings)
    clusters = len(np.unique(members.clusters))
    counts = {"documents": signed.documents, "clusters": clusters, "in_clusters": len(members.documents)}
    return {**counts, "dropped": len(dropped), "bands": bands, "rows": rows}


def read_near_drops(folder: Path, stem: str) -> npt.NDArray[np.int64]:
    """The rows of the mined file ``<stem>.arrow`` to drop, sorted, out of the output of corpus.near_duplicates."""
    if not (folder / DROPS).is_dir():  # it was not asked for
        return np.empty(0, np.int64)
    rows: npt.NDArray[np.int64] = np.load(folder / DROPS / f"{stem}.npy", allow_pickle=False)
    return rows


def find_members(forest: Forest, paths: Sequence[Path], starts: Numbers, settings: NearDuplicates) -> Members:
    """The documents of clusters of two or more, and the one that stays of each."""
    roots = forest.roots(np.arange(len(forest.parents)))
    sizes = np.bincount(roots, minlength=len(roots))
    documents = np.flatnonzero(sizes[roots] > 1)
    documents = documents[np.argsort(roots[documents], kind="stable")]
    clusters = roots[documents]
    begins = np.flatnonzero(np.diff(clusters, prepend=-1))
    numbers = np.repeat(np.arange(len(begins)), np.diff([*begins, len(documents)]))
    if settings.keep == "first":
        return Members(documents, numbers, clusters)
    lengths = np.empty(len(documents), np.int64)
    for number, path in enumerate(paths):
        here = np.flatnonzero((documents >= starts[number]) & (documents < starts[number + 1]))
        lengths[here] = _column(path, "length").to_numpy()[documents[here] - starts[number]]
    best = np.lexsort((documents, -lengths, numbers))[begins]
    return Members(documents, numbers, documents[best][numbers])


def _column(path: Path, name: str) -> pa.ChunkedArray:
    with pa.memory_map(str(path)) as source:
        place = pa.ipc.open_file(source).schema.get_field_index(name)
        options = pa.ipc.IpcReadOptions(included_fields=[place])
        return pa.ipc.open_file(source, options=options).read_all().column(0)


def write_clusters(
    target: Path, members: Members, paths: Sequence[Path], signed: SignatureFiles, memory_bytes: int
) -> None:
    """Write the table, some clusters at a time: for each lot every mined file's URLs are read once."""
    lot = max(memory_bytes // ROW_BYTES, 1)
    with pa.ipc.new_file(str(target), TABLE, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        for start in range(0, len(members.documents), lot):
            some = slice(start, start + lot)
            documents, kept = members.documents[some], members.kept[some]
            files = np.searchsorted(signed.starts, documents, "right") - 1
            rows = documents - signed.starts[files]
            urls = np.empty(len(documents), object)
            for file in np.unique(files):
                here = np.flatnonzero(files == file)
                urls[here] = _column(paths[file], "url").take(pa.array(rows[here])).to_pylist()
            columns = [
                pa.array(members.clusters[some]),
                pa.array(urls, pa.string()),
                pa.array([paths[file].stem for file in files], pa.string()),
                pa.array(rows),
                pa.array(documents == kept),
                pa.array(signed.similarity(documents, kept)),
            ]
            writer.write_batch(pa.record_batch(columns, schema=TABLE))
