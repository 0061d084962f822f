"""Documents by perplexity under the model of their language, and where they are cut into head, middle and tail."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from corpus.perplexity.cutoff_table import cutoffs_of
from corpus.perplexity.cutoffs import CUTOFFS, HISTOGRAMS
from pipeline.report.charts import chart, legend, side_by_side
from pipeline.report.figures import COLOURS, MUTED
from pipeline.report.page import ReportSection, table
from pipeline.storage import read_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HISTOGRAMS_SHOWN = 12
BINS_AT_ONCE = 2
"""Bins of a histogram that are drawn as one: the charts are small."""


def perplexity_section(output: Path) -> ReportSection:
    """``output`` is that of corpus.cutoffs."""
    cutoffs, histograms = read_json(output / CUTOFFS), read_json(output / HISTOGRAMS)
    order = sorted(histograms, key=lambda language: (-sum(histograms[language]["counts"]), language))
    charts = [
        _histogram(language, histograms[language], cutoffs_of(language, cutoffs))
        for language in order[:HISTOGRAMS_SHOWN]
    ]
    lead = (
        "Documents (paragraphs, where these were scored one by one) by perplexity under the model of their language, "
        "and the cut-offs between the buckets. Log scale, another one for each language: models of two languages "
        f"cannot be compared. The {len(charts)} languages with most of them, of {len(histograms)} with a model."
    )
    keys = legend([("head", "head"), ("middle", "middle"), ("tail", "tail")])
    rows = [
        (language, sum(histograms[language]["counts"]), *(cutoffs_of(language, cutoffs) or (None, None)))
        for language in order
    ]
    body = keys + side_by_side(charts)
    body += table(("language", "scored", "head below", "middle below"), rows, "Cut-offs of every language")
    return ReportSection("Perplexity", lead, body, stage="corpus.cutoffs")


def _histogram(language: str, histogram: Mapping[str, Any], cutoffs: tuple[float, float] | None) -> Markup:
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
