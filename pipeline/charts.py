"""Charts for the report: matplotlib figures as inline SVG. Knows figures and colours, not what they mean."""

from __future__ import annotations

import io
from collections.abc import Callable
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
