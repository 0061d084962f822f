"""The picture of the DAG: stages one under the other, and at their left the lines that say what is made from what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

ROW, LANE, RADIUS, BEND = 52, 13, 5, 8
"""Units of the picture; 16 of them are one rem, so that its rows stand beside those of the list."""


@dataclass(frozen=True)
class Lane:
    """The line from a stage to those below that are not next to it. ``number`` 0 is next to the stages."""

    source: int
    targets: tuple[int, ...]
    number: int


def reading_order(inputs: Mapping[str, Sequence[str]]) -> list[str]:
    """Every stage after what it is made from, and as near to it as can be; otherwise in the order given."""
    waiting, order = dict(inputs), dict[str, int]()
    while waiting:
        ready = [name for name, sources in waiting.items() if all(source in order for source in sources)]
        last = max(ready, key=lambda name: max((order[source] for source in waiting[name]), default=-1))
        order[last] = len(order)
        del waiting[last]
    return list(order)


def lanes(order: Sequence[str], inputs: Mapping[str, Sequence[str]]) -> list[Lane]:
    """A lane for each stage that is read by others than the next; lanes that do not meet share a number."""
    place = {name: number for number, name in enumerate(order)}
    targets: dict[int, list[int]] = {}
    for name in order:
        for source in inputs[name]:
            if source in place and place[name] - place[source] > 1:
                targets.setdefault(place[source], []).append(place[name])
    found: list[Lane] = []
    for start, reached in sorted(targets.items(), key=lambda item: max(item[1]) - item[0]):  # short ones lie inside
        busy = {lane.number for lane in found if lane.source < max(reached) and start < max(lane.targets)}
        number = next(n for n in range(len(found) + 1) if n not in busy)
        found.append(Lane(start, tuple(sorted(reached)), number))
    return sorted(found, key=lambda lane: (lane.source, lane.number))


def draw_graph(order: Sequence[str], inputs: Mapping[str, Sequence[str]], done: Mapping[str, object]) -> Markup:
    """The SVG: a dot a stage, full if it is ``done``."""
    found = lanes(order, inputs)
    width = 2 * (RADIUS + 2) + LANE * max((lane.number + 1 for lane in found), default=0)
    x, height = width - RADIUS - 2, ROW * len(order)
    paths = [
        f"M{x} {_y(number - 1)}V{_y(number)}"
        for number, name in enumerate(order)
        if number and order[number - 1] in inputs[name]
    ]
    paths += [_branch(x, lane, target) for lane in found for target in lane.targets]
    dots = Markup("").join(
        Markup('<circle cx="{}" cy="{}" r="{}" class="{}"/>').format(
            x, _y(number), RADIUS, "done" if name in done else "missing"
        )
        for number, name in enumerate(order)
    )
    words = "; ".join(f"{name} from {', '.join(inputs[name])}" for name in order if inputs[name])
    return Markup(
        '<svg class="rail" viewBox="0 0 {} {}" style="width:{}rem;height:{}rem" role="img" aria-label="{}">'
        '<path d="{}"/>{}</svg>'
    ).format(width, height, width / 16, height / 16, words, "".join(paths), dots)


def _y(number: int) -> int:
    return ROW * number + ROW // 2


def _branch(x: int, lane: Lane, target: int) -> str:
    """Out of the source a little lower than its middle, into the target a little higher: they do not lie on others."""
    left, top, bottom = x - LANE * (lane.number + 1), _y(lane.source) + 3, _y(target) - 3
    return (
        f"M{x} {top}H{left + BEND}Q{left} {top} {left} {top + BEND}"
        f"V{bottom - BEND}Q{left} {bottom} {left + BEND} {bottom}H{x}"
    )
