"""The package's sections of the report: the training text, the vocabulary by script, tokens per word.

The sections are drawn from the JSON tables that the stages wrote; no text is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from pipeline.formatting import short_number, size
from pipeline.report.charts import bars, chart, side_by_side
from pipeline.report.page import ReportSection, table
from pipeline.storage import read_json
from tokenizer.encode import SEQUENCES
from tokenizer.sample import LANGUAGES
from tokenizer.study import STUDY
from tokenizer.train import SCRIPTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

UNSPACED = frozenset({"bo", "dz", "ja", "km", "lo", "my", "my_zaw", "th", "wuu", "yue", "zh", "zh-Hans", "zh-Hant"})
"""Languages that do not write spaces between words: their words cannot be counted."""

SHOWN = 40
"""Number of languages in a chart, the largest: more would not be legible on a phone. The tables list all."""


def sections(outputs: Mapping[str, Path]) -> list[ReportSection]:
    """A section for each stage of the package that has run."""
    drawers: dict[str, Callable[[Path], ReportSection | None]] = {
        "tokenizer.sample": lambda folder: training_text(read_json(folder / LANGUAGES)),
        "tokenizer.train": lambda folder: vocabulary(read_json(folder / SCRIPTS)),
        "tokenizer.encode": lambda folder: segmentation(read_json(folder / SEQUENCES)),
        "tokenizer.study": lambda folder: study(read_json(folder / STUDY)),
    }
    drawn = [draw(outputs[name]) for name, draw in drawers.items() if name in outputs]
    return [section for section in drawn if section is not None]


def training_text(languages: dict[str, dict[str, Any]]) -> ReportSection | None:
    """Return the table by language, with shares before and after smoothing. None where nothing was drawn."""
    if not languages:
        return None
    rows = sorted(languages.items(), key=lambda item: -item[1]["available_characters"])
    percent = [(code, 100 * row["natural_share"], 100 * row["drawn_share"]) for code, row in rows[:SHOWN]]
    body = bars(
        [(code, drawn, f"{drawn:.2f} %") for code, _, drawn in percent],
        marks=[corpus for _, corpus, _ in percent],
        legend=("share of the text that the vocabulary is trained on", "share of the corpus"),
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
    return ReportSection("Text for the vocabulary", lead, body, stage="tokenizer.sample")


def vocabulary(scripts: dict[str, int]) -> ReportSection:
    """The vocabulary by script."""
    total = sum(scripts.values())
    rows = sorted(scripts.items(), key=lambda item: (-item[1], item[0]))
    body = bars([(name, count, f"{count:,}") for name, count in rows], log=True)
    body += table(
        ("script", "tokens", "% of the vocabulary"),
        [(name, count, 100 * count / total) for name, count in rows],
        caption="Tokens by script",
    )
    lead = f"{total:,} tokens by the script of their first letter."
    return ReportSection("Vocabulary", lead, body, stage="tokenizer.train")


def segmentation(listing: dict[str, Any]) -> ReportSection:
    """Tokens per word and per character, unknown characters and sequences, by language."""
    merged = {code: _both_splits(entry) for code, entry in listing["languages"].items()}
    rates = {code: _rates(code, of) for code, of in merged.items() if of["tokens"] > of["sentences"]}
    largest = sorted(rates, key=lambda code: -merged[code]["tokens"])
    spaced = sorted([(rates[code][0] or 0.0, code) for code in largest if code not in UNSPACED][:SHOWN])
    body = bars([(code, rate, f"{rate:.2f}") for rate, code in spaced])
    body += table(
        (
            "language",
            "tokens per word",
            "tokens per character",
            "unknown, % of tokens",
            "characters with a token, %",
            "tokens",
            "sequences, train",
            "sequences, validation",
        ),
        [
            (
                code,
                "no spaces" if rate[0] is None else rate[0],
                rate[1],
                100 * merged[code]["unknown"] / merged[code]["tokens"],
                100 * (1 - merged[code]["unknown_characters"] / max(merged[code]["characters"], 1)),
                merged[code]["tokens"],
                listing["languages"][code]["train"]["sequences"],
                listing["languages"][code]["validation"]["sequences"],
            )
            for code, rate in sorted(rates.items())
        ],
        caption="Words are separated by white space. Counts are of all encoded text, without </s>.",
    )
    sequences = sum(entry["train"]["sequences"] for entry in listing["languages"].values())
    tokens = sum(of["tokens"] for of in merged.values())
    lead = (
        f"{tokens:,} tokens in all and {sequences:,} training sequences of "
        f"{listing['sequence_length']} from a vocabulary of {listing['vocab_size']:,}. "
        f"Bars: tokens per word, fewest first. {_shown(len(spaced), len(rates), 'that write spaces')}"
    )
    figures = [("vocabulary", f"{listing['vocab_size']:,}"), ("tokens of text", short_number(tokens))]
    return ReportSection("Tokens per word", lead, body, figures, stage="tokenizer.encode")


def study(found: dict[str, Any]) -> ReportSection | None:
    """What smoothing and size change: a row for each vocabulary, and tokens per character over sizes."""
    variants = found["variants"]
    if not variants:
        return None
    thirds = _thirds(found["characters"], variants)
    rows = [(row["model_type"], row["alpha"], row["size"], *_summary(row, thirds)) for row in variants]
    charts = [
        _study_chart(rows, column, title)
        for column, title in ((3, "largest third of the languages"), (5, "smallest third"))
    ]
    body = side_by_side(charts) + table(
        (
            "model",
            "α",
            "size of the vocabulary",
            "tokens per character, largest third",
            "middle third",
            "smallest third",
            "worst language",
            "its tokens per character",
            "unknown characters, %",
            "Latin, % of the vocabulary",
        ),
        rows,
        caption="Means over languages, on text that no vocabulary was trained on. Thirds by characters of the corpus.",
    )
    lead = (
        f"{len(variants)} vocabularies, each measured on the same held-out text of {len(variants[0]['languages'])} "
        "languages. A smaller α gives small languages more of the vocabulary; a larger vocabulary gives all more."
    )
    return ReportSection("What α and vocabulary size change", lead, body, stage="tokenizer.study")


def _thirds(characters: Mapping[str, int], variants: list[dict[str, Any]]) -> list[list[str]]:
    """The languages that were measured, in three groups from the largest to the smallest."""
    languages = sorted(variants[0]["languages"], key=lambda code: (-characters[code], code))
    third = -(-len(languages) // 3)
    return [languages[:third], languages[third : 2 * third], languages[2 * third :]]


def _summary(row: dict[str, Any], thirds: list[list[str]]) -> tuple[Any, ...]:
    rates = {code: of["tokens"] / max(of["characters"], 1) for code, of in row["languages"].items()}
    means = [sum(rates[code] for code in group) / len(group) if group else None for group in thirds]
    worst = max(rates, key=lambda code: (rates[code], code))
    characters = sum(of["characters"] for of in row["languages"].values())
    unknown = sum(of["unknown"] for of in row["languages"].values())
    latin = row["scripts"].get("Latin", 0) / max(sum(row["scripts"].values()), 1)
    return (*means, worst, rates[worst], 100 * unknown / max(characters, 1), 100 * latin)


def _study_chart(rows: list[tuple[Any, ...]], column: int, title: str) -> Markup:
    """Tokens per character over sizes, a line for each model and α."""

    def draw(axes: Axes) -> None:
        for which in sorted({row[:2] for row in rows}):
            points = sorted((row[2], row[column]) for row in rows if row[:2] == which and row[column] is not None)
            axes.plot(*zip(*points, strict=True), marker="o", markersize=3, label=f"{which[0]}, α {which[1]:g}")
        axes.set_xscale("log", base=2)
        axes.set_xlabel("size of the vocabulary")
        axes.legend()

    return chart(draw, title=f"Tokens per character, {title}", width=3.4, height=2.4)


def _shown(shown: int, of: int, which: str = "") -> str:
    """Return the sentence that says which languages a chart shows."""
    largest = " ".join(("largest languages", which)).strip()
    return f"Shown: the {shown} {largest}." if shown < of else f"Shown: all {of} languages."


def _both_splits(entry: dict[str, Any]) -> dict[str, int]:
    names = ("sentences", "characters", "words", "tokens", "unknown", "unknown_characters")
    return {name: entry["train"][name] + entry["validation"][name] for name in names}


def _rates(code: str, of: dict[str, int]) -> tuple[float | None, float]:
    """Tokens per word (None where no spaces separate words) and tokens per character."""
    tokens = of["tokens"] - of["sentences"]
    return None if code in UNSPACED else tokens / max(of["words"], 1), tokens / max(of["characters"], 1)
