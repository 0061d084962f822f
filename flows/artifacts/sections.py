"""What the report says of a stage, as artifacts of its task: tables whole, figures as PNG in the artifact itself.

They are drawn from the same sections as the page, so that both say the same.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from pipeline.dag import Dag
from pipeline.errors import XlmrError
from pipeline.extras import check_extra
from pipeline.plan import Plan
from pipeline.report.body import ReportFigure, ReportTable, elements_of
from pipeline.store.copies import Copies


def show_sections(dag: Dag, plan: Plan, stage: str, copies: Copies) -> None:
    """Show what the end of ``stage`` completes. A stage that has its output does not fail for want of a table."""
    outputs = {name: plan[name].output for name in dag.ancestors([stage]) if plan[name].manifest is not None}
    try:
        check_extra("report", "what the report says of a stage")
        _show(dag, stage, {name: copies.bring(output) for name, output in outputs.items()})
    except (XlmrError, OSError, LookupError, TypeError, ValueError) as error:
        get_run_logger().warning(f"{stage}: tables and figures cannot be shown: {type(error).__name__}: {error}")


def _show(dag: Dag, stage: str, outputs: Mapping[str, Path]) -> None:
    from pipeline.report.page import sections_of_stage

    of_stage = [one for one in dag.packages if one.name == dag.stages[stage].package]  # none of the stage `report`
    for section in [section for package in of_stage for section in sections_of_stage(package, stage, outputs)]:
        # A run's graph has a mark with this name for each of them: short, and one picture a section.
        key = artifact_key(f"{stage}-{re.split('[,:]', section.title)[0]}")
        elements = elements_of(section.body)
        _show_figures([one for one in elements if isinstance(one, ReportFigure)], key, section.title)
        for number, table in enumerate((one for one in elements if isinstance(one, ReportTable)), 1):
            _show_table(table, f"{key}-table" + (f"-{number}" if number > 1 else ""), section.title)


def _show_figures(figures: Sequence[ReportFigure], key: str, section: str) -> None:
    if figures:
        description = ": ".join([section, *filter(None, ["; ".join(one.title for one in figures if one.title)])])
        create_markdown_artifact(picture_of(figures), key=f"{key}-figure", description=description)


def _show_table(table: ReportTable, key: str, section: str) -> None:
    rows = [dict(zip(table.headers, cells, strict=True)) for cells in table.rows]
    description = f"{section}: {table.caption}" if table.caption else section
    create_table_artifact(rows, key=key, description=description)


def picture_of(figures: Sequence[ReportFigure]) -> str:
    """Markdown with the picture itself as an address, which a browser shows without asking any server for it.

    Below an artifact of type image, Prefect's page repeats the address: some ten thousand letters.
    """
    from pipeline.report.figures import png_of

    return f"![figure](data:image/png;base64,{base64.b64encode(png_of(figures)).decode()})"


def artifact_key(name: str) -> str:
    """A name in the letters that Prefect allows: lower case, digits, dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
