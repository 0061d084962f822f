"""Panels of a study as matplotlib draws them: lines with deviations, or bars side by side."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from markupsafe import Markup

from pipeline.report.charts import chart, side_by_side
from pipeline.report.figures import svg_of
from pipeline.study.points import Panel, Position, ordered, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes

WIDTH, HEIGHT = 3.7, 2.9
"""Inches of a panel."""
MANY = 12
"""Places on the axis of x from which a panel is as wide as the page, and its words stand upright."""


def figure_of(panels: Sequence[Panel]) -> Markup:
    """The panels for a page: those with few places in a grid, the others one under the other."""
    drawn = [panel for panel in panels if panel.series]
    small = [_chart(panel, WIDTH) for panel in drawn if not _is_wide(panel)]
    wide = [_chart(panel, 2 * WIDTH) for panel in drawn if _is_wide(panel)]
    return (side_by_side(small) if small else Markup()) + Markup("").join(wide)


def figure_file(panels: Sequence[Panel]) -> str:
    """The panels in one SVG, on white, that any program shows: two in a row, or one that has many places."""
    drawn = [(caption_of(panel), partial(draw, panel=panel), _is_wide(panel)) for panel in panels if panel.series]
    rows: list[list[tuple[str, Callable[[Axes], object]]]] = []
    beside = False
    for title, drawing, wide in drawn:
        if wide or not beside:
            rows.append([])
        rows[-1].append((title, drawing))
        beside = not wide and not beside
    return svg_of(rows, 2 * WIDTH, HEIGHT, "white")


def caption_of(panel: Panel) -> str:
    """What stands over a panel: whose numbers these are."""
    return f"{panel.source}: {panel.title}" if panel.source else f"here: {panel.title}"


def _chart(panel: Panel, width: float) -> Markup:
    return chart(partial(draw, panel=panel), title=caption_of(panel), width=width, height=HEIGHT)


def _positions(panel: Panel) -> list[Position]:
    return ordered(point.x for points in panel.series.values() for point in points)


def _is_wide(panel: Panel) -> bool:
    return len(_positions(panel)) > MANY


def draw(axes: Axes, panel: Panel) -> None:
    """Put a panel on the axes."""
    places = _positions(panel)
    words = panel.kind == "bars" or any(isinstance(x, str) for x in places)
    at: dict[Position, float] = (
        {x: float(number) for number, x in enumerate(places)} if words else {x: float(x) for x in places}
    )
    for number, (name, points) in enumerate(panel.series.items()):
        ys, spreads = [point.y for point in points], [point.spread or 0.0 for point in points]
        if panel.kind == "bars":
            width = 0.8 / len(panel.series)
            xs = [at[point.x] - 0.4 + width * (number + 0.5) for point in points]
            axes.bar(xs, ys, width, yerr=spreads if any(spreads) else None, label=name, error_kw={"lw": 0.8})
        else:
            xs = [at[point.x] for point in points]
            axes.errorbar(xs, ys, spreads if any(spreads) else None, marker="o", ms=3.5, lw=1.2, capsize=2, label=name)
    if words:
        axes.set_xticks(list(at.values()), [shown(x) for x in places], rotation=90 if _is_wide(panel) else 0)
        axes.tick_params(axis="x", labelsize=7)
    elif panel.x_scale == "log":
        axes.set_xscale("log")
        axes.set_xticks(list(at.values()), [shown(x) for x in places])
        axes.minorticks_off()
    axes.set_yscale(panel.y_scale)
    axes.set_xlabel(panel.x_title)
    if len(panel.series) > 1 or next(iter(panel.series)) != "all":
        axes.legend(fontsize=7.5)
