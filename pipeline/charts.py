"""Charts for the report: matplotlib figures as inline SVG, and bars in HTML. Knows shapes, not what they mean."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def chart(draw: Callable[[Axes], None], *, title: str, width: float = 7.0, height: float = 3.0) -> Markup:
    """An inline SVG of what ``draw`` puts on the axes; ``title`` is read out by screen readers. Sizes in inches."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "xlmr"  # the same figure gives the same bytes
    matplotlib.rcParams["svg.fonttype"] = "none"  # text stays text: small, sharp, searchable
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(width, height), layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    draw(axes)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Title": title})
    pyplot.close(figure)
    text = buffer.getvalue()
    return Markup(text[text.index("<svg") :])


def bars(rows: Sequence[tuple[str, float, str]], *, log: bool = False) -> Markup:
    """Horizontal bars as HTML: they flow into as many columns as the screen or the paper has room for.

    ``rows`` are (label, value, text beside the bar), values ≥ 0. With ``log``, a bar's length is the logarithm of its
    value, from the power of ten under the smallest.
    """
    from pipeline.report import TEMPLATES

    positive = [value for _, value, _ in rows if value > 0]
    low = 10 ** math.floor(math.log10(min(positive))) if log and positive else 0
    high = max(positive, default=1)

    def share(value: float) -> float:
        if value <= 0:
            return 0
        return math.log(value / low) / math.log(high / low) if log and high > low else value / high

    shown = [(label, round(100 * share(value), 1), text) for label, value, text in rows]
    return Markup(TEMPLATES.get_template("bars.html.j2").render(rows=shown))


def side_by_side(charts: Sequence[Markup]) -> Markup:
    """Small charts in a grid that takes as many columns as there is room for."""
    return Markup('<div class="grid">{}</div>').format(Markup("").join(charts))
