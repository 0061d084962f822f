"""What is written of a study: an HTML page with the comparison of its runs, Markdown, the figure, the numbers.

Panels and the comparison -> <name>.html, .md, .svg, .json.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from markupsafe import Markup, escape

from pipeline.report.comparison import RunComparison
from pipeline.report.comparison_page import facts_of, sections_of
from pipeline.report.page import ReportSection, table, write_sections
from pipeline.storage import atomic_write, write_json
from pipeline.study.draw import caption_of, figure_file, figure_of
from pipeline.study.points import Panel
from pipeline.study.study_file import StudyFile

AT_SIZE = {"demo": "At the size of the demo", "paper": "At the paper's size"}


def write_study(
    study: StudyFile,
    file: Path,
    panels: Sequence[Panel],
    comparison: RunComparison,
    failures: Mapping[str, str],
    folder: Path,
) -> Path:
    """Write all four files into ``folder``, with the command that ``file`` is for; returns the path of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    name = file.stem
    sections = [_numbers_section(study, panels, failures), *sections_of(comparison)]
    page = folder / f"{name}.html"
    write_sections(study.title, f"study · {study.of}", facts_of(comparison), sections, page)
    for suffix, text in (("md", _markdown(study, file, panels, comparison, failures)), ("svg", figure_file(panels))):
        with atomic_write(folder / f"{name}.{suffix}", "w") as handle:
            handle.write(text)
    found = {"title": study.title, "of": study.of, "size": study.size, "failures": dict(failures)}
    write_json(folder / f"{name}.json", found | {"panels": [asdict(p) for p in panels]} | comparison.as_json())
    return page


def _numbers_section(study: StudyFile, panels: Sequence[Panel], failures: Mapping[str, str]) -> ReportSection:
    body = figure_of(panels)
    for panel in panels:
        headers, rows = panel.rows()
        body += table(headers, rows, caption_of(panel), folded=False) if rows else _paragraph("", f"{panel.title}: –")
        body += _paragraph("", panel.note) if panel.note else Markup()
    for heading, text in _texts(study, failures).items():
        body += _paragraph(heading, text)
    return ReportSection("What was measured", f"{study.of}, beside what was measured here.", body)


def _texts(study: StudyFile, failures: Mapping[str, str]) -> dict[str, str]:
    """Heading -> text, of those that have one."""
    failed = "; ".join(f"{name}: {why}" for name, why in failures.items())
    found = {
        f"{AT_SIZE[study.size]} this shows": study.says,
        "It does not show": study.does_not_say,
        "What the paper does not say": study.unpublished,
        "Variants that failed": failed,
    }
    return {heading: " ".join(text.split()) for heading, text in found.items() if text}


def _paragraph(heading: str, text: str) -> Markup:
    start = Markup("<b>{}.</b> ").format(heading) if heading else Markup()
    return Markup("<p>") + start + escape(text) + Markup("</p>\n")


def _markdown(
    study: StudyFile, file: Path, panels: Sequence[Panel], comparison: RunComparison, failures: Mapping[str, str]
) -> str:
    facts = f"{study.of}. {'. '.join(facts_of(comparison))}".rstrip(" .")
    lines = [f"# {study.title}", "", f"{facts}. Measured by `xlmr study {file}`.", ""]
    if any(panel.series for panel in panels):
        lines += [f"![{study.title}]({file.stem}.svg)", ""]
    for panel in panels:
        headers, rows = panel.rows()
        if rows:
            lines += [f"**{caption_of(panel)}**", "", _row(headers), _row(["---", *["---:"] * (len(headers) - 1)])]
            lines += [*map(_row, rows), ""]
        lines += [panel.note, ""] if panel.note else []
    for heading, text in _texts(study, failures).items():
        lines += [f"**{heading}.** {text}", ""]
    return "\n".join(lines).rstrip() + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
