"""What the report says of the corpus: how much text by language, what each step kept, where the cut-offs lie."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from corpus.output.records import BUCKETS
from corpus.output.regroup import COUNTS
from corpus.perplexity.cutoffs import CUTOFFS, HISTOGRAMS
from pipeline.charts import COLOURS, MUTED, bars, chart, legend, side_by_side, stack
from pipeline.manifest import read_manifest
from pipeline.report import ReportSection, table
from pipeline.storage import read_json
from pipeline.words import size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pipeline.counts import Counts

HISTOGRAMS_SHOWN = 12
LANGUAGES_IN_TABLE = 30
BINS_AT_ONCE = 2
"""Bins of a histogram that are drawn as one: the charts are small."""


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
    order = sorted(sizes, key=lambda language: (-sizes[language], language))
    documents = {language: sum(counts["documents"][language].values()) for language in order}
    total = sum(sizes.values())
    lead = (
        f"{size(total)} of text in {sum(documents.values()):,} documents and {len(order)} languages, largest first. "
        "Bytes of UTF-8 on a log scale, as in Figure 1 of the XLM-R paper."
    )
    by_bucket = [
        (
            language,
            documents[language],
            *(counts["documents"][language].get(bucket, 0) for bucket in BUCKETS),
            size(sizes[language]),
        )
        for language in order[:LANGUAGES_IN_TABLE]
    ]
    title = f"Documents by bucket, the {len(by_bucket)} largest languages"
    body = bars([(language, sizes[language], size(sizes[language])) for language in order], log=True, amount=size)
    body += table(("language", "documents", *BUCKETS, "text"), by_bucket, title)
    figures = [("text kept", size(total)), ("languages", f"{len(order):,}")]
    return ReportSection("Text by language", lead, body, figures)


def _kept_section(hashed: Counts, mined: Counts) -> ReportSection:
    documents, lines, characters = mined["documents"], mined["lines"], mined["characters"]
    read, kept = max(characters["read"], 1), characters["kept"]
    duplicate = characters["read"] - characters["after deduplication"]
    unsure = characters.get("language unsure", 0)
    text = [
        ("kept", kept, f"{kept / read:.1%}", "accent"),
        ("lines that stand in two documents or more, or twice in one", duplicate, f"{duplicate / read:.1%}", "quiet"),
        ("documents whose language is unsure", unsure, f"{unsure / read:.1%}", "second"),
    ]
    only_duplicates = documents.get("dropped: only duplicates", 0)
    unsure_documents = documents.get("dropped: language unsure", 0)
    records = [
        ("kept", documents["kept"], "accent"),
        ("too short", hashed["too_short"], "tail"),
        ("nothing but duplicate lines", only_duplicates, "quiet"),
        ("language unsure", unsure_documents, "second"),
        ("cannot be read", hashed["bad_records"], "contrast"),
    ]
    rows = [
        ("records in the crawl", hashed["records"], None, None),
        ("cannot be read", hashed["bad_records"], None, None),
        ("too short", hashed["too_short"], None, None),
        ("documents read", documents["read"], lines["read"], characters["read"]),
        ("lines that stand in two documents or more", None, lines["duplicate"], None),
        ("lines repeated in a document", None, lines["repeated in the document"], None),
        ("nothing but such lines", only_duplicates, None, None),
        ("after deduplication", documents["read"] - only_duplicates, None, characters["after deduplication"]),
        ("language unsure", unsure_documents, None, unsure),
        ("kept", documents["kept"], lines["kept"], kept),
    ]
    lead = (
        f"Of {hashed['records']:,} records in the crawl, {documents['kept']:,} documents were kept, and of the text in "
        f"the {documents['read']:,} that were long enough {kept / read:.0%}. Every copy of a line that stands in two "
        "documents is dropped, the first too, as in CCNet."
    )
    body = _heading("Characters of the documents that were read") + stack(text)
    body += _heading("Records of the crawl") + stack([(what, n, f"{n:,}", colour) for what, n, colour in records])
    body += table(("step by step", "documents", "lines", "characters"), rows)
    figures = [("of the characters read were kept", f"{kept / read:.0%}"), ("documents", f"{documents['kept']:,}")]
    return ReportSection("What was kept, and why the rest went", lead, body, figures)


def _heading(text: str) -> Markup:
    return Markup("<h3>{}</h3>").format(text)


def _perplexity_section(output: Path) -> ReportSection:
    cutoffs, histograms = read_json(output / CUTOFFS), read_json(output / HISTOGRAMS)
    order = sorted(histograms, key=lambda language: (-sum(histograms[language]["counts"]), language))
    charts = [
        _histogram(language, histograms[language], cutoffs.get(language)) for language in order[:HISTOGRAMS_SHOWN]
    ]
    lead = (
        "Documents by perplexity under the model of their language, and the cut-offs between the buckets. Log scale, "
        f"another one for each language: models of two languages cannot be compared. The {len(charts)} languages with "
        f"most documents, of {len(histograms)} with a model."
    )
    keys = legend([("head", "head"), ("middle", "middle"), ("tail", "tail")])
    rows = [(language, sum(histograms[language]["counts"]), *cutoffs.get(language, (None, None))) for language in order]
    body = keys + side_by_side(charts)
    body += table(("language", "documents", "head below", "middle below"), rows, "Cut-offs of every language")
    return ReportSection("Perplexity", lead, body)


def _histogram(language: str, histogram: Mapping[str, Any], cutoffs: list[float] | None) -> Markup:
    counts = [sum(histogram["counts"][n : n + BINS_AT_ONCE]) for n in range(0, len(histogram["counts"]), BINS_AT_ONCE)]
    edges = [10**edge for edge in [*histogram["log10_edges"][:-1:BINS_AT_ONCE], histogram["log10_edges"][-1]]]

    def draw(axes: Axes) -> None:
        head, middle = cutoffs or (0.0, 0.0)
        middles = [(low * high) ** 0.5 for low, high in pairwise(edges)]
        names = ["head" if m < head else "middle" if m < middle else "tail" for m in middles]
        widths = [high - low for low, high in pairwise(edges)]
        axes.bar(edges[:-1], counts, widths, align="edge", color=[COLOURS[name] for name in names])
        for cutoff in cutoffs or ():
            axes.axvline(cutoff, color=MUTED, linewidth=0.9)
        axes.set_xscale("log")
        axes.minorticks_off()
        ticks = round_numbers(edges[0], edges[-1])
        axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
        axes.locator_params(axis="y", nbins=3, integer=True)
        axes.set_title(language, loc="left", fontweight="bold")
        axes.tick_params(labelsize=8)

    return chart(draw, title=f"Perplexities of {language}", width=1.8, height=1.4, caption=False)


def round_numbers(low: float, high: float, most: int = 3) -> list[float]:
    """Numbers 1, 2, 5, 10, 20, … from ``low`` to ``high``; where those are too many, only the powers of ten."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        found = [digit * 10.0**power for power in powers for digit in digits if low <= digit * 10.0**power <= high]
        if len(found) <= most:
            return found
    return found
