"""The room's sections of the report: the text learnt from, the vocabulary by script, pieces per word.

It draws what the stages counted; it reads their JSON tables and no text.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.charts import chart
from pipeline.report import ReportSection, table
from pipeline.storage import read_json
from tokenizer.encode import SAMPLES
from tokenizer.sample import LANGUAGES
from tokenizer.train import SCRIPTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

UNSPACED = frozenset({"bo", "dz", "ja", "km", "lo", "my", "my_zaw", "th", "wuu", "yue", "zh", "zh-Hans", "zh-Hant"})
"""Languages that do not write spaces between words: a count of words means nothing there."""

SHOWN = 40
"""Languages in a chart, the largest: more would not be legible on a phone. The tables have them all."""

BEFORE, AFTER = "#b0b7bf", "#2b6cb0"


def sections(outputs: Mapping[str, Path]) -> list[ReportSection]:
    """A section for each stage of the room that has run."""
    drawers = {
        "tokenizer.sample": lambda folder: training_text(read_json(folder / LANGUAGES)),
        "tokenizer.train": lambda folder: vocabulary(read_json(folder / SCRIPTS)),
        "tokenizer.encode": lambda folder: segmentation(read_json(folder / SAMPLES)),
    }
    return [draw(outputs[name]) for name, draw in drawers.items() if name in outputs]


def training_text(languages: dict[str, dict[str, Any]]) -> ReportSection:
    """The table by language, and its shares before and after the smoothing."""
    rows = sorted(languages.items(), key=lambda item: -item[1]["available_characters"])
    percent = [(code, 100 * row["natural_share"], 100 * row["drawn_share"]) for code, row in rows[:SHOWN]]
    body = chart(
        lambda axes: _shares(axes, percent),
        title="Share of the largest languages in the corpus and in the text that the vocabulary is learnt from",
    ) + table(
        (
            "language",
            "corpus, characters",
            "corpus, %",
            "target, %",
            "drawn, %",
            "drawn, characters",
            "lines",
            "drawn of the corpus, %",
        ),
        [
            (
                code,
                row["available_characters"],
                100 * row["natural_share"],
                100 * row["target_share"],
                100 * row["drawn_share"],
                row["drawn_characters"],
                row["drawn_lines"],
                100 * row["fraction"],
            )
            for code, row in rows
        ],
        caption="No line is drawn twice: a language with less than its target gives all it has, "
        "and the others share what it lacks.",
    )
    drawn = sum(row["drawn_bytes"] for _, row in rows)
    lead = f"{drawn / 1e6:,.1f} MB of text in {len(rows)} languages, shares smoothed by p ∝ (n/N)^α."
    return ReportSection("Text for the vocabulary", lead, body)


def _shares(axes: Axes, rows: list[tuple[str, float, float]]) -> None:
    places = range(len(rows))
    axes.bar([place - 0.2 for place in places], [row[1] for row in rows], 0.4, color=BEFORE, label="corpus")
    axes.bar([place + 0.2 for place in places], [row[2] for row in rows], 0.4, color=AFTER, label="drawn")
    axes.set_xticks(list(places), [row[0] for row in rows], rotation=90, fontsize=7)
    axes.margins(x=0.01)
    axes.set_ylabel("% of characters")
    axes.legend(frameon=False)


def vocabulary(scripts: dict[str, int]) -> ReportSection:
    """The vocabulary by script."""
    total = sum(scripts.values())
    rows = sorted(scripts.items(), key=lambda item: (-item[1], item[0]))
    top = rows[:15]
    body = chart(
        lambda axes: _scripts(axes, top),
        title="Pieces of the vocabulary by script",
        height=max(1.5, 0.24 * len(top) + 0.6),
    ) + table(
        ("script", "pieces", "% of the vocabulary"),
        [(name, count, 100 * count / total) for name, count in rows],
    )
    return ReportSection("Vocabulary", f"{total:,} pieces by the script of their first letter.", body)


def _scripts(axes: Axes, rows: list[tuple[str, int]]) -> None:
    axes.barh([name for name, _ in rows][::-1], [count for _, count in rows][::-1], color=AFTER)
    axes.set_xlabel("pieces")


def segmentation(listing: dict[str, Any]) -> ReportSection:
    """Pieces per word and per character, unknown characters and samples, by language."""
    merged = {code: _together(entry) for code, entry in listing["languages"].items()}
    rates = {code: _rates(code, of) for code, of in merged.items() if of["pieces"] > of["documents"]}
    largest = sorted(rates, key=lambda code: -merged[code]["pieces"])
    spaced = sorted([(rates[code][0] or 0.0, code) for code in largest if code not in UNSPACED][:SHOWN])
    body = chart(
        lambda axes: _fertility(axes, spaced),
        title="Pieces per word, the largest languages that write spaces",
        height=2.6,
    ) + table(
        (
            "language",
            "pieces per word",
            "pieces per character",
            "unknown, % of pieces",
            "pieces",
            "samples, train",
            "samples, validation",
        ),
        [
            (
                code,
                "no spaces" if rate[0] is None else rate[0],
                rate[1],
                100 * merged[code]["unknown"] / merged[code]["pieces"],
                merged[code]["pieces"],
                listing["languages"][code]["train"]["samples"],
                listing["languages"][code]["validation"]["samples"],
            )
            for code, rate in sorted(rates.items())
        ],
        caption="Words are what white space parts. All encoded text counts, without </s>.",
    )
    samples = sum(entry["train"]["samples"] for entry in listing["languages"].values())
    lead = (
        f"{sum(of['pieces'] for of in merged.values()):,} pieces in {samples:,} training samples of "
        f"{listing['sample_length']}; a vocabulary of {listing['vocabulary_size']:,}."
    )
    return ReportSection("Pieces", lead, body)


def _together(entry: dict[str, Any]) -> dict[str, int]:
    names = ("documents", "characters", "words", "pieces", "unknown")
    return {name: entry["train"][name] + entry["validation"][name] for name in names}


def _rates(code: str, of: dict[str, int]) -> tuple[float | None, float]:
    """Pieces per word (None where words are not parted by spaces) and pieces per character."""
    pieces = of["pieces"] - of["documents"]
    return None if code in UNSPACED else pieces / max(of["words"], 1), pieces / max(of["characters"], 1)


def _fertility(axes: Axes, rows: list[tuple[float, str]]) -> None:
    axes.bar([code for _, code in rows], [rate for rate, _ in rows], color=AFTER)
    axes.tick_params(axis="x", rotation=90, labelsize=7)
    axes.margins(x=0.01)
    axes.set_ylabel("pieces per word")
