"""``xlmr slurm CONFIG --submit`` on a real Slurm of one node: the bytes of a local run, whatever is killed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from slurm_node import SlurmNode, slurm_node, why_no_slurm
from test_faults import wait_for
from test_rerun import checksums

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(why_no_slurm()), reason=why_no_slurm() or "there is Slurm")]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmNode]:
    with slurm_node(tmp_path_factory.mktemp("slurm")) as made:
        made.environment.update(PYTHONPATH=str(ROOT), XLMR_VENV=sys.prefix, OMP_NUM_THREADS="1")
        yield made


def submit(node: SlurmNode, fresh) -> dict[str, str]:
    """The ids of the jobs by the first stage of each: fetch, language_models, near_duplicates, regroup."""
    words = ["slurm", str(fresh.yaml), "--run.until", "corpus", "--submit", "--scripts", str(ROOT / "infra/slurm")]
    words += ["--tasks", "2", "--cpus", "1", "--memory", "2G"]
    lines = node.command(sys.executable, "-m", "pipeline", *words).splitlines()
    return {name.removeprefix("corpus."): number for number, name in map(str.split, lines)}


def process_of(task: str, word: str) -> psutil.Process | None:
    """The command of a task of an array that has ``word`` among its own."""
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if "run" in words and word in words and process.environ().get("SLURM_ARRAY_TASK_ID") == task:
                return process
        except psutil.Error:
            continue
    return None


def test_a_killed_task_requeues_itself_and_the_bytes_are_those_of_a_local_run(node, done, fresh):
    jobs = submit(node, fresh)
    assert list(jobs) == ["fetch", "language_models", "near_duplicates", "regroup"]
    task = f"{jobs['language_models']}_0"
    wait_for(lambda: process_of("0", "corpus.hash"))
    process_of("0", "corpus.hash").kill()
    wait_for(lambda: node.states()[task] == "PENDING")
    node.command("scontrol", "update", f"JobId={task}", "StartTime=now+3")  # else two minutes later
    arrays = [f"{jobs[name]}_{task}" for name in ("language_models", "regroup") for task in (0, 1)]
    completed = dict.fromkeys([jobs["fetch"], jobs["near_duplicates"], *arrays], "COMPLETED")
    states = node.wait_for_end()
    logs = {path.name: path.read_text() for path in node.folder.glob("xlmr-*.log")}
    assert states == completed, logs
    assert (
        "corpus.hash: killed by signal 9; requeued" in logs[f"xlmr-corpus.language_models-{task.replace('_', '-')}.log"]
    )
    assert f"xlmr-corpus.fetch-{jobs['fetch']}.log" in logs
    assert checksums(fresh) == checksums(done)


def test_a_cancelled_array_ends_all_that_depends_on_it(node, fresh):
    jobs = submit(node, fresh)
    wait_for(lambda: process_of("0", "corpus.language_models"))
    node.command("scancel", jobs["language_models"])
    states = {number: node.wait_for_end()[number] for number in node.states() if number.split("_")[0] in jobs.values()}
    assert states.pop(jobs["fetch"]) == "COMPLETED"
    assert set(states.values()) == {"CANCELLED"}
    assert process_of("0", str(fresh.yaml)) is process_of("1", str(fresh.yaml)) is None
