"""What the report says of the corpus: how much text by language, what each step kept, where the cut-offs lie."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus.cutoffs import CUTOFFS, HISTOGRAMS
from corpus.records import BUCKETS
from corpus.regroup import COUNTS
from pipeline.charts import bars, chart, side_by_side
from pipeline.manifest import read_manifest
from pipeline.report import ReportSection, table
from pipeline.storage import read_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pipeline.stage import Counts

HISTOGRAMS_SHOWN = 12
BUCKET_COLOURS = {"head": "#1b7837", "middle": "#7fbf7b", "tail": "#af8dc3"}


def sections(outputs: Mapping[str, Path]) -> list[ReportSection]:
    """The sections of this room, for the stages that have run."""
    made = []
    if "corpus.regroup" in outputs:
        made.append(_amount_section(read_json(outputs["corpus.regroup"] / COUNTS)))
    if "corpus.hash" in outputs and "corpus.mine" in outputs:
        made.append(_kept_section(_counts(outputs["corpus.hash"]), _counts(outputs["corpus.mine"])))
    if "corpus.cutoffs" in outputs:
        made.append(_perplexity_section(outputs["corpus.cutoffs"]))
    return made


def _counts(output: Path) -> Counts:
    manifest = read_manifest(output)
    return manifest.counts if manifest else {}


def _amount_section(counts: Counts) -> ReportSection:
    sizes = {language: sum(row.values()) for language, row in counts["bytes"].items()}
    order = sorted(sizes, key=lambda language: -sizes[language])
    rows = [(language, sizes[language], _kilobytes(sizes[language])) for language in order]
    documents = {language: sum(counts["documents"][language].values()) for language in order}
    total = _kilobytes(sum(sizes.values()))
    lead = (
        f"{total} of text in {sum(documents.values()):,} documents and {len(order)} languages. "
        "Bars are on a log scale, as in Figure 1 of the XLM-R paper."
    )
    head = ("language", "documents", *BUCKETS, "kB of text")
    by_bucket = [
        (
            lang,
            documents[lang],
            *(counts["documents"][lang].get(b, 0) for b in BUCKETS),
            round(sizes[lang] / 1000),
        )
        for lang in order[:30]
    ]
    body = bars(rows, log=True) + table(head, by_bucket, "Documents by bucket, the 30 largest languages")
    return ReportSection("Text by language", lead, body)


def _kilobytes(size: float) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.0f} kB"


def _kept_section(hashed: Counts, mined: Counts) -> ReportSection:
    documents, lines, characters = mined["documents"], mined["lines"], mined["characters"]
    read = characters["read"]
    rows: list[tuple[Any, ...]] = [
        ("records that cannot be read", hashed["bad_records"], None, None, None),
        ("documents that are too short", hashed["too_short"], None, None, None),
        ("lines that stand in several documents", None, lines["duplicate"], None, None),
        ("lines repeated in a document", None, lines["repeated in the document"], None, None),
        (
            "all of these lines, and documents that have no other",
            documents.get("dropped: only duplicates", 0),
            None,
            read - characters["after deduplication"],
            None,
        ),
        (
            "documents whose language is unsure",
            documents.get("dropped: language unsure", 0),
            None,
            characters.get("language unsure", 0),
            None,
        ),
        ("kept", documents["kept"], lines["kept"], characters["kept"], None),
    ]
    shown = [(*row[:4], f"{row[3] / read:.1%}" if row[3] is not None else None) for row in rows]
    lead = (
        f"Of {hashed['records']:,} records, {documents['kept']:,} documents with {characters['kept'] / read:.0%} of "
        "their characters were kept. Every copy of a line that stands in two documents is dropped, as in CCNet."
    )
    headers = ("what", "documents", "lines", "characters", "share of characters")
    return ReportSection("What was kept, and why the rest went", lead, table(headers, shown))


def _perplexity_section(output: Path) -> ReportSection:
    cutoffs, histograms = read_json(output / CUTOFFS), read_json(output / HISTOGRAMS)
    largest = sorted(histograms, key=lambda language: -sum(histograms[language]["counts"]))[:HISTOGRAMS_SHOWN]
    charts = [_histogram(language, histograms[language], cutoffs.get(language)) for language in sorted(largest)]
    lead = (
        "Perplexity of documents under their language's model (log scale), and the cut-offs between head (dark "
        f"green), middle (light green) and tail (purple). The {len(charts)} languages with most documents."
    )
    return ReportSection("Perplexity", lead, side_by_side(charts))


def _histogram(language: str, histogram: Mapping[str, Any], cutoffs: list[float] | None) -> Any:
    def draw(axes: Axes) -> None:
        edges = [10**edge for edge in histogram["log10_edges"]]
        middles = [(low * high) ** 0.5 for low, high in pairwise(edges)]
        widths = [high - low for low, high in pairwise(edges)]
        head, middle = cutoffs or (0.0, 0.0)
        names = ["head" if m < head else "middle" if m < middle else "tail" for m in middles]
        axes.bar(
            edges[:-1],
            histogram["counts"],
            widths,
            align="edge",
            color=[BUCKET_COLOURS[name] for name in names],
        )
        for cutoff in cutoffs or ():
            axes.axvline(cutoff, color="#333", linewidth=0.8)
        axes.set_xscale("log")
        axes.set_title(language, fontsize=9, loc="left")
        axes.tick_params(labelsize=7)

    return chart(draw, title=f"Perplexities of {language}", width=2.3, height=1.5)
