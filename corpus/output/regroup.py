"""Stage ``corpus.regroup``: the corpus, as Arrow files by language and bucket: ``<language>/<bucket>-<number>.arrow``.

First each mined file is measured: the bytes and the bucket of every row. From these alone follows which rows stand in
which file: a file is closed by the last row that fits into ``file_bytes`` of text. Then the files are written, the few
that lie in the same mined batches together as one shard, so that a language of any size is worked on by all workers.
Also written: counts.json, and README.md, the dataset card.
"""

from __future__ import annotations

import copy
import re
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus.output.arrow_files import BatchWriter, read_batches, read_numbered, text_bytes, with_columns
from corpus.output.card import write_card
from corpus.output.corpus_folder import COUNTS, files_among
from corpus.output.file_boundaries import LEFT_OUT, Codes, Cutter, FileCut, Sizes
from corpus.output.masks import masks_of, write_masks
from corpus.output.reading import reading_of, write_reading
from corpus.output.records import BUCKETS, CORPUS
from corpus.perplexity.cutoff_table import cutoffs_of
from corpus.perplexity.cutoffs import CUTOFFS
from pipeline.config import fingerprint
from pipeline.context import Context
from pipeline.counts import Counts, sum_counts
from pipeline.errors import XlmrError
from pipeline.manifest import MANIFEST
from pipeline.shards import ShardReport
from pipeline.shards.partitions import FinishedByOtherError
from pipeline.stage import Inputs
from pipeline.storage import read_json, write_json

if TYPE_CHECKING:
    from corpus.output.settings import Regroup
    from corpus.settings import RegroupStage

COUNTED = ("documents", "characters", "bytes")
MEASURED = ".measured"
FINISHING_SECONDS = 30.0
"""After what was measured is removed, the manifest of the stage is there by then."""

MEASURE = pa.schema([("bytes", pa.int64()), ("bucket", pa.int8())])
"""Of each row of a mined file, in batches as there: bytes of text, and the number of its bucket or LEFT_OUT."""

LANGUAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,30}")

Cutoffs = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class MeasuredFile:
    """A mined file: its record batches hold one language each. ``measured`` is what was measured of it."""

    mined: Path
    measured: Path

    def languages(self) -> list[str]:
        """The language of each record batch. Errors: XlmrError for one that cannot name a folder."""
        path = self.mined.with_suffix(".languages.json")
        languages: list[str] = read_json(path)
        for language in languages:
            if not LANGUAGE.fullmatch(language):
                raise XlmrError(f"{path}: {language!r} cannot be a language's code", "check the identifier's labels")
        return languages


@dataclass(frozen=True)
class FileGroup:
    """Files of one language that are written together, and the mined files that their rows lie in.

    ``first`` is the number of the first of ``sources`` in the whole list, what the cuts count from.
    """

    language: str
    first: int
    sources: tuple[MeasuredFile, ...]
    cuts: tuple[FileCut, ...]


def run(config: RegroupStage, inputs: Inputs, output: Path, context: Context) -> Counts:
    """Write each language's files, and the corpus's card."""
    cutoffs = {language: (low, high) for language, (low, high) in read_json(inputs["corpus.cutoffs"] / CUTOFFS).items()}
    mined = sorted(inputs["corpus.mine"].glob("*.arrow"))
    measure = partial(measure_mined, cutoffs, inputs.get("corpus.near_duplicates"))
    counts = regroup(measure, mined, config.regroup, output, context)
    write_masks(output, masks_of(inputs["corpus.mine"]))
    write_reading(output, reading_of(inputs["corpus.mine"]))
    files = files_among(output / name for name in context.shard_files)
    write_card(output, inputs, fingerprint(config), counts, files)
    forget_measured(output)
    return counts


def regroup(
    measure: Callable[[MeasuredFile, Path], ShardReport], mined: Sequence[Path], settings: Regroup, output: Path,
    context: Context,
) -> Counts:  # fmt: skip
    """Measure the mined files by ``measure``, cut, write the files and counts.json; give the counts in all.

    What was measured stays until ``forget_measured``. Errors: FinishedByOtherError where another task did so.
    """
    folder = output / MEASURED
    sources = [MeasuredFile(path, folder / f"{path.stem}.sizes") for path in mined]
    left_out = sum_counts(
        _inside(folder, context).map_shards(measure, {source.mined.stem: source for source in sources})
    )
    groups = _cut_unless_finished(sources, settings.file_bytes, output)
    by_group = context.map_shards(partial(write_group, settings), groups, read_back=False)
    by_language: dict[str, list[Counts]] = defaultdict(list)
    for name, counts in by_group.items():
        by_language[groups[name].language].append(counts)
    summed = {language: sum_counts(parts) for language, parts in sorted(by_language.items())}
    table = {what: {language: counts[what] for language, counts in summed.items()} for what in COUNTED}
    write_json(output / COUNTS, table)
    totals = {what: sum(sum_counts(list(rows.values())).values()) for what, rows in table.items()}
    by_bucket = sum_counts(list(table["documents"].values()))
    return {**totals, **left_out, "languages": len(summed), "by_bucket": by_bucket}


def forget_measured(output: Path) -> None:
    """Remove what was measured: the last thing that the task does which finishes the corpus."""
    shutil.rmtree(output / MEASURED, ignore_errors=True)


def _cut_unless_finished(sources: Sequence[MeasuredFile], file_bytes: int, output: Path) -> dict[str, FileGroup]:
    """The groups; of several tasks, one may be so late that another has finished and removed what was measured."""
    try:
        return cut_into_groups(sources, file_bytes)
    except FileNotFoundError:
        if not (output / COUNTS).exists():
            raise
        end = time.monotonic() + FINISHING_SECONDS
        while not (output / MANIFEST).exists():
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        raise FinishedByOtherError from None


def _inside(folder: Path, context: Context) -> Context:
    """The same context for shards whose files are only needed until this stage is complete."""
    inside = copy.copy(context)
    inside.output = folder
    inside.shard_files = {}
    return inside


def measure_mined(cutoffs: Cutoffs, near: Path | None, source: MeasuredFile, workspace: Path) -> ShardReport:
    """Measure one mined file: the buckets follow from the perplexities, near-duplicates are left out."""
    drops = _near_drops(near, source.mined.stem)

    def codes_of(language: str, batch: pa.RecordBatch, first_row: int) -> Codes:
        codes = code_of(bucket_of(batch.column("perplexity"), cutoffs_of(language, cutoffs)))
        here = drops[(drops >= first_row) & (drops < first_row + batch.num_rows)] - first_row
        codes[here] = LEFT_OUT
        return codes

    write_measure(source, workspace, codes_of, ("perplexity",))
    return ShardReport({"near_duplicates_left_out": len(drops)} if near else {})


def write_measure(
    source: MeasuredFile, workspace: Path, codes_of: Callable[[str, pa.RecordBatch, int], Codes], columns: Sequence[str]
) -> None:
    """Write bytes and bucket of every row.

    ``codes_of`` takes a language, a batch of its rows (``columns`` of them), and the number of the first in the file.
    """
    first_row = 0
    with pa.ipc.new_file(str(workspace / source.measured.name), MEASURE) as writer:
        batches = read_batches(source.mined, ("raw_content", *columns))
        for language, batch in zip(source.languages(), batches, strict=True):
            codes = codes_of(language, batch, first_row)
            writer.write_batch(pa.record_batch([text_bytes(batch), codes], schema=MEASURE))
            first_row += batch.num_rows


def _near_drops(folder: Path | None, stem: str) -> Sizes:
    if folder is None:
        return np.empty(0, np.int64)
    from corpus.duplicates.near import read_near_drops

    drops: Sizes = np.unique(read_near_drops(folder, stem))
    return drops


def bucket_of(perplexity: pa.Array, cutoffs: tuple[float, float] | None) -> pa.Array:
    """Cut: head < first cut-off ≤ middle < second ≤ tail; all without perplexity. Source: cc_net perplexity.py."""
    if cutoffs is None:
        return pa.array(["all"] * len(perplexity), pa.string())
    head, middle = cutoffs
    # The decimal that was rounded, not its float32 neighbour: one that equals the cut-off is not under it.
    value = pc.round(perplexity.cast(pa.float64()), 1)
    labels = pc.if_else(pc.less(value, head), "head", pc.if_else(pc.less(value, middle), "middle", "tail"))
    return pc.fill_null(labels, "all")


def code_of(buckets: pa.Array) -> Codes:
    """The number of each bucket in BUCKETS."""
    codes: Codes = pc.index_in(buckets, value_set=pa.array(BUCKETS)).to_numpy().astype(np.int8)
    return codes


def cut_into_groups(sources: Sequence[MeasuredFile], file_bytes: int) -> dict[str, FileGroup]:
    """All files of the corpus, by groups that are written together."""
    cutters: dict[str, Cutter] = {}
    for number, source in enumerate(sources):
        measured = read_batches(source.measured)
        for batch, (language, sizes) in enumerate(zip(source.languages(), measured, strict=True)):
            cutter = cutters.setdefault(language, Cutter(file_bytes))
            cutter.add(number, batch, sizes.column("bytes").to_numpy(), sizes.column("bucket").to_numpy())
    groups = {}
    for language, cutter in sorted(cutters.items()):
        for number, cuts in cutter.finish():
            first, last = min(cut.start.file for cut in cuts), max(cut.end for cut in cuts)
            name = f"{language}-{number:05d}"
            groups[name] = FileGroup(language, first, tuple(sources[first : last + 1]), tuple(cuts))
    return groups


def write_group(settings: Regroup, group: FileGroup, workspace: Path) -> ShardReport:
    """Write the files of one group."""
    folder = workspace / group.language
    folder.mkdir()
    counts: Counts = {what: {} for what in COUNTED}
    with ExitStack() as stack:
        files = [stack.enter_context(_BucketFiles(folder, settings, cuts)) for cuts in _by_bucket(group.cuts)]
        for file, batch, rows, sizes, codes in _read(group):
            for one in files:
                one.write(file, batch, rows, sizes, codes, counts)
            if all(one.complete for one in files):
                return ShardReport(counts)
    raise XlmrError(
        f"{group.language}: the mined files changed while they were regrouped", "run the same command again"
    )


def _by_bucket(cuts: Sequence[FileCut]) -> list[list[FileCut]]:
    return [own for bucket in BUCKETS if (own := [cut for cut in cuts if cut.bucket == bucket])]


def _read(group: FileGroup) -> Iterator[tuple[int, int, pa.RecordBatch, Sizes, Codes]]:
    """The record batches of the group's language, with where they stand and what was measured of their rows."""
    for file, source in enumerate(group.sources, group.first):
        numbers = [number for number, language in enumerate(source.languages()) if language == group.language]
        pairs = zip(read_numbered(source.mined, numbers), read_numbered(source.measured, numbers), strict=True)
        for number, (rows, measured) in zip(numbers, pairs, strict=True):
            yield file, number, rows, measured.column("bytes").to_numpy(), measured.column("bucket").to_numpy()


class _BucketFiles:
    """The files of one bucket in a group, one after the other: ``cuts`` without a gap."""

    def __init__(self, folder: Path, settings: Regroup, cuts: Sequence[FileCut]) -> None:
        self._folder, self._settings = folder, settings
        self._cuts = list(cuts)
        self._start = cuts[0].start
        self._code = BUCKETS.index(cuts[0].bucket)
        self._missing = cuts[0].rows
        self._writer: BatchWriter | None = None

    def __enter__(self) -> _BucketFiles:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if self._writer is not None:
            self._writer.__exit__(kind, None, None)

    @property
    def complete(self) -> bool:
        """Whether all rows of all files are written."""
        return not self._cuts

    def write(self, file: int, batch: int, rows: pa.RecordBatch, sizes: Sizes, codes: Codes, counts: Counts) -> None:
        """Take what is this bucket's out of a record batch."""
        if self.complete or (file, batch) < (self._start.file, self._start.batch):
            return
        own = np.flatnonzero(codes == self._code)
        if (file, batch) == (self._start.file, self._start.batch):
            own = own[self._start.skip :]
        while len(own) and not self.complete:
            here = own[: self._missing]
            self._append(rows.take(pa.array(here)), sizes[here], counts)
            own = own[len(here) :]

    def _append(self, rows: pa.RecordBatch, sizes: Sizes, counts: Counts) -> None:
        cut = self._cuts[0]
        if self._writer is None:
            path = self._folder / f"{cut.bucket}-{cut.number:05d}.arrow"
            self._writer = BatchWriter(path, CORPUS, self._settings.compression, self._settings.batch_bytes)
        self._writer.write(_as_record(rows, cut.bucket), sizes)
        sums = (rows.num_rows, pc.sum(rows.column("length")).as_py(), int(sizes.sum()))
        for what, number in zip(COUNTED, sums, strict=True):
            counts[what][cut.bucket] = counts[what].get(cut.bucket, 0) + number
        self._missing -= rows.num_rows
        if not self._missing:
            self._writer.__exit__(None, None, None)
            self._writer = None
            del self._cuts[0]
            self._missing = self._cuts[0].rows if self._cuts else 0


def _as_record(rows: pa.RecordBatch, bucket: str) -> pa.RecordBatch:
    """The columns of CORPUS; ``bucket`` is what the rows were cut into."""
    labels = pa.repeat(bucket, rows.num_rows)
    columns = dict(zip(rows.schema.names, rows.columns, strict=True))
    return with_columns(pa.record_batch({**columns, "bucket": labels}), CORPUS)
