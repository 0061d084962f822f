"""The report: one self-contained HTML page. Each package draws its own sections; the core binds them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipeline.config import flatten
from pipeline.context import Context
from pipeline.counts import Counts
from pipeline.formatting import column, duration, size
from pipeline.manifest import Manifest, read_manifest
from pipeline.report.body import ReportBody, ReportTable
from pipeline.stage import Inputs, Package, Stage, load_object
from pipeline.stage_graph import draw_graph, reading_order
from pipeline.status import summary_of
from pipeline.storage import atomic_write

TEMPLATES = Environment(
    loader=PackageLoader("pipeline.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

FOLDED = 24
"""Tables with more rows are folded on the screen: a click opens them. On paper they are open."""

NUMBER = re.compile(
    r"[<>]?\s?[+−-]?\d[\d,.]*(\s?±\s?\d[\d,.]*)?(\s?(%|[kMG]|[kMGT]?B|ms|s|min|h))?(\s\d\d (s|min|h))?|–"
)
"""Text that is a number to its reader, and stands at the right of its cell like one."""


@dataclass(frozen=True)
class ReportSection:
    """A section of the page. ``body`` is HTML that the package made (see ``table`` and ``pipeline.report.charts``).

    ``figures`` are the few numbers that a reader should see first, as (what, how much) at the top of the page.
    ``stage`` is the one whose end completes the section: what shows stages by themselves shows it there. Empty: the
    last of the package.
    """

    title: str
    lead: str
    body: Markup
    figures: Sequence[tuple[str, str]] = ()
    stage: str = ""


def table(
    headers: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "", *, folded: bool | None = None
) -> ReportBody:
    """An HTML table; columns of numbers are aligned right and get thousands separators. Everything else is escaped.

    The first cell of a row is its heading. The table is ``folded`` under its caption by default if it is long.
    """
    columns = list(zip(*rows, strict=True))
    texts = [column(values) for values in columns]
    numeric = [_is_numeric(values, cells) for values, cells in zip(columns, texts, strict=True)]
    cells_by_row = list(zip(*texts, strict=True))
    html = TEMPLATES.get_template("table.html.j2").render(
        headers=list(zip(headers, numeric or [False] * len(headers), strict=True)),
        rows=[list(zip(cells, numeric, strict=True)) for cells in cells_by_row],
        caption=caption,
        folded=folded if folded is not None else len(cells_by_row) > FOLDED,
    )
    return ReportBody(html, [ReportTable(tuple(headers), tuple(cells_by_row), caption)])


def _is_numeric(values: Sequence[Any], texts: Sequence[str]) -> bool:
    """Whether a column is one of numbers: all of its text looks so, or most of its values are so."""
    plain = sum(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return 2 * plain > len(values) or all(NUMBER.fullmatch(text) for text in texts)


def write_report(packages: Iterable[Package], outputs: Mapping[str, Path], path: Path) -> None:
    """Write the page about ``outputs`` (stage name -> folder of a complete output) to ``path``."""
    from pipeline.dag import Dag

    dag = Dag(packages)
    inputs = {stage.name: stage.inputs for package in dag.packages for stage in package.stages}
    order = reading_order(inputs)
    found = {n: read_manifest(outputs[n]) for n in order if n in outputs}
    manifests = {name: manifest for name, manifest in found.items() if manifest is not None}
    sections = [s for package in dag.packages if package.report for s in load_object(package.report)(outputs)]
    page = TEMPLATES.get_template("report.html.j2").render(
        summary=_summary(manifests, outputs),
        figures=[figure for section in sections for figure in section.figures],
        stages=_stages([dag.stages[name] for name in order], manifests),
        graph=draw_graph(order, inputs, manifests),
        sections=list(zip(_names(sections), sections, strict=True)),
        warnings=[(name, text) for name, m in manifests.items() for text in m.warnings],
        costs=_costs_table(manifests),
        settings=_settings_table(manifests),
        packages=_packages(manifests),
    )
    with atomic_write(path, "w") as handle:
        handle.write(page)


def sections_of_stage(package: Package, stage: str, outputs: Mapping[str, Path]) -> list[ReportSection]:
    """The sections that the end of ``stage`` completes. ``outputs`` are those of it and of the stages before it."""
    if not package.report:
        return []
    last = package.stages[-1].name
    return [section for section in load_object(package.report)(outputs) if (section.stage or last) == stage]


def write_sections(title: str, kind: str, facts: Sequence[str], sections: Sequence[ReportSection], path: Path) -> None:
    """Write a page of sections alone, with links to each at its top, to ``path``."""
    page = TEMPLATES.get_template("sections.html.j2").render(
        title=title, kind=kind, facts=facts, sections=list(zip(_names(sections), sections, strict=True))
    )
    with atomic_write(path, "w") as handle:
        handle.write(page)


def run(config: Any, inputs: Inputs, output: Path, context: Context) -> Counts:
    """The stage ``report``."""
    from pipeline.dag import Dag

    del config, context
    write_report(Dag.default().packages, inputs, output / "report.html")
    return {"stages": len(inputs)}


def _summary(manifests: Mapping[str, Manifest], outputs: Mapping[str, Path]) -> dict[str, str]:
    """Who, when, from which code, for how long. Nothing of the moment of writing: the same run, the same bytes."""
    if not manifests:
        return {"project": "", "when": "", "commit": "", "took": ""}
    # Outputs lie in runs/<project>/<stage>/<key8>.
    projects = {outputs[name].absolute().parent.parent.name for name in manifests}
    started = [m.started for m in manifests.values()]
    return {
        "project": ", ".join(sorted(projects)),
        "when": period_of(min(started), max(started)),
        "commit": commits_of([m.git_commit for m in manifests.values() if m.git_commit]),
        "took": duration(sum(m.seconds for m in manifests.values())),
    }


def period_of(first: str, last: str) -> str:
    """``20 November 2026, 20:42 – 20:49 UTC`` from two ISO 8601 times with their zones."""
    begun, ended = datetime.fromisoformat(first), datetime.fromisoformat(last)
    day, zone = f"{begun.day} {begun:%B %Y, %H:%M}", ended.tzname() or ""
    if begun.date() != ended.date():
        return f"{day} – {ended.day} {ended:%B %Y, %H:%M} {zone}".rstrip()
    later = "" if f"{begun:%H:%M}" == f"{ended:%H:%M}" else f" – {ended:%H:%M}"
    return f"{day}{later} {zone}".rstrip()


def commits_of(commits: Sequence[str]) -> str:
    """The commits that ran, in the order of the stages, and whether the tree held changes beside them."""
    changed = {commit.partition("+")[0] for commit in commits if "+" in commit}
    names = dict.fromkeys(commit.partition("+")[0] for commit in commits)
    return ", ".join(name[:10] + (" with changes" if name in changed else "") for name in names)


def _names(sections: Sequence[ReportSection]) -> list[str]:
    """Anchors: the titles in lower case, numbered where two would be the same."""
    names: list[str] = []
    for section in sections:
        plain = re.sub(r"[^a-z0-9]+", "-", section.title.lower()).strip("-") or "section"
        names.append(plain if plain not in names else f"{plain}-{len(names)}")
    return names


def _stages(stages: Sequence[Stage], manifests: Mapping[str, Manifest]) -> list[dict[str, Any]]:
    """For each stage its names, its summary, and its time as text and as percent of the longest."""
    longest = max((m.seconds for m in manifests.values()), default=0) or 1
    return [
        {
            "package": stage.package,
            "step": stage.name.partition(".")[2],
            "summary": stage.summary,
            "took": duration(manifests[stage.name].seconds) if stage.name in manifests else None,
            "share": round(100 * manifests[stage.name].seconds / longest, 2) if stage.name in manifests else 0,
        }
        for stage in stages
    ]


def _costs_table(manifests: Mapping[str, Manifest]) -> Markup:
    rows = [
        (
            name,
            duration(m.seconds),
            size(m.peak_memory_bytes),
            size(sum(f.size for f in m.files.values())),
            len(m.files),
            summary_of(m),
        )
        for name, m in manifests.items()
    ]
    headers = ("stage", "time", "peak memory", "output", "files", "counts")
    return table(headers, rows, "What each stage cost, and the first of its counts", folded=True)


def _settings_table(manifests: Mapping[str, Manifest]) -> Markup:
    rows = [
        (name, key, "not set" if value is None else str(value))
        for name, m in manifests.items()
        for key, value in flatten(m.config)
    ]
    return table(("stage", "setting", "value"), rows, "Settings that decide the result", folded=True)


def _packages(manifests: Mapping[str, Manifest]) -> str:
    """The versions that did the work; where stages had different ones, all of them."""
    found: dict[str, set[str]] = {}
    for manifest in manifests.values():
        for name, version in manifest.packages.items():
            found.setdefault(name, set()).add(version)
    return ", ".join(f"{name} {' and '.join(sorted(versions))}" for name, versions in sorted(found.items()))
