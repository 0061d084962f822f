"""Which jobs a run needs, from its plan: stages that are not fresh -> groups that share a job -> words for sbatch."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.plan import Plan
from pipeline.stage import Stage

STAGES_SCRIPT = "stages"
"""The script of all stages that name none."""


@dataclass(frozen=True)
class JobOptions:
    """What each job asks for. ``None`` leaves it to the script."""

    tasks: int
    cpus: int
    memory: str
    gpu_cpus: int | None
    gpu_memory: str | None
    gpus: int
    nodes: int
    scripts: Path
    wait: bool = True
    """Whether a task waits for the others after its partition of a stage (``run.wait``)."""


@dataclass(frozen=True)
class Job:
    """One job: its stages, the words for sbatch, and the numbers of the jobs before it that must succeed."""

    name: str
    stages: tuple[str, ...]
    options: tuple[str, ...]
    command: tuple[str, ...]
    after: tuple[int, ...]

    def words(self, ids: Sequence[str]) -> list[str]:
        """The command that submits it, where ``ids`` are those of all jobs before it."""
        depends = [f"--dependency=afterok:{':'.join(ids[number] for number in self.after)}"] if self.after else []
        return ["sbatch", "--parsable", *self.options, *depends, *self.command]


def jobs_of(plan: Plan, chosen: Sequence[str], config: Path, settings: Sequence[str], options: JobOptions) -> list[Job]:
    """The jobs of those stages of ``chosen`` that are not fresh, in an order in which they can be submitted."""
    groups = _groups([plan[name].stage for name in chosen if not plan[name].fresh], options.wait)
    job_of = {stage.name: number for number, group in enumerate(groups) for stage in group}
    jobs = []
    for number, group in enumerate(groups):
        sources = {job_of[source] for stage in group for source in stage.inputs if source in job_of} - {number}
        jobs.append(_job(plan, group, tuple(sorted(sources)), config, settings, options))
    return jobs


def script_of(stage: Stage, nodes: int) -> str:
    """The script of a stage; one that trains on several nodes has ``-ranks`` in its name."""
    if not stage.job_script:
        return STAGES_SCRIPT
    return f"{stage.job_script}-ranks" if nodes > 1 else stage.job_script


def _groups(stages: Sequence[Stage], wait: bool) -> list[list[Stage]]:
    """Stages that share a job: of one kind, and after one another in an order that keeps to the DAG.

    Where several stages could be next, one of the kind of the last is taken, so that there are few jobs.
    """
    waiting = {stage.name: stage for stage in stages}
    groups: list[list[Stage]] = []
    while waiting:
        ready = [stage for stage in waiting.values() if not any(source in waiting for source in stage.inputs)]
        same = [stage for stage in ready if groups and _share_a_job(groups[-1][-1], stage, wait)]
        if same:
            groups[-1].append(same[0])
        else:
            groups.append([ready[0]])
        del waiting[groups[-1][-1].name]
    return groups


def _share_a_job(a: Stage, b: Stage, wait: bool) -> bool:
    alone = a.job_script or b.job_script or (a.sharded and not wait)  # its task ends before the stage is complete
    return not alone and (a.gpu, a.sharded > 0) == (b.gpu, b.sharded > 0)


def _job(
    plan: Plan,
    group: Sequence[Stage],
    after: tuple[int, ...],
    config: Path,
    settings: Sequence[str],
    options: JobOptions,
) -> Job:
    first, names = group[0], tuple(stage.name for stage in group)
    script = options.scripts / f"{script_of(first, options.nodes)}.sbatch"
    asked = [f"--job-name=xlmr-{first.name}", "--kill-on-invalid-dep=yes"]
    if first.gpu:
        asked += [] if options.gpu_cpus is None else [f"--cpus-per-task={options.gpu_cpus}"]
        asked += [] if options.gpu_memory is None else [f"--mem={options.gpu_memory}"]
        if not first.job_script:
            asked.append(f"--gpus={options.gpus}")
        elif options.nodes > 1:
            asked.append(f"--nodes={options.nodes}")
    else:
        asked += [f"--cpus-per-task={options.cpus}", f"--mem={options.memory}"]
        tasks = _tasks(plan, group, options.tasks) if first.sharded else 1
        asked += [f"--array=0-{tasks - 1}"] if tasks > 1 else []
    if not first.job_script and not any(word.startswith("--array=") for word in asked):
        asked.append("--output=%x-%j.log")  # the script's is a name for tasks of arrays
    which = () if first.job_script else (",".join(names),)
    return Job(first.name, names, tuple(asked), (str(script), str(config), *which, *settings), after)


def _tasks(plan: Plan, group: Sequence[Stage], most: int) -> int:
    """``most``, or the number of shards of the stage with most, where that is known before the run and is less."""
    known = [count for stage in group for source in stage.inputs if (count := _listed_shards(plan, source)) is not None]
    return max(1, min(most, max(known, default=most)))


def _listed_shards(plan: Plan, source: str) -> int | None:
    """How many shards ``source`` lists for the stages that read it; None where that is not known yet."""
    stage = plan[source]
    return stage.stage.list_shards(stage.config) if stage.stage.list_shards else None


def as_script(jobs: Sequence[Job], config: Path, folder: Path) -> str:
    """A shell script that submits the jobs from ``folder``."""
    shown = " ".join(str(config).split())
    lines = [
        "#!/usr/bin/env bash",
        f"# The jobs of {shown}: each begins when those that it depends on have succeeded, and is",
        "# cancelled where one of them fails.",
        "# shellcheck disable=SC2016  # a $ in a name is meant as it stands",
        "set -euo pipefail",
        f"cd {shlex.quote(str(folder))}",
    ]
    names = [f"job{number}" for number in range(1, len(jobs) + 1)]
    for name, job in zip(names, jobs, strict=True):
        words = job.words([f"${{{other}}}" for other in names])
        quoted = [f'"{word}"' if word.startswith("--dependency=") else shlex.quote(word) for word in words]
        lines += [
            "",
            f"# {', '.join(job.stages)}",
            f"{name}=$({' '.join(quoted)})",
            f"{name}=${{{name}%%;*}}  # without the name of the cluster",
            f'echo "${{{name}}} {job.name}"',
        ]
    return "\n".join(lines)
