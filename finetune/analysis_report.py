"""The analysis as a part of the report: gap by language, what is taken for what, calibration, the hardest examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from finetune.analysis import (
    Bin,
    Confusion,
    Hard,
    Transfer,
    calibration,
    calibration_error,
    confusion,
    correlation,
    hardest,
    lines_of_kept_runs,
    transfers,
)
from pipeline.report.charts import chart
from pipeline.report.page import table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 8
"""Hardest examples."""

LONGEST = 160
"""Characters of an example's text."""


def analysis(output: Path, results: Mapping[str, Any], seen: Mapping[str, Any]) -> Markup:
    """Everything that the kind of task allows, of the first initialisation's kept runs together.

    ``seen`` is ``languages`` of tokenizer.encode's sequences.json, or empty.
    """
    lines = lines_of_kept_runs(output, results)
    body = gap_part(transfers(results, seen))
    if found := confusion(lines):
        body += confusion_table(found)
    if bins := calibration(lines):
        body += calibration_part(bins)
    if results["kind"] != "regression":  # a number is never quite right
        body += hardest_table(hardest(lines, SHOWN))
    return body


def gap_part(found: Sequence[Transfer]) -> Markup:
    """What is lost by language, against pretraining text and tokens per word; nothing where nothing is lost."""
    if not found:
        return Markup()
    by_text = correlation((one.seen, one.gap) for one in found)
    by_tokens = correlation((one.tokens_per_word, one.gap) for one in found)
    body = Markup("<p>{}</p>").format(_gap_sentence(by_text, by_tokens))
    known = [one for one in found if one.seen]
    if len(known) > 1:
        title = "Loss to the language trained on, and pretraining text"
        body += chart(lambda axes: _draw_gap(axes, known), title=title)
    rows = [[o.language, 100 * o.score, 100 * o.gap, o.seen, o.tokens_per_word] for o in found]
    headers = ["language", "score, %", "loss, points", "pretraining tokens", "tokens per word"]
    caption = "Loss to the mean of the languages trained on; tokens per word where words stand apart."
    return body + table(headers, rows, caption=caption, folded=True)


def _gap_sentence(by_text: tuple[float, int] | None, by_tokens: tuple[float, int] | None) -> str:
    lines = [
        f"with {what} {found[0]:+.2f} ({found[1]} languages)"
        for what, found in (("the amount of pretraining text", by_text), ("tokens per word", by_tokens))
        if found
    ]
    if not lines:
        return (
            "The table shows what each language loses; there are too few languages, or too little is known, to say why."
        )
    return f"Rank correlation of what a language loses: {', '.join(lines)}."


def _draw_gap(axes: Axes, known: Sequence[Transfer]) -> None:
    axes.scatter([one.seen or 0 for one in known], [100 * one.gap for one in known], s=14)
    for one in known:
        axes.annotate(one.language, (one.seen or 0, 100 * one.gap), xytext=(3, 3), textcoords="offset points")
    axes.set_xscale("log")
    axes.set_xlabel("tokens of pretraining text")
    axes.set_ylabel("loss, points")


def confusion_table(found: Confusion) -> Markup:
    """A row for each class that is right: in percent, what it is taken for."""
    totals = found.counts.sum(1)
    rows = [
        [name, int(total), *(f"{100 * n / total:.0f}" for n in row)]
        for name, total, row in zip(found.right, totals, found.counts, strict=True)
    ]
    caption = "Right labels (rows) and predicted labels (columns), percent of the row; all kept runs and languages."
    return table(["right", "examples", *found.predicted], rows, caption=caption, folded=len(found.right) > SHOWN)


def calibration_part(bins: Sequence[Bin]) -> Markup:
    """How often answers of a confidence are right."""
    error = calibration_error(bins)
    sure = sum(one.answers * one.confidence for one in bins) / sum(one.answers for one in bins)
    right = sum(one.answers * one.right for one in bins) / sum(one.answers for one in bins)
    word = "more sure than it is right" if sure > right else "less sure than it is right"
    text = (
        f"Calibration: mean confidence {100 * sure:.1f} %, right {100 * right:.1f} %, so the model is {word};"
        f" expected calibration error {100 * error:.1f} points."
    )
    title = "Share of right answers by confidence; the line is where both are equal"
    return Markup("<p>{}</p>").format(text) + chart(lambda axes: _draw_bins(axes, bins), title=title, width=4.0)


def _draw_bins(axes: Axes, bins: Sequence[Bin]) -> None:
    axes.plot([0, 100], [0, 100], linewidth=0.8, color="#b0b7bf")
    axes.plot([100 * one.confidence for one in bins], [100 * one.right for one in bins], marker="o", markersize=3)
    axes.set_xlabel("confidence, %")
    axes.set_ylabel("right, %")
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)


def hardest_table(found: Sequence[Hard]) -> Markup:
    """The examples most often wrong."""
    rows = [
        [
            one.line["id"],
            f"{one.wrong} of {one.asked}",
            one.languages,
            one.line["language"],
            short(text_of(one.line)),
            short(one.line["gold"]),
            short(one.predicted),
        ]
        for one in found
    ]
    headers = ["example", "wrong", "languages", "shown in", "text", "right", "mostly predicted"]
    caption = "The examples most often wrong, over seeds and over the languages that share them."
    return table(headers, rows, caption=caption, folded=True)


def text_of(line: Mapping[str, Any]) -> Any:
    """What an example asks about."""
    return line.get("question") or line.get("words") or f"{line['text']} {line.get('pair', '')}"


def short(value: Any) -> str:
    """As one line that fits a cell."""
    text = " ".join(value) if isinstance(value, list) else str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
