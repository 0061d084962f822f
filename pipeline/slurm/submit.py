"""Submit jobs with sbatch, without a shell."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence

from pipeline.errors import XlmrError
from pipeline.slurm.jobs import Job


def submit(jobs: Sequence[Job], say: Callable[[str], None]) -> list[str]:
    """Submit the jobs in order, and return their ids.

    Errors: XlmrError where sbatch is absent or refuses a job; it names the jobs that were submitted before.
    """
    if shutil.which("sbatch") is None:
        raise XlmrError("sbatch is not on the PATH", "submit on a login node of the cluster, or leave out --submit")
    ids: list[str] = []
    for job in jobs:
        done = subprocess.run(job.words(ids), capture_output=True, text=True, check=False)
        number = done.stdout.strip().partition(";")[0]  # --parsable adds the name of the cluster
        if done.returncode or not number.isdecimal():
            said = " ".join((done.stderr or done.stdout).split()) or f"exit code {done.returncode}"
            raise XlmrError(f"sbatch refused the job of {job.name}: {said}", _submitted(ids, jobs))
        ids.append(number)
        say(f"{number} {job.name}")
    return ids


def _submitted(ids: Sequence[str], jobs: Sequence[Job]) -> str:
    """What was submitted before a failure, and how it is cancelled."""
    if not ids:
        return "no job was submitted"
    listed = ", ".join(f"{number} ({job.name})" for number, job in zip(ids, jobs, strict=False))
    return f"submitted are {listed}: cancel them with `scancel {' '.join(ids)}`"
