"""Matplotlib figures in the colours of the report: as SVG, and as PNG for what shows pictures only.

Bars and stacks are HTML in the report; here are their pictures, from the same lengths and texts.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import partial
from textwrap import fill
from typing import TYPE_CHECKING, Any

from pipeline.report.body import Draw, ReportFigure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {
    "accent": "#2b6cb0",
    "quiet": "#b0b7bf",
    "contrast": "#c53030",
    "second": "#b7791f",
    "head": "#1b7837",
    "middle": "#7fbf7b",
    "tail": "#af8dc3",
}
"""Give matplotlib these colours: on the page each becomes the variable of its name, which the dark scheme changes."""

INK, MUTED = "#1d2126", "#808080"

DOTS_PER_INCH, PALETTE = 120, 64
BARS_IN_COLUMN = 30
"""More bars than these stand in two columns."""
BAR_INCHES = 0.19
LEGEND_INCHES, NOTE_INCHES = 0.4, 0.4
TITLE_POINTS = 6.0
"""Between a panel and its title."""
METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
    "png": {"Software": None},
}
"""The same figure gives the same bytes."""

Bar = tuple[str, float, str, float | None]
"""Label, length in percent of the longest, text beside it, and the place of a mark."""


def png_of(figures: Sequence[ReportFigure]) -> bytes:
    """Their picture on white, one under the other, each under its title where they are several."""
    from PIL import Image

    pictures = [Image.open(io.BytesIO(_png(figure, has_title=len(figures) > 1))).convert("RGB") for figure in figures]
    size = (max(picture.width for picture in pictures), sum(picture.height for picture in pictures))
    whole = Image.new("RGB", size, "white")
    for number, picture in enumerate(pictures):
        whole.paste(picture, (0, sum(above.height for above in pictures[:number])))
    # A palette of the most important colours: a third of the size, to the eye the same.
    small = io.BytesIO()
    whole.quantize(PALETTE, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    return small.getvalue()


def _png(figure: ReportFigure, *, has_title: bool) -> bytes:
    panels, columns = figure.panels, figure.columns
    if len(panels) == 1:
        panels = ((figure.title if has_title else "", panels[0][1]),)
    elif has_title and figure.title:
        panels = ((figure.title, panels[0][1]), *panels[1:])
    rows = [panels[n : n + columns] for n in range(0, len(panels), columns)]
    return _render(rows, figure.width * min(columns, len(panels)), figure.height, "png", "white")


def svg_of(rows: Sequence[Sequence[tuple[str, Draw]]], width: float, height: float, background: str = "none") -> str:
    """Rows of panels (title, what draws it) that share ``width``; inches, ``height`` a row. Text in it is text."""
    return _render(rows, width, height, "svg", background).decode()


def _render(
    rows: Sequence[Sequence[tuple[str, Draw]]], width: float, height: float, kind: str, background: str
) -> bytes:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    buffer = io.BytesIO()
    with rc_context(_settings(background)):
        made = Figure(figsize=(width, height * max(len(rows), 1)), layout="constrained")
        for below, row in zip(made.subfigures(max(len(rows), 1), 1, squeeze=False)[:, 0], rows, strict=False):
            for axes, (title, draw) in zip(below.subplots(1, len(row), squeeze=False)[0], row, strict=True):
                axes.spines[["top", "right"]].set_visible(False)
                draw(axes)
                if title:
                    _set_title(axes, fill(title, int(14 * width / len(row))))
        made.savefig(buffer, format=kind, dpi=DOTS_PER_INCH if kind == "png" else "figure", metadata=METADATA[kind])
    return buffer.getvalue()


def _set_title(axes: Axes, title: str) -> None:
    """Put it above the panel, and above its legend where that stands above the panel too."""
    legend, above = axes.get_legend(), 0.0
    if legend is not None:
        above = legend.get_window_extent().y1 - axes.get_window_extent().y1
    figure = axes.get_figure(root=True)
    assert figure is not None, "these axes are drawn"
    dots_of_point = figure.dpi / 72
    axes.set_title(title, fontsize=8.5, loc="left", pad=max(above / dots_of_point, 0) + TITLE_POINTS)


def _settings(background: str) -> dict[Any, Any]:
    from cycler import cycler

    ink = dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.titlecolor", "xtick.labelcolor", "ytick.labelcolor"), INK
    )
    lines = dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color", "grid.color"), MUTED)
    clear = dict.fromkeys(("axes.facecolor", "legend.facecolor"), "none")
    return {
        **ink,
        **lines,
        **clear,
        **dict.fromkeys(("figure.facecolor", "savefig.facecolor"), background),
        "axes.prop_cycle": cycler(color=[COLOURS[name] for name in ("accent", "second", "head", "tail", "contrast")]),
        "font.size": 8.5,
        "legend.frameon": False,
        "svg.fonttype": "none",  # text stays text: small, sharp, searchable
        "svg.hashsalt": "xlmr",  # the same figure gives the same bytes
    }


def bars_figure(
    title: str, bars: Sequence[Bar], note: str, step: float | None, legend: tuple[str, str] | None
) -> ReportFigure:
    """Horizontal bars, in columns where they are many; a thin line every ``step`` percent, ``note`` under them."""
    columns = 1 if len(bars) <= BARS_IN_COLUMN else 2
    rows = max(1, -(-len(bars) // columns))
    panels: list[tuple[str, Draw]] = []
    for first in range(0, max(len(bars), 1), rows):
        of_panel = bars[first : first + rows]
        panels.append(
            ("", partial(_draw_bars, bars=of_panel, rows=rows, note="" if first else note, step=step, legend=legend))
        )
    around = 0.25 + (LEGEND_INCHES if legend else 0) + (NOTE_INCHES if note else 0)
    return ReportFigure(title, tuple(panels), 4.2 if columns > 1 else 6.0, around + BAR_INCHES * rows, columns)


def _draw_bars(
    axes: Axes, bars: Sequence[Bar], rows: int, note: str, step: float | None, legend: tuple[str, str] | None
) -> None:
    places = range(len(bars))
    axes.barh(places, [share for _, share, _, _ in bars], 0.62, color=COLOURS["accent"], label=(legend or ("",))[0])
    marks = {place: mark for place, (_, _, _, mark) in enumerate(bars) if mark is not None}
    if marks:
        name = legend[1] if legend else ""
        at = list(marks.values())
        axes.scatter(at, list(marks), marker="|", s=70, color=COLOURS["contrast"], zorder=3, label=name)
    for place, (_, share, text, mark) in enumerate(bars):
        axes.text(max(share, mark or 0) + 1.5, place, text, va="center", fontsize=7.5)
    axes.set_yticks(places, [label for label, *_ in bars])
    axes.set_xlim(0, 100)
    axes.set_ylim(rows - 0.4, -0.6)
    axes.set_xticks([step * n for n in range(1, int(100.5 / step) + 1)] if step else [], [])
    if step:
        axes.grid(axis="x", lw=0.5, alpha=0.5)
    axes.set_axisbelow(True)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xlabel(fill(note, 70), fontsize=7.5)
    if legend:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), fontsize=7.5)


def stack_figure(title: str, segments: Sequence[tuple[str, float, str, str]]) -> ReportFigure:
    """One bar that is cut into parts (label, percent, text, name in ``COLOURS``), with its legend."""
    return ReportFigure(title, (("", partial(_draw_stack, segments=segments)),), 7.0, 0.9 + 0.22 * len(segments))


def _draw_stack(axes: Axes, segments: Sequence[tuple[str, float, str, str]]) -> None:
    left = 0.0
    for label, share, text, colour in segments:
        axes.barh([0], [share], 0.8, left=left, color=COLOURS[colour], label=f"{label}  {text}")
        left += share
    axes.set_xlim(0, 100)
    axes.set_axis_off()
    axes.legend(loc="upper left", bbox_to_anchor=(0, 0), fontsize=8)
