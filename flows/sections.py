"""What the report says of a stage, as artifacts of its task: tables whole, figures as PNG in the artifact itself.

They are drawn from the same sections as the page, so that both say the same.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from pathlib import Path

from prefect import get_run_logger
from prefect.artifacts import create_image_artifact, create_table_artifact

from pipeline.dag import Dag
from pipeline.errors import XlmrError
from pipeline.extras import check_extra
from pipeline.plan import Plan
from pipeline.report.body import ReportElement, ReportFigure, elements_of
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

    package = next(one for one in dag.packages if one.name == dag.stages[stage].package)
    for section in sections_of_stage(package, stage, outputs):
        numbers = {"table": 0, "figure": 0}
        for element in elements_of(section.body):
            kind = "figure" if isinstance(element, ReportFigure) else "table"
            numbers[kind] += 1
            number = f"-{numbers[kind]}" if numbers[kind] > 1 else ""
            _show_element(element, f"{artifact_key(stage)}-{artifact_key(section.title)}-{kind}{number}", section.title)


def _show_element(element: ReportElement, key: str, section: str) -> None:
    own = element.title if isinstance(element, ReportFigure) else element.caption
    description = f"{section}: {own}" if own else section
    if isinstance(element, ReportFigure):
        create_image_artifact(data_address(element), key=key, description=description)
    else:
        rows = [dict(zip(element.headers, cells, strict=True)) for cells in element.rows]
        create_table_artifact(rows, key=key, description=description)


def data_address(figure: ReportFigure) -> str:
    """The picture itself as an address, which a browser shows without asking any server for it."""
    from pipeline.report.figures import png_of

    return f"data:image/png;base64,{base64.b64encode(png_of(figure)).decode()}"


def artifact_key(name: str) -> str:
    """A name in the letters that Prefect allows: lower case, digits, dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
