"""Draws the pictures of the documentation as SVG: ``python -m scripts.pictures`` writes docs/assets/*.svg.

Each has a light panel of its own, so its text reads on light and dark pages alike.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from pipeline.dag import Dag
from pipeline.stage import Stage

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "assets"
STYLE = (
    "text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;font-size:13px;fill:#1d2433}"
    ".small{font-size:11.5px;fill:#4a5468}.title{font-weight:600}"
    ".box{fill:#fff;stroke:#3949ab;stroke-width:1.4}.soft{fill:#e8eaf6;stroke:#9fa8da}"
    ".arrow{fill:none;stroke:#5c6478;stroke-width:1.3;marker-end:url(#head)}"
)
MARKER = (
    '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0L8 4L0 8z" fill="#5c6478"/></marker></defs>'
)


@dataclass(frozen=True)
class Box:
    """A rectangle with lines of text in its middle; the first line is its title."""

    x: float
    y: float
    width: float
    height: float
    lines: tuple[str, ...]
    kind: str = "box"

    def draw(self) -> str:
        """Its SVG."""
        first = self.y + self.height / 2 - 8 * (len(self.lines) - 1) + 4.5
        text = "".join(
            f'<text x="{self.x + self.width / 2:g}" y="{first + 16 * n:g}" text-anchor="middle"'
            f' class="{"title" if n == 0 else "small"}">{escape(line)}</text>'
            for n, line in enumerate(self.lines)
        )
        area = f'x="{self.x:g}" y="{self.y:g}" width="{self.width:g}" height="{self.height:g}"'
        return f'<rect {area} rx="7" class="{self.kind}"/>{text}'


def picture(title: str, width: int, height: int, drawn: Iterable[str]) -> str:
    """A whole SVG; ``title`` is what a screen reader says."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' role="img" aria-label="{escape(title)}"><title>{escape(title)}</title><style>{STYLE}</style>{MARKER}'
        f'<rect width="{width}" height="{height}" rx="10" fill="#f6f7fb"/>' + "\n".join(drawn) + "</svg>\n"
    )


def arrow(from_: Box, to: Box) -> str:
    """From the right side of a box to the left of another in its row; otherwise from bottom to top."""
    if from_.y == to.y and to.x > from_.x:
        x, y, end = from_.x + from_.width, from_.y + from_.height / 2, to.x
        if end - x < 40:
            return f'<path class="arrow" d="M{x:g} {y:g}H{end:g}"/>'
        lift = from_.y - 16
        x, end = from_.x + from_.width / 2, to.x + to.width / 2
        return f'<path class="arrow" d="M{x:g} {from_.y:g}C{x:g} {lift:g} {end:g} {lift:g} {end:g} {to.y:g}"/>'
    x, y = from_.x + from_.width / 2, from_.y + from_.height
    end, low = to.x + to.width / 2, to.y
    middle = (y + low) / 2
    return f'<path class="arrow" d="M{x:g} {y:g}C{x:g} {middle:g} {end:g} {middle:g} {end:g} {low:g}"/>'


def reduced(stages: Mapping[str, Stage]) -> list[tuple[str, str]]:
    """The arrows of the DAG that no longer path replaces."""
    above: dict[str, set[str]] = {}
    for name, stage in stages.items():
        above[name] = set(stage.inputs).union(*(above[one] for one in stage.inputs))
    return [
        (one, name)
        for name, stage in stages.items()
        for one in stage.inputs
        if not any(one in above[other] for other in stage.inputs if other != one)
    ]


def dag_picture() -> str:
    """Every stage, a row for each package."""
    stages = Dag.default().stages
    width, height, gap, row = 136, 34, 16, 96
    packages = list(dict.fromkeys(stage.package for stage in stages.values()))
    boxes: dict[str, Box] = {}
    for number, package in enumerate(packages):
        for place, name in enumerate(name for name, stage in stages.items() if stage.package == package):
            label = name.partition(".")[2] or name
            boxes[name] = Box(106 + place * (width + gap), 32 + number * row, width, height, (label.replace("_", " "),))
    names = [
        f'<text x="14" y="{32 + n * row + height / 2 + 4.5:g}" class="title">{package}</text>'
        for n, package in enumerate(packages)
        if package != "report"
    ]
    arrows = [arrow(boxes[from_], boxes[to]) for from_, to in reduced(stages)]
    right = int(max(box.x + box.width for box in boxes.values())) + 20
    title = "The stages of a run, a row for each package; arrows lead from an output to the stages that read it"
    return picture(
        title, right, 32 + len(packages) * row - 40, [*arrows, *names, *(box.draw() for box in boxes.values())]
    )


def shard_picture() -> str:
    """What becomes of one shard of the crawl."""
    wet = Box(20, 40, 150, 64, ("WET file", "records of pages"))
    hash_ = Box(220, 40, 170, 64, ("hash", "8 bytes a line, sorted"))
    duplicates = Box(440, 40, 200, 64, ("duplicates", "one range of hashes at a time,", "over all shards"))
    steps = ("mine", "leave out duplicate lines", "identify the language", "filter, mask", "score by perplexity")
    mine = Box(220, 160, 170, 112, steps)
    models = Box(20, 184, 150, 64, ("language models", "from clean text"))
    cutoffs = Box(440, 160, 200, 48, ("cutoffs", "a third each, by language"))
    regroup = Box(440, 224, 200, 48, ("regroup", "by language and bucket"))
    corpus = Box(690, 216, 170, 64, ("corpus", "de/head-00000.arrow", "de/tail-00000.arrow, …"), "soft")
    pairs = ((wet, hash_), (hash_, duplicates), (models, mine), (mine, cutoffs), (regroup, corpus))
    across = [f'<path class="arrow" d="M{a.x + a.width:g} {a.y + a.height / 2:g}H{b.x:g}"/>' for a, b in pairs]
    down = [
        '<path class="arrow" d="M95 104C95 140 220 130 250 160"/>',
        '<path class="arrow" d="M540 104C540 140 380 120 345 160"/>',
        '<path class="arrow" d="M540 208V224"/>',
        '<path class="arrow" d="M390 248H440"/>',
    ]
    boxes = (wet, hash_, duplicates, mine, models, cutoffs, regroup, corpus)
    title = (
        "Data through a shard: hashes of lines find duplicates over all shards; mining reads the shard a second time"
    )
    return picture(title, 880, 300, [*across, *down, *(box.draw() for box in boxes)])


def parallel_picture() -> str:
    """One layer on four GPUs: tensor parallelism 2, ZeRO over the two replicas."""
    drawn: list[str] = []
    for replica in range(2):
        top = 40 + replica * 190
        drawn.append(f'<text x="20" y="{top - 12}" class="title">replica {replica}: its own sequences</text>')
        for rank in range(2):
            left = 20 + rank * 400
            half = f"half {rank + 1} of 2"
            boxes = (
                Box(left, top, 170, 52, ("attention", f"heads, {half}")),
                Box(left + 190, top, 170, 52, ("feed-forward", f"inner units, {half}")),
                Box(
                    left,
                    top + 72,
                    360,
                    44,
                    ("optimiser state of these halves", f"part {replica + 1} of 2 (ZeRO)"),
                    "soft",
                ),
            )
            drawn += [f'<text x="{left + 300}" y="{top - 12}" class="small">GPU {2 * replica + rank}</text>']
            drawn += [box.draw() for box in boxes]
        drawn.append(f'<path class="arrow" d="M380 {top + 20}H420"/><path class="arrow" d="M420 {top + 34}H380"/>')
    drawn += [
        '<path class="arrow" d="M200 156V230"/><path class="arrow" d="M600 156V230"/>',
        '<text x="410" y="186" class="small" text-anchor="middle">gradients: reduce-scatter between replicas,</text>',
        '<text x="410" y="202" class="small" text-anchor="middle">then all-gather of the new weights</text>',
        '<text x="20" y="372" class="small">Between the halves of a replica: all-reduce of activations after attention'
        "</text>",
        '<text x="20" y="388" class="small">and after feed-forward, and of their gradients on the way back.</text>',
    ]  # fmt: skip
    title = "One layer on four GPUs: tensor parallelism of two, and ZeRO over two replicas"
    return picture(title, 800, 400, drawn)


PICTURES = {"dag.svg": dag_picture, "shard.svg": shard_picture, "parallel.svg": parallel_picture}
"""File -> what draws it."""


def main() -> int:
    """Write all of them."""
    for name, draw in PICTURES.items():
        (FOLDER / name).write_text(draw(), encoding="utf-8")
        print(FOLDER / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
