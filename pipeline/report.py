"""The report: one self-contained HTML page. Each room draws its own sections; the spine binds them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.context import Context
from pipeline.manifest import Manifest, read_manifest
from pipeline.stage import Counts, Inputs, Room, load_object
from pipeline.status import summary_of
from pipeline.storage import atomic_write

TEMPLATES = Environment(loader=PackageLoader("pipeline"), autoescape=True, undefined=StrictUndefined, trim_blocks=True)


@dataclass(frozen=True)
class ReportSection:
    """A section of the page. ``body`` is HTML that the room made (see ``table`` and ``pipeline.charts``)."""

    title: str
    lead: str
    body: Markup


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> Markup:
    """An HTML table; numbers are aligned right and get thousands separators. Everything else is escaped."""
    cells = [[(_cell(value), isinstance(value, int | float)) for value in row] for row in rows]
    return Markup(TEMPLATES.get_template("table.html.j2").render(headers=headers, rows=cells, caption=caption))


def _cell(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    return (
        f"{value:,.3g}"
        if isinstance(value, float) and abs(value) < 10
        else f"{value:,.1f}"
        if isinstance(value, float)
        else value
    )


def write_report(rooms: Iterable[Room], outputs: Mapping[str, Path], path: Path) -> None:
    """Write the page about ``outputs`` (stage name -> folder of a complete output) to ``path``."""
    manifests = {name: m for name, folder in outputs.items() if (m := read_manifest(folder)) is not None}
    sections = [s for room in rooms if room.report for s in load_object(room.report)(outputs)]
    page = TEMPLATES.get_template("report.html.j2").render(
        sections=[*sections, _stages_section(manifests)], manifests=manifests, started=_earliest(manifests)
    )
    with atomic_write(path, "w") as handle:
        handle.write(page)


def run(config: Any, inputs: Inputs, output: Path, context: Context) -> Counts:
    """The stage ``report``."""
    from pipeline.dag import Dag

    del config, context
    write_report(Dag.of_house().rooms, inputs, output / "report.html")
    return {"stages": len(inputs)}


def _earliest(manifests: Mapping[str, Manifest]) -> str:
    return min((manifest.started for manifest in manifests.values()), default="")


def _stages_section(manifests: Mapping[str, Manifest]) -> ReportSection:
    rows = [
        (
            name,
            m.seconds,
            m.peak_memory_bytes / 1e9,
            sum(f.size for f in m.files.values()) / 1e6,
            summary_of(m),
        )
        for name, m in manifests.items()
    ]
    headers = ("stage", "seconds", "peak memory, GB", "output, MB", "counts")
    return ReportSection("Stages", "Time, memory and output of each stage, from its manifest.", table(headers, rows))
