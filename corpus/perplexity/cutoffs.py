"""Stage ``corpus.cutoffs``: where each language's perplexities are cut into head, middle and tail.

They are percentiles over what was mined, paragraphs where these were scored and documents elsewhere; or a table that
the person gives. Writes cutoffs.json, the same with its provenance as table.json, and the histograms of the report.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus.perplexity.cutoff_table import TABLE, provenance_of, read_cutoffs, rows_of
from pipeline.context import Context
from pipeline.counts import Counts
from pipeline.stage import Inputs
from pipeline.storage import read_json, write_json

if TYPE_CHECKING:
    from corpus.settings import CutoffsStage

CUTOFFS = "cutoffs.json"
HISTOGRAMS = "histograms.json"
HISTOGRAM_BINS = 40

Perplexities = npt.NDArray[np.float64]


def run(config: CutoffsStage, inputs: Inputs, output: Path, context: Context) -> Counts:
    """Find the cut-offs."""
    settings = config.perplexity
    sample = sample_perplexities(inputs["corpus.mine"], settings.sample, context)
    percentiles = (settings.head_percentile, settings.middle_percentile)
    if settings.cutoffs:
        cutoffs = read_cutoffs(Path(settings.cutoffs), percentiles)
    else:
        cutoffs = {language: _percentiles(values, percentiles) for language, values in sample.items()}
    sizes = {} if settings.cutoffs else {language: len(values) for language, values in sample.items()}
    write_json(output / CUTOFFS, {language: list(pair) for language, pair in cutoffs.items()})
    write_json(output / TABLE, {**provenance_of(inputs, settings), "languages": rows_of(cutoffs, sizes, inputs)})
    write_json(output / HISTOGRAMS, {language: _histogram(values) for language, values in sample.items()})
    return {"languages": len(cutoffs), "perplexities": sum(map(len, sample.values()))}


def _percentiles(values: Perplexities, percentiles: tuple[float, float]) -> tuple[float, float]:
    head, middle = np.percentile(values, percentiles).tolist()
    return head, middle


def sample_perplexities(mined: Path, most: int, context: Context) -> dict[str, Perplexities]:
    """The first ``most`` perplexities of each language, in the order of the shards."""
    found: dict[str, list[Perplexities]] = defaultdict(list)
    counts: dict[str, int] = defaultdict(int)
    files = sorted(mined.glob("*.arrow"))
    with context.progress("reading", len(files), "shards") as bar:
        for path in files:
            for language, values in _perplexities(path):
                wanted = values[: most - counts[language]]
                counts[language] += len(wanted)
                found[language].append(wanted)
            bar.advance()
    return {language: np.concatenate(parts) for language, parts in sorted(found.items()) if counts[language]}


def _perplexities(path: Path) -> Iterator[tuple[str, Perplexities]]:
    """Of each record batch: its language, and the perplexities of its paragraphs, or else of its documents."""
    languages = read_json(path.with_suffix(".languages.json"))
    names = pa.ipc.open_file(str(path)).schema.names
    wanted = [names.index(name) for name in ("line_perplexities", "perplexity") if name in names]
    options = pa.ipc.IpcReadOptions(included_fields=wanted)
    with pa.memory_map(str(path)) as source, pa.ipc.open_file(source, options=options) as reader:
        for number, language in enumerate(languages):
            batch = reader.get_batch(number)
            values = batch.column("perplexity")
            if "line_perplexities" in names and batch.column("line_perplexities").null_count < batch.num_rows:
                values = batch.column("line_perplexities").flatten()
            found = values.drop_null().to_numpy(zero_copy_only=False).astype(np.float64).round(1)
            yield language, found[~np.isnan(found)]


def _histogram(values: Perplexities) -> dict[str, list[float]]:
    """Counts over bins that are equally wide in log10 of the perplexity."""
    logs = np.log10(np.maximum(values, 1))
    counts, edges = np.histogram(logs, bins=HISTOGRAM_BINS, range=(float(logs.min()), float(logs.max()) + 1e-6))
    return {"counts": counts.tolist(), "log10_edges": edges.tolist()}
