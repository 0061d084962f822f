"""Stage ``corpus.cutoffs``: where each language's perplexities are cut into head, middle and tail.

They are percentiles over the crawl's own documents, or a table that the person gives. Writes cutoffs.json, and the
histograms that the report draws.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from corpus.language.identifier import LABEL
from pipeline.context import Context
from pipeline.counts import Counts
from pipeline.errors import XlmrError
from pipeline.stage import Inputs
from pipeline.storage import read_json, write_json

if TYPE_CHECKING:
    from corpus.stages import CutoffsStage

CUTOFFS = "cutoffs.json"
HISTOGRAMS = "histograms.json"
HISTOGRAM_BINS = 40

Perplexities = npt.NDArray[np.float64]


def run(config: CutoffsStage, inputs: Inputs, output: Path, context: Context) -> Counts:
    """Find the cut-offs."""
    settings = config.perplexity
    sample = sample_perplexities(inputs["corpus.mine"], settings.sample, context)
    if settings.cutoffs:
        cutoffs = read_cutoffs(Path(settings.cutoffs))
    else:
        percentiles = (settings.head_percentile, settings.middle_percentile)
        cutoffs = {language: np.percentile(values, percentiles).tolist() for language, values in sample.items()}
    write_json(output / CUTOFFS, cutoffs)
    write_json(output / HISTOGRAMS, {language: _histogram(values) for language, values in sample.items()})
    return {"languages": len(cutoffs), "perplexities": sum(map(len, sample.values()))}


def read_cutoffs(path: Path) -> dict[str, list[float]]:
    """A table {language: [head, middle]}. Errors: XlmrError naming the file and the language."""
    table: Any = read_json(path)
    mend = 'write {"de": [310.5, 620.1], …}'
    if not isinstance(table, dict):
        raise XlmrError(f"{path}: not a table of cut-offs", mend)
    for language, pair in table.items():
        numbers = isinstance(pair, list) and len(pair) == 2 and all(isinstance(n, int | float) for n in pair)
        if not numbers or not LABEL.fullmatch(language) or sorted(pair) != pair:
            raise XlmrError(f"{path}: {language} has no two rising numbers", mend)
    return {language: [float(n) for n in pair] for language, pair in table.items()}


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
    languages = read_json(path.with_suffix(".languages.json"))
    column = pa.ipc.IpcReadOptions(included_fields=[pa.ipc.open_file(str(path)).schema.get_field_index("perplexity")])
    with pa.memory_map(str(path)) as source, pa.ipc.open_file(source, options=column) as reader:
        for number, language in enumerate(languages):
            values = reader.get_batch(number).column(0).drop_null()
            yield language, values.to_numpy(zero_copy_only=False).astype(np.float64).round(1)


def _histogram(values: Perplexities) -> dict[str, list[float]]:
    """Counts over bins that are equally wide in log10 of the perplexity."""
    logs = np.log10(np.maximum(values, 1))
    counts, edges = np.histogram(logs, bins=HISTOGRAM_BINS, range=(float(logs.min()), float(logs.max()) + 1e-6))
    return {"counts": counts.tolist(), "log10_edges": edges.tolist()}
