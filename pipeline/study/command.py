"""``xlmr study FILE``: run a grid of variants, then draw its figure; ``--plan`` says what would run and what it takes.

Nothing heavy is imported at the top.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pipeline.dag import Dag
from pipeline.errors import XlmrError

if TYPE_CHECKING:
    from pipeline.report.comparison import ComparedRun
    from pipeline.study.cost import Estimate
    from pipeline.study.study_file import StudyFile
    from pipeline.study.variants import StudyVariant

Words = Annotated[str, Parameter(allow_leading_hyphen=True, show=False)]


def study_command(dag: Dag) -> Callable[..., None]:
    """``xlmr study``, made from the DAG."""

    def study(
        file: Path,
        *settings: Words,
        plan: Annotated[bool, Parameter(negative="")] = False,
        gpus: int = 8,
        output: Path | None = None,
    ) -> None:
        """Run the variants of a study that are not there yet, and draw its figure beside the published numbers.

        Parameters
        ----------
        file
            YAML file of the study, as configs/studies/demo/alpha.yaml.
        plan
            Run nothing; say what would run, what variants share, and what training takes.
        gpus
            With --plan: GPUs that a training has.
        output
            Folder for the page, the figure, the table and the numbers; runs/<project>/studies if not given.
        """
        from pipeline.study.study_file import read_study
        from pipeline.study.study_plan import StudyPlan
        from pipeline.study.variants import variants_of

        read = read_study(file)
        variants = variants_of(dag, read, file, settings)
        for target in read.measured_stages:
            dag.select(target)
        if plan:
            print("\n".join(StudyPlan(dag, read, variants, gpus).lines()))
        else:
            _run(dag, read, variants, file, output)

    return study


def _run(dag: Dag, study: StudyFile, variants: Sequence[StudyVariant], file: Path, output: Path | None) -> None:
    """Errors: XlmrError that names the variants that failed, after everything else is done and drawn."""
    from pipeline.report.comparison import compare
    from pipeline.run_settings import project_folder
    from pipeline.study.grid_run import GridRun
    from pipeline.study.page import write_study
    from pipeline.study.points import panels_of
    from pipeline.terminal import say

    stages = study.measured_stages
    grid = GridRun(dag, variants, stages, [_estimates(dag, variant) for variant in variants], say)
    grid.run()
    runs = [_compared(dag, variant, stages) for variant in variants]
    folder = output or project_folder(variants[0].config) / "studies"
    panels = panels_of(study, variants, runs)
    print(write_study(study, file, panels, compare(dag, runs), grid.failures, folder))
    if grid.failures:
        names = "; ".join(f"{name} ({why})" for name, why in grid.failures.items())
        raise XlmrError(
            f"{len(grid.failures)} of {len(variants)} variants failed: {names}",
            "fix what is said and give the same command again: what is complete is kept",
        )


def _estimates(dag: Dag, variant: StudyVariant) -> dict[str, Estimate]:
    """What its stages take; nothing for a variant that cannot be, which fails when its turn comes."""
    from pipeline.study.cost import estimates_of

    try:
        return estimates_of(dag, variant.config, 1)
    except XlmrError:
        return {}


def _compared(dag: Dag, variant: StudyVariant, stages: Sequence[str]) -> ComparedRun:
    """The variant as it stands, one that cannot be planned too."""
    from pipeline.report.comparison import run_of_config, run_without_plan

    try:
        return run_of_config(dag, variant.name, variant.config, until=stages)
    except XlmrError as error:
        return run_without_plan(variant.name, stages, error.problem)
