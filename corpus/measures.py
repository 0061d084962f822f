"""What runs are compared by in this package: documents and text by language, and how much of the crawl was kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from corpus.output.corpus_folder import COUNTS, STAGE
from corpus.output.step_counts import totals
from pipeline.manifest import read_manifest
from pipeline.report.measures import Measure
from pipeline.storage import read_json

TITLES = {
    "documents": "documents",
    "lines": "lines",
    "characters": "characters of text",
    "bytes": "bytes of text, UTF-8",
}
MINE = "corpus.mine"


def measures(outputs: Mapping[str, Path]) -> list[Measure]:
    """Those of corpus.mine and corpus.regroup, where they are among ``outputs``."""
    return _kept(outputs) + _amounts(outputs)


def _kept(outputs: Mapping[str, Path]) -> list[Measure]:
    manifest = read_manifest(outputs[MINE]) if MINE in outputs else None
    if manifest is None:
        return []
    read, kept = manifest.counts["read"]["characters"], manifest.counts["kept"]["characters"]
    return [
        Measure(MINE, "read_characters", "characters read from the crawl", read),
        Measure(MINE, "kept_share", "share of the characters that was kept", kept / max(read, 1)),
    ]


def _amounts(outputs: Mapping[str, Path]) -> list[Measure]:
    if STAGE not in outputs:
        return []
    table = read_json(outputs[STAGE] / COUNTS)
    found = [Measure(STAGE, "languages", "languages", len(table["documents"]))]
    for unit, title in TITLES.items():
        if unit in table:
            by = totals(table, unit)
            found.append(Measure(STAGE, unit, title, sum(by.values()), by))
    return found
