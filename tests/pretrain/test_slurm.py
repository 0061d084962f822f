"""The batch scripts of Slurm, with programs in the place of Slurm's that behave as its own do."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "infra" / "slurm"

PYTHON = """#!/usr/bin/env bash
# Training: it saves when it is asked to end.
trap 'echo saved > saved; exit 1' TERM
echo $$ > written && mv written training
while true; do sleep 0.05; done
"""

SRUN = """#!/usr/bin/env bash
# Answers SIGTERM as srun does, whose source says so (_srun_signal_mgr): its tasks are killed.
trap 'kill -KILL "$task"; exit 137' TERM
while [[ $1 == --* ]]; do shift; done
"$@" &
task=$!
while kill -0 "$task" 2>/dev/null; do wait "$task" && status=0 || status=$?; done
exit "$status"
"""

SCANCEL = """#!/usr/bin/env bash
[[ "$*" == "--signal=TERM 123456.0" ]] && kill -TERM "$(cat training)"
"""

SCONTROL = """#!/usr/bin/env bash
if [[ $1 == show ]]; then echo node1; else echo "$*" > requeued; fi
"""


@pytest.fixture
def cluster(tmp_path: Path) -> dict[str, str]:
    """The environment of a batch job."""
    programs = {"srun": SRUN, "scancel": SCANCEL, "scontrol": SCONTROL, "bin/python": PYTHON, "bin/xlmr": PYTHON}
    (tmp_path / "bin").mkdir()
    for name, text in programs.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    job = {"SUBMIT_DIR": str(tmp_path), "JOB_ID": "123456", "JOB_NODELIST": "node[1-2]", "CPUS_PER_TASK": "4"}
    own = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "XLMR_VENV": str(tmp_path)}
    return {**os.environ, **own, **{f"SLURM_{name}": value for name, value in job.items()}}


@pytest.mark.parametrize("script", ["pretrain.sbatch", "pretrain-ranks.sbatch"])
@pytest.mark.parametrize(("number", "requeued"), [(signal.SIGUSR1, True), (signal.SIGTERM, False)])
def test_training_saves_when_time_is_up(
    script: str, number: signal.Signals, requeued: bool, cluster: dict[str, str], tmp_path: Path
) -> None:
    """SIGUSR1 near the time limit; SIGTERM where the job is preempted, which Slurm then requeues by itself."""
    process = subprocess.Popen(["bash", str(SCRIPTS / script), "c.yaml"], env=cluster, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "training").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(number)
        code = process.wait(60)
    finally:
        process.kill()
        if (tmp_path / "training").exists() and not (tmp_path / "saved").exists():
            subprocess.run(["kill", "-KILL", (tmp_path / "training").read_text().strip()], check=False)
    assert (tmp_path / "saved").exists()
    assert (tmp_path / "requeued").exists() is requeued
    assert code == (0 if requeued else 1)
