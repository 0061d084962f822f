"""Every stage: what it does, what it reads, which settings count for it."""

from __future__ import annotations

from itertools import groupby

from pipeline.dag import Dag
from pipeline.stage import Stage
from scripts.reference.markdown import table


def stages_page() -> str:
    """The stages by package, in the order in which they run."""
    dag = Dag.default()
    written = [
        "# Stages\n\nOutputs are in `runs/<project>/<stage>/<key>/`. "
        "A setting counts for a stage if its section is listed there.\n"
    ]
    for package, stages in groupby(dag.stages.values(), key=lambda stage: stage.package):
        written.append(f"\n## {package}\n\n" + table(HEAD, (_row(stage) for stage in stages)))
    return "".join(written)


HEAD = ("stage", "does", "reads the outputs of", "sections of settings", "version", "extra")


def _row(stage: Stage) -> tuple[str, ...]:
    sections = ", ".join(f"`{stage.package}.{name}`" for name in stage.config.model_fields)
    inputs = ", ".join(f"`{name}`" for name in stage.inputs)
    return f"`{stage.name}`", stage.summary, inputs or "–", sections or "–", str(stage.version), stage.extra or "–"
