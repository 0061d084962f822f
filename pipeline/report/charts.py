"""Charts for the report: bars in HTML, and matplotlib figures as inline SVG. Knows shapes, not what they mean.

Everything is drawn in the colours of the page (``COLOURS``), so that it can be read on white, on black and on paper,
and everything fits a screen of 360 pixels: bars flow into columns, wide figures are drawn a second time, narrow.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

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

NARROW = 3.7
"""Inches of a figure that fills a phone; text in it is as large there as on a desk."""

_THEME = {
    **{value: f"var(--{name})" for name, value in COLOURS.items()},
    **dict.fromkeys((INK, "#000000", "#333333"), "currentColor"),
    MUTED: "var(--muted)",
}


def chart(
    draw: Callable[[Axes], object],
    *,
    title: str,
    width: float = 7.0,
    height: float = 3.0,
    narrow_height: float | None = None,
    caption: bool = True,
) -> Markup:
    """A figure of what ``draw`` puts on the axes: inline SVG whose colours follow the page and whose text is text.

    Sizes in inches. Screen readers hear ``title``; with ``caption`` it also stands under the figure. ``draw`` is called
    a second time, on narrower axes (``narrow_height`` high), if the figure is too wide for a phone.
    """
    drawn = [(width, height)]
    if width > NARROW:
        drawn.append((NARROW, narrow_height or height))
    figures = [
        Markup('<div class="{}">{}</div>').format(name, _svg(draw, title, *inches))
        for name, inches in zip(("wide", "narrow") if len(drawn) > 1 else ("only",), drawn, strict=True)
    ]
    line = Markup("<figcaption>{}</figcaption>").format(title) if caption else Markup("")
    return Markup('<figure class="chart">{}{}</figure>\n').format(Markup("").join(figures), line)


def _svg(draw: Callable[[Axes], object], title: str, width: float, height: float) -> Markup:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_settings()):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _inline(buffer.getvalue(), title, width)


def svg_file(rows: Sequence[Sequence[tuple[str, Callable[[Axes], object]]]], width: float, height: float) -> str:
    """A file of its own, on white: rows of panels (title, what draws it) that share ``width``; inches, height a row."""
    from textwrap import fill

    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_settings() | {"figure.facecolor": "white", "savefig.facecolor": "white"}):
        figure = Figure(figsize=(width, height * max(len(rows), 1)), layout="constrained")
        for below, row in zip(figure.subfigures(max(len(rows), 1), 1, squeeze=False)[:, 0], rows, strict=False):
            for axes, (title, draw) in zip(below.subplots(1, len(row), squeeze=False)[0], row, strict=True):
                axes.spines[["top", "right"]].set_visible(False)
                axes.set_title(fill(title, int(14 * width / len(row))), fontsize=8.5, loc="left")
                draw(axes)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return buffer.getvalue()


def _settings() -> dict[Any, Any]:
    from cycler import cycler

    ink = dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.titlecolor", "xtick.labelcolor", "ytick.labelcolor"), INK
    )
    lines = dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color", "grid.color"), MUTED)
    clear = dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor", "legend.facecolor"), "none")
    return {
        **ink,
        **lines,
        **clear,
        "axes.prop_cycle": cycler(color=[COLOURS[name] for name in ("accent", "second", "head", "tail", "contrast")]),
        "font.size": 8.5,
        "legend.frameon": False,
        "svg.fonttype": "none",  # text stays text: small, sharp, searchable
        "svg.hashsalt": "xlmr",  # the same figure gives the same bytes
    }


def _inline(text: str, title: str, width: float) -> Markup:
    """What stands in an .svg file, made fit to stand in a page among others: no links, no names used twice."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r"#[0-9a-f]{6}\b", lambda found: _THEME.get(found[0], found[0]), text)
    text = text.replace("xlink:href", "href")
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))
    own = hashlib.sha256(text.encode()).hexdigest()[:8]
    text = re.sub(r' id="([^"]*)"', lambda found: f' id="{own}-{found[1]}"' if found[1] in used else "", text)
    text = re.sub(r'(url\(#|href="#)', rf"\g<1>{own}-", text)
    box = re.search(r'viewBox="[^"]*"', text)
    assert box, "matplotlib writes a viewBox"
    opening = Markup('<svg {} role="img" aria-label="{}" style="max-width:{}px">').format(
        Markup(box[0]), title, round(96 * width)
    )
    return opening + Markup(re.sub(r">\s+<", "><", text[text.index(">") + 1 :]).strip())


def bars(
    rows: Sequence[tuple[str, float, str]],
    *,
    log: bool = False,
    marks: Sequence[float | None] | None = None,
    legend: tuple[str, str] | None = None,
    amount: Callable[[float], str] = "{:,.0f}".format,
) -> Markup:
    """Horizontal bars as HTML: they flow into as many columns as the screen or the paper has space for.

    ``rows`` are (label, value, text beside the bar), values ≥ 0. With ``log``, a bar's length is the logarithm of its
    value, from the power of ten under the smallest; ``amount`` writes that power. ``marks`` are values to compare with,
    each a line across the bar of its row; ``legend`` names what bar and mark are.
    """
    from pipeline.report.page import TEMPLATES

    values = [value for _, value, _ in rows]
    others = [None] * len(rows) if marks is None else list(marks)
    share, low, step = scale([*values, *(mark for mark in others if mark is not None)], log=log)
    shown = [
        (label, share(value), text, None if mark is None else share(mark))
        for (label, value, text), mark in zip(rows, others, strict=True)
    ]
    return Markup(
        TEMPLATES.get_template("bars.html.j2").render(
            rows=shown,
            step=step,
            start=amount(low) if step else None,
            legend=legend,
            label_width=max((len(label) for label, *_ in rows), default=0),
            text_width=max((len(text) for *_, text in rows), default=0),
        )
    )


def scale(values: Iterable[float], *, log: bool) -> tuple[Callable[[float], float], float, float | None]:
    """How long bars are: value -> percent of the longest; where they start; percent from one power of ten to the next.

    A logarithmic scale starts at the power of ten that is less than the smallest value, so no bar is without length.
    """
    positive = [value for value in values if value > 0]
    high = max(positive, default=1.0)
    if not log or not positive:
        return (lambda value: round(100 * max(value, 0) / high, 2)), 0.0, None
    first = math.ceil(math.log10(min(positive))) - 1
    decades = math.log10(high) - first
    return (
        (lambda value: round(100 * (math.log10(value) - first) / decades, 2) if value > 0 else 0.0),
        10.0**first,
        round(100 / decades, 3),
    )


def stack(segments: Sequence[tuple[str, float, str, str]]) -> Markup:
    """One bar that is cut into parts, with its legend. ``segments`` are (label, value, text, name in ``COLOURS``)."""
    from pipeline.report.page import TEMPLATES

    total = sum(value for _, value, _, _ in segments) or 1
    unknown = {colour for *_, colour in segments} - set(COLOURS)
    if unknown:
        raise ValueError(f"not colours of the page: {sorted(unknown)}")
    shown = [(label, round(100 * value / total, 2), text, colour) for label, value, text, colour in segments]
    return Markup(TEMPLATES.get_template("stack.html.j2").render(segments=shown))


def legend(keys: Sequence[tuple[str, str]]) -> Markup:
    """What the colours of several charts mean. ``keys`` are (label, name in ``COLOURS``)."""
    key = Markup('<span><i class="key {}"></i>{}</span>')
    return Markup('<p class="legend">{}</p>\n').format(Markup("").join(key.format(name, label) for label, name in keys))


def side_by_side(charts: Sequence[Markup]) -> Markup:
    """Small charts in a grid that takes as many columns as there is space for."""
    return Markup('<div class="grid">{}</div>').format(Markup("").join(charts))
