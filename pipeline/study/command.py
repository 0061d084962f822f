"""``xlmr study FILE``: run a grid of variants, then draw its figure; ``--plan`` says what would run and what it takes.

Nothing heavy is imported at the top.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pipeline.dag import Dag
from pipeline.errors import XlmrError

if TYPE_CHECKING:
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
        from pipeline.study.variants import variants_of

        read = read_study(file)
        variants = variants_of(dag, read, file, settings)
        for target in read.measured_stages:
            dag.select(target)
        if plan:
            print("\n".join(plan_lines(dag, read, variants, gpus)))
        else:
            _run(dag, read, variants, file, output)

    return study


def _run(dag: Dag, study: StudyFile, variants: Sequence[StudyVariant], file: Path, output: Path | None) -> None:
    """Errors: XlmrError that names the variants that failed, after everything else is done and drawn."""
    from pipeline.comparison import compare, run_of_config
    from pipeline.run_settings import project_folder
    from pipeline.study.cost import estimates_of
    from pipeline.study.grid_run import GridRun
    from pipeline.study.page import write_study
    from pipeline.study.points import panels_of

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    grid = GridRun(dag, variants, study.measured_stages, [estimates_of(dag, v.config, 1) for v in variants], say)
    grid.run()
    runs = [run_of_config(dag, variant.name, variant.config, until=study.measured_stages) for variant in variants]
    folder = output or project_folder(variants[0].config) / "studies"
    panels = panels_of(study, variants, runs)
    print(write_study(study, file.stem, panels, compare(dag, runs), grid.failures, folder))
    if grid.failures:
        names = "; ".join(f"{name} ({why})" for name, why in grid.failures.items())
        raise XlmrError(
            f"{len(grid.failures)} of {len(variants)} variants failed: {names}",
            "fix what is said and give the same command again: what is complete is kept",
        )


def plan_lines(dag: Dag, study: StudyFile, variants: Sequence[StudyVariant], gpus: int) -> Iterator[str]:
    """What each variant would run that no earlier one has, what its training takes, and the sum of all."""
    from pipeline.formatting import duration
    from pipeline.study.cost import estimates_of
    from pipeline.study.variants import identities

    yield f"{study.title}: {study.of}, {study.size} size"
    yield f"{len(variants)} variants, all up to {', '.join(study.measured_stages)}"
    first: dict[str, str] = {}
    seconds, trainings, slots = 0.0, 0, 0
    for variant in variants:
        own = identities(dag, variant.config, study.measured_stages)
        slots += len(own)
        new = [stage for stage, one in own.items() if one not in first]
        shared = dict.fromkeys(first[one] for one in own.values() if one in first)
        there = fresh_stages(dag, variant, study.measured_stages)
        first |= {one: variant.name for one in own.values() if one not in first}
        yield ""
        yield f"{variant.name}"
        yield f"  runs    {', '.join(name + ' (is there)' * (name in there) for name in new) or 'nothing of its own'}"
        if shared:
            yield f"  shares  {len(own) - len(new)} stages with {', '.join(shared)}"
        for stage, estimate in estimates_of(dag, variant.config, gpus).items():
            if stage in new:
                yield f"  takes   {stage}: {estimate.words}"
                seconds, trainings = seconds + estimate.seconds, trainings + 1
    yield ""
    yield f"{slots} stages in all, {len(first)} of them different: each of these runs once"
    if (days := seconds * gpus / 86400) >= 1:
        amount = f"{duration(seconds)} on {gpus} GPUs, {days:,.0f} GPU-days"
        yield f"{trainings} trainings, one after the other: {amount}, at the speed that xlmr pretrain plan assumes"


def fresh_stages(dag: Dag, variant: StudyVariant, targets: Sequence[str]) -> set[str]:
    """The stages of a variant whose output is there already; none where files from outside are not."""
    from pipeline.plan import make_plan

    left_out: dict[str, XlmrError] = {}
    plan = make_plan(dag, variant.config, only=list(targets), left_out=left_out)
    return {name for name, stage in plan.items() if stage.fresh}
