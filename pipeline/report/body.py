"""The body of a section of the report: HTML, and beside it the tables and figures that it is made of.

A browser shows the HTML. What shows tables and pictures by its own means, as Prefect does, takes the elements. Both
come from one call of ``table``, ``bars``, ``stack`` or ``chart``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Draw = Callable[["Axes"], object]


@dataclass(frozen=True)
class ReportTable:
    """A table with all of its rows, each cell as the report writes it."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""


@dataclass(frozen=True)
class ReportFigure:
    """Panels (title, what draws it), ``columns`` of them in a row, each ``width`` × ``height`` inches."""

    title: str
    panels: tuple[tuple[str, Draw], ...]
    width: float
    height: float
    columns: int = 1


ReportElement = ReportTable | ReportFigure


class ReportBody(Markup):
    """HTML that knows its ``elements``. They are kept where it is added to other HTML, before or behind."""

    elements: tuple[ReportElement, ...]

    def __new__(cls, html: object = "", elements: Sequence[ReportElement] = ()) -> ReportBody:
        """Errors: TypeError if ``html`` is no text."""
        made = super().__new__(cls, html)
        made.elements = tuple(elements)
        return made

    def __add__(self, other: str) -> ReportBody:  # type: ignore[override]
        return ReportBody(Markup(self) + other, (*self.elements, *elements_of(other)))

    def __radd__(self, other: str) -> ReportBody:  # type: ignore[override]
        return ReportBody(Markup(other) + Markup(self), (*elements_of(other), *self.elements))


def elements_of(html: object) -> tuple[ReportElement, ...]:
    """The tables and figures of a piece of HTML, in their order; none of one that does not know them."""
    return html.elements if isinstance(html, ReportBody) else ()
