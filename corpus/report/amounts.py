"""Text by language: a bar for each, and how it lies in the buckets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from corpus.output.records import BUCKETS
from corpus.output.step_counts import in_order, totals
from pipeline.counts import Counts
from pipeline.formatting import size
from pipeline.report.charts import bars
from pipeline.report.page import ReportSection, table

LANGUAGES_IN_TABLE = 30


def amount_section(counts: Counts, tokens: Mapping[str, int]) -> ReportSection:
    """``counts`` is counts.json of the corpus; ``tokens`` by language, empty if it was not encoded."""
    sizes, documents, lines = (totals(counts, unit) for unit in ("bytes", "documents", "lines"))
    order = in_order(sizes)
    total = size(sum(sizes.values()))
    lead = (
        f"{total} of text in {sum(documents.values()):,} documents and {len(order)} languages, largest first. "
        "Bytes of UTF-8 on a log scale, as in Figure 1 of the XLM-R paper."
    )
    shown = order[:LANGUAGES_IN_TABLE]
    by_bucket: dict[str, list[Any]] = {
        "documents": [documents[language] for language in shown],
        **{bucket: [counts["documents"][language].get(bucket, 0) for language in shown] for bucket in BUCKETS},
        "lines": [lines.get(language) for language in shown],
        "tokens": [tokens.get(language) for language in shown],
        "text": [size(sizes[language]) for language in shown],
    }
    known = {name: column for name, column in by_bucket.items() if any(value is not None for value in column)}
    body = bars([(language, sizes[language], size(sizes[language])) for language in order], log=True, amount=size)
    body += table(
        ("language", *known),
        zip(shown, *known.values(), strict=True),
        f"Documents by bucket, the {len(shown)} largest languages",
    )
    body += _everything(counts, order)
    figures = [("text kept", total), ("languages", f"{len(order):,}")]
    return ReportSection("Text by language", lead, body, figures, stage="corpus.regroup")


def _everything(counts: Counts, order: list[str]) -> Any:
    units = [unit for unit in ("documents", "lines", "characters", "bytes") if unit in counts]
    rows = [
        (language, bucket, *(counts[unit].get(language, {}).get(bucket, 0) for unit in units))
        for language in order
        for bucket in BUCKETS
        if counts["documents"].get(language, {}).get(bucket)
    ]
    return table(("language", "bucket", *units), rows, "Every language and bucket", folded=True)
