"""Links from Prefect's UI to the pages of a run, which ``xlmr serve`` shows. A path of this machine is no link."""

from __future__ import annotations

import os
from pathlib import Path

from prefect.artifacts import create_link_artifact

from pipeline.plan import StagePlan
from pipeline.serve.command import REPORTS_URL, RUNS_FOLDER
from pipeline.serve.runs import file_address


def address_of(page: Path, project: Path) -> str | None:
    """Where browsers find a page of a project; None where its folder is not served."""
    base, served = os.environ.get(REPORTS_URL), os.environ.get(RUNS_FOLDER)
    if not base or (served and project.resolve().parent != Path(served).resolve()):
        return None
    return file_address(base, project.name, page.relative_to(project).as_posix())


def show_links(plan: StagePlan, key: str) -> None:
    """A link artifact for each page of a stage's output; ``key`` is the stage's."""
    project = plan.output.parent.parent
    for page in sorted(plan.output.glob("*.html")):
        if address := address_of(page, project):
            name = page.stem.lower().replace(".", "-").replace("_", "-")
            create_link_artifact(address, page.name, key=f"{key}-{name}-page", description=plan.stage.summary)
