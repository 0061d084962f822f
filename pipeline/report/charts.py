"""Charts for the report: bars in HTML, and matplotlib figures as inline SVG. Knows shapes, not what they mean.

Each is a body of a section (``ReportBody``), which has the chart as a figure beside its HTML.

Everything is drawn in the colours of the page (``COLOURS``), so that it can be read on white, on black and on paper,
and everything fits a screen of 360 pixels: bars flow into columns, wide figures are drawn a second time, narrow.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Sequence

from markupsafe import Markup

from pipeline.report.body import Draw, ReportBody, ReportFigure, elements_of
from pipeline.report.figures import COLOURS, INK, MUTED, bars_figure, stack_figure, svg_of

NARROW = 3.7
"""Inches of a figure that fills a phone; text in it is as large there as on a desk."""

GRID_INCHES = 8.0
"""Width of a picture of charts that stand side by side."""

_THEME = {
    **{value: f"var(--{name})" for name, value in COLOURS.items()},
    **dict.fromkeys((INK, "#000000", "#333333"), "currentColor"),
    MUTED: "var(--muted)",
}


def chart(
    draw: Draw,
    *,
    title: str,
    width: float = 7.0,
    height: float = 3.0,
    narrow_height: float | None = None,
    caption: bool = True,
) -> ReportBody:
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
    html = Markup('<figure class="chart">{}{}</figure>\n').format(Markup("").join(figures), line)
    return ReportBody(html, [figure_of(draw, title=title, width=width, height=height, caption=caption)])


def figure_of(draw: Draw, *, title: str, width: float = 7.0, height: float = 3.0, caption: bool = True) -> ReportFigure:
    """The figure of a ``chart`` by itself, with its title over it in a grid."""
    return ReportFigure(title, ((title if caption else "", draw),), width, height)


def _svg(draw: Draw, title: str, width: float, height: float) -> Markup:
    return _inline(svg_of([[("", draw)]], width, height), title, width)


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
    title: str = "",
) -> ReportBody:
    """Horizontal bars as HTML: they flow into as many columns as the screen or the paper has space for.

    ``rows`` are (label, value, text beside the bar), values ≥ 0. With ``log``, a bar's length is the logarithm of its
    value, from the power of ten under the smallest; ``amount`` writes that power. ``marks`` are values to compare with,
    each a line across the bar of its row; ``legend`` names what bar and mark are. ``title`` stands over them.
    """
    from pipeline.report.page import TEMPLATES

    values = [value for _, value, _ in rows]
    others = [None] * len(rows) if marks is None else list(marks)
    share, low, step = scale([*values, *(mark for mark in others if mark is not None)], log=log)
    shown = [
        (label, share(value), text, None if mark is None else share(mark))
        for (label, value, text), mark in zip(rows, others, strict=True)
    ]
    note = f"Log scale: bars start at {amount(low)}, and each thin line is ten times the one before." if step else ""
    html = TEMPLATES.get_template("bars.html.j2").render(
        rows=shown,
        step=step,
        note=note,
        legend=legend,
        label_width=max((len(label) for label, *_ in rows), default=0),
        text_width=max((len(text) for *_, text in rows), default=0),
    )
    return ReportBody(_heading(title) + Markup(html), [bars_figure(title, shown, note, step, legend)])


def _heading(title: str) -> Markup:
    return Markup("<h3>{}</h3>").format(title) if title else Markup()


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


def stack(segments: Sequence[tuple[str, float, str, str]], title: str = "") -> ReportBody:
    """One bar that is cut into parts, with its legend. ``segments`` are (label, value, text, name in ``COLOURS``)."""
    from pipeline.report.page import TEMPLATES

    total = sum(value for _, value, _, _ in segments) or 1
    unknown = {colour for *_, colour in segments} - set(COLOURS)
    if unknown:
        raise ValueError(f"not colours of the page: {sorted(unknown)}")
    shown = [(label, round(100 * value / total, 2), text, colour) for label, value, text, colour in segments]
    html = Markup(TEMPLATES.get_template("stack.html.j2").render(segments=shown))
    return ReportBody(_heading(title) + html, [stack_figure(title, shown)])


def legend(keys: Sequence[tuple[str, str]]) -> Markup:
    """What the colours of several charts mean. ``keys`` are (label, name in ``COLOURS``)."""
    key = Markup('<span><i class="key {}"></i>{}</span>')
    return Markup('<p class="legend">{}</p>\n').format(Markup("").join(key.format(name, label) for label, name in keys))


def side_by_side(charts: Sequence[Markup]) -> ReportBody:
    """Small charts in a grid that takes as many columns as there is space for; one figure with a panel each."""
    html = Markup('<div class="grid">{}</div>').format(Markup("").join(charts))
    figures = [element for each in charts for element in elements_of(each) if isinstance(element, ReportFigure)]
    if not figures:
        return ReportBody(html)
    width, height = max(one.width for one in figures), max(one.height for one in figures)
    panels = tuple(panel for one in figures for panel in one.panels)
    return ReportBody(html, [ReportFigure("", panels, width, height, max(1, int(GRID_INCHES / width)))])
