"""The comparison of runs as an HTML page and as lines of text: settings that differ, measures, then the stages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from pipeline.formatting import column, duration
from pipeline.report.charts import chart, side_by_side
from pipeline.report.comparison import RunComparison, one_of
from pipeline.report.measures import Measure
from pipeline.report.page import ReportSection, commits_of, period_of, table, write_sections

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLES = {"corpus": "Corpus", "tokenizer": "Vocabulary", "pretrain": "Pretraining", "finetune": "Fine-tuning"}
"""Package -> the heading of its measures; another package's is its name."""

LONGEST_VALUE = 60
"""Characters of a setting's value in a cell; a list of a hundred languages is cut, and its length is given."""


def write_comparison(comparison: RunComparison, path: Path) -> None:
    """Write the page about ``comparison`` to ``path``."""
    names = [run.name for run in comparison.runs]
    title = " · ".join(names) if len(names) <= 3 else f"{len(names)} runs"
    write_sections(title, "comparison of runs", facts_of(comparison), sections_of(comparison), path)


def facts_of(comparison: RunComparison) -> list[str]:
    """When the runs were made and from which code."""
    manifests = [manifest for run in comparison.runs for manifest in run.manifests.values()]
    if not manifests:
        return []
    started = [manifest.started for manifest in manifests]
    commits = commits_of([manifest.git_commit for manifest in manifests if manifest.git_commit])
    return [period_of(min(started), max(started)), *([f"commit {commits}"] if commits else [])]


def sections_of(comparison: RunComparison) -> list[ReportSection]:
    """The sections of the page, those of a package that has no measures left out."""
    packages = list(dict.fromkeys(one_of(found).stage.partition(".")[0] for found in comparison.measures().values()))
    return [
        _settings_section(comparison),
        *(_package_section(comparison, package) for package in packages),
        _stages_section(comparison),
    ]


def _settings_section(comparison: RunComparison) -> ReportSection:
    differing = comparison.differing_settings()
    rows = [(name, *map(setting_words, values)) for name, values in differing.items()]
    lead = (
        "Settings that can change a result and are not the same in all runs. A dash stands where a setting changes "
        "nothing, because what it belongs to is switched off, and where a run has no stage that reads it."
        if rows
        else "No setting that can change a result differs."
    )
    body = table(("setting", *_names(comparison)), rows, "Settings that differ", folded=False) if rows else Markup()
    return ReportSection("What differs in the settings", lead, body)


def setting_words(value: Any) -> str | None:
    """A setting's value in a cell."""
    if value is None:
        return None
    if value in ("", [], {}):
        return "empty"
    if not isinstance(value, list):
        return str(value)
    words = ", ".join(map(str, value))
    return words if len(words) <= LONGEST_VALUE else f"{len(value)}: {words[:LONGEST_VALUE]}…"


def _names(comparison: RunComparison) -> list[str]:
    return [run.name for run in comparison.runs]


def _package_section(comparison: RunComparison, package: str) -> ReportSection:
    measures = {
        name: found for name, found in comparison.measures().items() if one_of(found).stage.startswith(f"{package}.")
    }
    overall = [found for found in measures.values() if any(one and one.value is not None for one in found)]
    rows = [(one_of(found).title, *cells_of(comparison, found)) for found in overall]
    body = table(("measure", *_names(comparison)), rows, folded=False) if rows else Markup()
    curves = [found for found in measures.values() if any(one and len(one.curve) > 1 for one in found)]
    body += side_by_side([_curves(comparison, found) for found in curves]) if curves else Markup()
    body += Markup("").join(_by_language(comparison, found) for found in measures.values() if one_of(found).by)
    lead = "What the runs came to, stage by stage."
    problems = [f"{run.name}: {run.problems[package]}" for run in comparison.runs if package in run.problems]
    if problems:
        lead += f" Not readable: {'; '.join(problems)}."
    return ReportSection(TITLES.get(package, package), lead, body)


def cells_of(comparison: RunComparison, found: Sequence[Measure | None]) -> list[str]:
    """A cell a run: its number, ± its deviation over seeds, and a word where the stage is stale or has not run."""
    numbers = column([one.value if one else None for one in found])
    stage = one_of(found).stage
    cells = []
    for place, one in enumerate(found):
        gap = comparison.gap(place, stage)
        if one is None or one.value is None:
            cells.append(gap or "–")
            continue
        spread = f" ± {column([one.value, one.spread])[1]}" if one.spread is not None else ""
        cells.append(f"{numbers[place]}{spread}" + (f" ({gap})" if gap else ""))
    return cells


def _by_language(comparison: RunComparison, found: Sequence[Measure | None]) -> Markup:
    languages = dict.fromkeys(language for one in found if one for language in sorted(one.by))
    rows = [(language, *((one.by.get(language) if one else None) for one in found)) for language in languages]
    caption = f"{one_of(found).title}, by language"
    return table(("language", *_names(comparison)), rows, caption[0].upper() + caption[1:], folded=True)


def _curves(comparison: RunComparison, found: Sequence[Measure | None]) -> Markup:
    def draw(axes: Axes) -> None:
        for name, one in zip(_names(comparison), found, strict=True):
            if one and one.curve:
                axes.plot(*zip(*one.curve, strict=True), "o-", ms=3, lw=1, label=name)
        axes.set_xlabel("step")
        axes.legend(fontsize=7.5)

    return chart(draw, title=f"{one_of(found).title}, by step", width=5, height=3)


def _stages_section(comparison: RunComparison) -> ReportSection:
    rows = []
    for stage in comparison.stages:
        cells = []
        for place, run in enumerate(comparison.runs):
            took = duration(run.manifests[stage].seconds) if stage in run.manifests else ""
            first = next(
                (
                    o.name
                    for o in comparison.runs[:place]
                    if stage in run.outputs and o.outputs.get(stage) == run.outputs[stage]
                ),
                "",
            )
            gap = run.states.get(stage) or comparison.gap(place, stage)
            cells.append(" · ".join(filter(None, (took, f"the output of {first}" if first else "", gap))))
        rows.append((stage, *cells))
    sources = [(run.name, run.source) for run in comparison.runs if run.source]
    body = table(("stage", *_names(comparison)), rows, "Time of each stage", folded=False)
    body += table(("run", "read from"), sources, folded=False) if sources else Markup()
    lead = "How long each stage took. Stages with the same key have the same output: the work was done once."
    return ReportSection("The runs", lead, body)


def lines_of(comparison: RunComparison) -> Iterator[str]:
    """The comparison in short, for a terminal: settings that differ, then the numbers over all languages."""
    names = _names(comparison)
    rows = [("", *names)]
    rows += [(name, *(setting_words(v) or "–" for v in vs)) for name, vs in comparison.differing_settings().items()]
    rows += [
        (name, *cells_of(comparison, found))
        for name, found in comparison.measures().items()
        if any(one and one.value is not None for one in found)
    ]
    widths = [max(len(row[place]) for row in rows) for place in range(len(names) + 1)]
    for row in rows:
        first, *rest = (
            cell.ljust(width) if not n else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join([first, *rest]).rstrip()
