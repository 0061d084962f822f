"""``xlmr slurm CONFIG``: print the jobs of a run as a shell script, or submit them.

Nothing heavy is imported at the top.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from pipeline.dag import Dag
from pipeline.errors import UsageError

Words = Annotated[str, Parameter(allow_leading_hyphen=True, show=False)]
AtLeastOne = Parameter(validator=Number(gte=1))


def slurm_command(dag: Dag) -> Callable[..., None]:
    """``xlmr slurm``, made from the DAG."""

    def slurm(  # noqa: PLR0913 - options of the command
        config: Path,
        *settings: Words,
        submit: Annotated[bool, Parameter(negative="")] = False,
        tasks: Annotated[int, AtLeastOne] = 16,
        cpus: Annotated[int, AtLeastOne] = 16,
        memory: str = "64G",
        gpu_cpus: Annotated[int | None, AtLeastOne] = None,
        gpu_memory: str | None = None,
        gpus: Annotated[int, AtLeastOne] = 1,
        nodes: Annotated[int, AtLeastOne] = 1,
        scripts: Path = Path("infra/slurm"),
    ) -> None:
        """Print a shell script that submits the stages that are not fresh as jobs of Slurm, or submit them.

        Parameters
        ----------
        config
            YAML file of the run.
        submit
            Submit the jobs with sbatch, and print their ids.
        tasks
            At most so many tasks of an array; fewer where the number of shards is known and less.
        cpus
            CPUs of a job, or of a task of an array, without GPU: so many shards at once.
        memory
            Memory of the same, as Slurm writes it.
        gpu_cpus
            CPUs of a task with GPU; the script's own number if not given.
        gpu_memory
            Memory of a node of a job with GPU; the script's own if not given.
        gpus
            GPUs of a job that fine-tunes.
        nodes
            Nodes that pretraining has; several have all their GPUs, one rank each.
        scripts
            Folder of the batch scripts.
        """
        from pipeline.plan import make_plan
        from pipeline.run_settings import run_settings
        from pipeline.runner import Selection
        from pipeline.slurm.jobs import JobOptions, as_script, jobs_of
        from pipeline.slurm.submit import submit as submit_jobs
        from pipeline.terminal import say
        from pipeline.waiting import PLAN_SECONDS, waiting_at_most

        loaded = dag.load_config(config, settings)
        needed = dag.for_config(loaded)
        chosen = Selection().or_settings(loaded).stages(needed)
        wait = run_settings(loaded).wait
        options = JobOptions(tasks, cpus, memory, gpu_cpus, gpu_memory, gpus, nodes, scripts, wait)
        with waiting_at_most(PLAN_SECONDS):
            jobs = jobs_of(make_plan(needed, loaded, only=chosen), chosen, config, settings, options)
        if not jobs:
            say(f"nothing to do: all {len(chosen)} stages are fresh")
            return
        for job in jobs:
            if not Path(job.command[0]).is_file():
                raise UsageError(f"{job.command[0]}: no such script", "call it in the repository, or set --scripts")
        if submit:
            submit_jobs(jobs, print)
        else:
            print(as_script(jobs, config, Path.cwd()))

    return slurm
