"""Tables of cut-offs: ours with its provenance, a plain one, cc_net's; read, and written with its provenance.

Nothing in a table depends on when or where it was made: the same crawl, models and settings give the same bytes.
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus.language.labels import LABEL
from corpus.perplexity.score import NGRAMS_SUFFIX, SENTENCEPIECE_SUFFIX, name_of_model
from pipeline.errors import XlmrError
from pipeline.manifest import read_manifest
from pipeline.stage import Inputs
from pipeline.storage import canonical_json, read_json

if TYPE_CHECKING:
    from corpus.perplexity.settings import Perplexity

TABLE = "table.json"

Cutoffs = dict[str, tuple[float, float]]
"""By language: under the first is head, under the second middle, the rest is tail."""


def read_cutoffs(path: Path, percentiles: tuple[float, float] = (30.0, 60.0)) -> Cutoffs:
    """The cut-offs of table.json or its folder, of ``{language: [head, middle]}`` in JSON, or of cc_net's cutoff.csv.

    ``percentiles``  which rows of a CSV, whose first column are percentiles and whose others are languages.
    Errors: XlmrError naming the file and the language.
    """
    path = path / TABLE if path.is_dir() else path
    pairs = _read_csv(path, percentiles) if path.suffix == ".csv" else _read_json(path)
    for language, pair in pairs.items():
        numbers = isinstance(pair, list) and len(pair) == 2 and all(map(_is_number, pair))
        if not numbers or not LABEL.fullmatch(language) or sorted(pair) != pair:
            raise XlmrError(f"{path}: {language} needs two ascending numbers", 'write {"de": [310.5, 620.1], …}')
    return {language: (float(head), float(middle)) for language, (head, middle) in pairs.items()}


def cutoffs_of(language: str, cutoffs: Mapping[str, tuple[float, float]]) -> tuple[float, float] | None:
    """The cut-offs of a language, under the same name as its models; None where there are none."""
    name = name_of_model(language, cutoffs)
    return None if name is None else cutoffs[name]


def _is_number(value: Any) -> bool:
    """Whether it is a number that a float can hold."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer of some hundred digits
        return False


def _read_json(path: Path) -> dict[str, Any]:
    table = read_json(path)
    if not isinstance(table, dict):
        raise XlmrError(f"{path}: not a table of cut-offs", 'write {"de": [310.5, 620.1], …}')
    rows = table.get("languages")
    if not isinstance(rows, dict):
        return table
    return {
        language: [row.get("head"), row.get("middle")] if isinstance(row, dict) else None
        for language, row in rows.items()
    }


def _read_csv(path: Path, percentiles: tuple[float, float]) -> dict[str, Any]:
    """Source of the form: cc_net perplexity.py, PerplexityBucket."""
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            (_, *languages), *rows = list(csv.reader(handle))
        by_percentile = {float(row[0]): row[1:] for row in rows if row}
        head, middle = ([float(cell or "nan") for cell in by_percentile[wanted]] for wanted in percentiles)
        # A language that has no numbers is one that cc_net has no model for.
        pairs = zip(languages, head, middle, strict=True)
        return {language: [low, high] for language, low, high in pairs if not math.isnan(low + high)}
    except KeyError as error:
        there = ", ".join(f"{one:g}" for one in sorted(by_percentile))
        raise XlmrError(
            f"{path}: has no row of percentile {error.args[0]:g}, only {there}",
            "set corpus.perplexity.head_percentile and middle_percentile to rows that it has",
        ) from None
    except (ValueError, UnicodeDecodeError, csv.Error) as error:
        raise XlmrError(
            f"{path}: not a table of cut-offs ({error})", "its first column are percentiles, the others languages"
        ) from None


def provenance_of(inputs: Inputs, settings: Perplexity) -> dict[str, Any]:
    """What the percentiles are, whether the table was given, and what it was taken over, known by keys and checksums.

    What has no manifest is null.
    """
    fetch, mine = (read_manifest(inputs[name]) if name in inputs else None for name in ("corpus.fetch", "corpus.mine"))
    checksums = sorted(fetch.outside.values()) if fetch is not None else []
    return {
        "percentiles": {"head": settings.head_percentile, "middle": settings.middle_percentile},
        "given": settings.cutoffs is not None,
        "crawl": fetch
        and {
            "settings": fetch.config,
            "files": len(checksums),
            "sha256": hashlib.sha256(canonical_json(checksums).encode()).hexdigest(),
        },
        "mined": mine and {"settings": mine.config, "key": mine.key},
    }


def rows_of(cutoffs: Cutoffs, sizes: Mapping[str, int], inputs: Inputs) -> dict[str, Any]:
    """By language: the cut-offs, the size of the sample, and the models by checksum; None where it is not known."""
    models = read_manifest(inputs["corpus.language_models"]) if "corpus.language_models" in inputs else None
    files = models.files if models is not None else {}
    there = {path.removesuffix(NGRAMS_SUFFIX) for path in files if path.endswith(NGRAMS_SUFFIX)}
    rows = {}
    for language, (head, middle) in sorted(cutoffs.items()):
        model = name_of_model(language, there)
        checksums = {suffix: files.get(f"{model}{suffix}") for suffix in (SENTENCEPIECE_SUFFIX, NGRAMS_SUFFIX)}
        rows[language] = {
            "head": head,
            "middle": middle,
            "sample": sizes.get(language),
            "models": {suffix[1:]: record.sha256 for suffix, record in checksums.items() if record} or None,
        }
    return rows
