"""The room's sections of the report: the text learnt from, the vocabulary by script, pieces per word.

It draws what the stages counted; it reads their JSON tables and no text.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.charts import bars
from pipeline.report import ReportSection, table
from pipeline.storage import read_json
from pipeline.words import short_number, size
from tokenizer.encode import SAMPLES
from tokenizer.sample import LANGUAGES
from tokenizer.train import SCRIPTS

UNSPACED = frozenset({"bo", "dz", "ja", "km", "lo", "my", "my_zaw", "th", "wuu", "yue", "zh", "zh-Hans", "zh-Hant"})
"""Languages that do not write spaces between words: a count of words means nothing there."""

SHOWN = 40
"""Languages in a chart, the largest: more would not be legible on a phone. The tables have them all."""


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
    body = bars(
        [(code, drawn, f"{drawn:.2f} %") for code, _, drawn in percent],
        marks=[corpus for _, corpus, _ in percent],
        legend=("share of the text that the vocabulary is learnt from", "share of the corpus"),
    )
    body += table(
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
    whole = all(row["fraction"] >= 1 for _, row in rows)
    how = "all that the corpus has" if whole else "with shares smoothed by p ∝ (n/N)^α"
    lead = f"{size(drawn)} of text in {len(rows)} languages, {how}. {_shown(len(percent), len(rows))}"
    return ReportSection("Text for the vocabulary", lead, body)


def vocabulary(scripts: dict[str, int]) -> ReportSection:
    """The vocabulary by script."""
    total = sum(scripts.values())
    rows = sorted(scripts.items(), key=lambda item: (-item[1], item[0]))
    body = bars([(name, count, f"{count:,}") for name, count in rows], log=True)
    body += table(
        ("script", "pieces", "% of the vocabulary"),
        [(name, count, 100 * count / total) for name, count in rows],
        caption="Pieces by script",
    )
    return ReportSection("Vocabulary", f"{total:,} pieces by the script of their first letter.", body)


def segmentation(listing: dict[str, Any]) -> ReportSection:
    """Pieces per word and per character, unknown characters and samples, by language."""
    merged = {code: _together(entry) for code, entry in listing["languages"].items()}
    rates = {code: _rates(code, of) for code, of in merged.items() if of["pieces"] > of["documents"]}
    largest = sorted(rates, key=lambda code: -merged[code]["pieces"])
    spaced = sorted([(rates[code][0] or 0.0, code) for code in largest if code not in UNSPACED][:SHOWN])
    body = bars([(code, rate, f"{rate:.2f}") for rate, code in spaced])
    body += table(
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
    pieces = sum(of["pieces"] for of in merged.values())
    lead = (
        f"{pieces:,} pieces in all and {samples:,} training samples of "
        f"{listing['sample_length']} from a vocabulary of {listing['vocabulary_size']:,}. "
        f"Bars: pieces per word, fewest first. {_shown(len(spaced), len(rates), 'that write spaces')}"
    )
    figures = [("vocabulary", f"{listing['vocabulary_size']:,}"), ("pieces of text", short_number(pieces))]
    return ReportSection("Pieces per word", lead, body, figures)


def _shown(shown: int, of: int, which: str = "") -> str:
    """Which languages a chart shows, in words."""
    largest = " ".join(("largest languages", which)).strip()
    return f"Shown: the {shown} {largest}." if shown < of else f"Shown: all {of} languages."


def _together(entry: dict[str, Any]) -> dict[str, int]:
    names = ("documents", "characters", "words", "pieces", "unknown")
    return {name: entry["train"][name] + entry["validation"][name] for name in names}


def _rates(code: str, of: dict[str, int]) -> tuple[float | None, float]:
    """Pieces per word (None where words are not parted by spaces) and pieces per character."""
    pieces = of["pieces"] - of["documents"]
    return None if code in UNSPACED else pieces / max(of["words"], 1), pieces / max(of["characters"], 1)
