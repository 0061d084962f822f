"""From the variants of a study to the points of its figure: panels of series, each point a mean over equal variants.

ComparedRun of each variant -> Panel for each thing measured; the published numbers -> Panel too, drawn alike.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipeline.formatting import column
from pipeline.report.comparison import ComparedRun
from pipeline.report.measures import Measure
from pipeline.study.study_file import LANGUAGE, FigureSettings, Measured, PublishedNumbers, StudyFile
from pipeline.study.variants import StudyVariant

Position = float | str


@dataclass(frozen=True)
class Point:
    """A mean, and the standard deviation of the ``count`` variants, or of the seeds of one; None where it has none."""

    x: Position
    y: float
    spread: float | None = None
    count: int = 1


@dataclass(frozen=True)
class Panel:
    """One diagram: series -> its points, in the order of x; numbers before words."""

    title: str
    x_title: str
    kind: str
    x_scale: str
    y_scale: str
    series: Mapping[str, Sequence[Point]]
    source: str = ""
    note: str = ""

    def rows(self) -> tuple[list[str], list[list[str]]]:
        """The points as a table: a row for each x, a column for each series."""
        positions = ordered(point.x for points in self.series.values() for point in points)
        rows = [[shown(x)] for x in positions]
        for points in self.series.values():
            at = {point.x: point for point in points}
            cells = column([at[x].y if x in at else None for x in positions])
            for row, x, cell in zip(rows, positions, cells, strict=True):
                spread = at[x].spread if x in at else None
                row.append(cell if spread is None else f"{cell} ± {column([at[x].y, spread])[1]}")
        return [self.x_title, *self.series], rows


def shown(x: Position) -> str:
    """A position on the axis as text."""
    return x if isinstance(x, str) else f"{x:,.0f}" if x == int(x) else f"{x:g}"


def ordered(positions: Iterator[Position]) -> list[Position]:
    """Each once: numbers by size, words as they came."""
    each = list(dict.fromkeys(positions))
    return [*sorted(x for x in each if not isinstance(x, str)), *(x for x in each if isinstance(x, str))]


def panels_of(study: StudyFile, variants: Sequence[StudyVariant], runs: Sequence[ComparedRun]) -> list[Panel]:
    """A panel for each thing measured, without points of variants that have no current number, then the published."""
    ours = [_panel(study.figure, measured, variants, runs) for measured in study.measured]
    return [*ours, *(_published(one, study.figure) for one in study.published)]


def _panel(
    figure: FigureSettings, measured: Measured, variants: Sequence[StudyVariant], runs: Sequence[ComparedRun]
) -> Panel:
    collected: dict[str, dict[Position, list[tuple[float, float | None]]]] = {}
    title = measured.title
    for variant, run in zip(variants, runs, strict=True):
        measure = run.measures.get(measured.measure)
        if measure is None or measured.stage in run.states:  # a stale number is of other settings or files
            continue
        title = title or measure.title
        by_series = figure.series not in ("", measured.x or figure.x)  # what is on the axis needs no line of its own
        own = shown(variant.value_of(figure.series)) if by_series else ""
        for x, series, value, spread in _values(figure, measured, measure, variant, own):
            factor = 100 if measured.percent else 1
            scaled = (factor * value, None if spread is None else factor * spread)
            collected.setdefault(series, {}).setdefault(x, []).append(scaled)
    points = {series: [_point(x, by_x[x]) for x in ordered(iter(by_x))] for series, by_x in collected.items()}
    unit = ", %" if measured.percent else ""
    x_title = measured.x or figure.x_title or figure.x
    full_title = (title or measured.measure) + unit
    return Panel(full_title, x_title, figure.kind, figure.x_scale, measured.y_scale, points)


def _values(
    figure: FigureSettings, measured: Measured, measure: Measure, variant: StudyVariant, own: str
) -> Iterator[tuple[Position, str, float, float | None]]:
    """(x, series, value, deviation) of one variant."""
    axis = measured.x or figure.x
    if axis == LANGUAGE:
        chosen = [language for group in measured.groups.values() for language in group] or list(measure.by)
        for language in sorted(chosen, key=lambda code: -measure.by.get(code, 0.0)):
            if language in measure.by:
                yield language, own or "all", measure.by[language], None
        return
    x = variant.value_of(axis)
    if not measured.groups and measure.value is not None:
        yield x, own or "all", measure.value, measure.spread
    for group, languages in measured.groups.items():
        if all(language in measure.by for language in languages):
            mean = statistics.fmean(measure.by[language] for language in languages)
            yield x, ", ".join(filter(None, (own, group))), mean, None


def _point(x: Position, values: Sequence[tuple[float, float | None]]) -> Point:
    numbers = [value for value, _ in values]
    if len(numbers) == 1:
        return Point(x, *values[0])
    return Point(x, statistics.fmean(numbers), statistics.stdev(numbers), len(numbers))


def _published(numbers: PublishedNumbers, figure: FigureSettings) -> Panel:
    series = {
        name: [Point(x if isinstance(x, str) else float(x), float(by_x[x])) for x in ordered(iter(by_x))]
        for name, by_x in numbers.series.items()
    }
    x_title = numbers.x_title or figure.x_title or figure.x
    return Panel(
        numbers.title, x_title, figure.kind, figure.x_scale, numbers.y_scale, series, numbers.source, numbers.note
    )
