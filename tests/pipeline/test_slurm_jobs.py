"""``xlmr slurm``, with a program in the place of sbatch that records its arguments and gives ids."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.dag import Dag
from pipeline.plan import make_plan
from pipeline.slurm.jobs import JobOptions, jobs_of

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "infra" / "slurm"
OPTIONS = JobOptions(16, 4, "8G", None, None, 1, 1, SCRIPTS)

SBATCH = f"""#!{sys.executable}
import json, os, sys
path = os.environ["RECORD"]
lines = open(path).read().splitlines() if os.path.exists(path) else []
if len(lines) == int(os.environ.get("FAIL_AT", "-1")):
    sys.exit("sbatch: error: Batch job submission failed: Invalid account")
open(path, "a").write(json.dumps(sys.argv[1:]) + "\\n")
print(f"{{100 + len(lines)}};cluster")
"""


@pytest.fixture
def record(tmp_path, monkeypatch):
    """Where the calls of sbatch are recorded."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sbatch").write_text(SBATCH)
    (tmp_path / "bin" / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("RECORD", str(tmp_path / "record"))
    return tmp_path / "record"


def calls(record: Path) -> list[list[str]]:
    return [json.loads(line) for line in record.read_text().splitlines()]


@pytest.fixture
def command(toy, monkeypatch):
    """``xlmr slurm`` on the toy run, whose configuration has a name that a shell would split."""
    path = toy.folder / "my $HOME's run.yaml"
    path.write_text(toy.yaml.read_text())
    words = ["slurm", str(path), "--run.until", "toy.power", "--scripts", str(SCRIPTS)]
    monkeypatch.setattr("pipeline.cli.Dag.default", lambda: toy.dag)
    return lambda *more: main([*words, *more])


def test_jobs_depend_on_those_that_they_read(command, record, toy):
    assert command("--submit", "--tasks", "5", "--cpus", "3", "--memory", "7G") == 0
    first, second = calls(record)
    assert {"--array=0-4", "--cpus-per-task=3", "--mem=7G", "toy.write", "--parsable"} <= set(first)
    assert not any(word.startswith("--dependency") for word in first)
    assert {"--dependency=afterok:100", "toy.sum,toy.power"} <= set(second)
    assert not any(word.startswith("--array") for word in second)
    assert [word for word in (*first, *second) if word.startswith("--output")] == ["--output=%x-%j.log"]
    assert str(toy.folder / "my $HOME's run.yaml") in first


def test_the_printed_script_submits_the_same(command, record, capsys, tmp_path):
    assert command() == 0
    script = tmp_path / "jobs.sh"
    script.write_text(capsys.readouterr().out)
    shellcheck = Path(sys.executable).with_name("shellcheck")
    subprocess.run([str(shellcheck), str(script)], check=True)
    done = subprocess.run(["bash", str(script)], capture_output=True, text=True, check=True)
    assert done.stdout == "100 toy.write\n101 toy.sum\n"
    printed = calls(record)
    record.unlink()
    assert command("--submit") == 0
    assert calls(record) == printed


def test_fresh_stages_need_no_job(command, record, toy, capsys):
    toy.run(until="toy.write")
    assert command("--submit") == 0
    (only,) = calls(record)
    assert "toy.sum,toy.power" in only
    assert not any(word.startswith("--dependency") for word in only)
    toy.run(until="toy.power")
    record.unlink()
    assert command("--submit") == 0
    assert "nothing to do: all 3 stages are fresh" in capsys.readouterr().err
    assert not record.exists()


def test_a_refused_job_names_those_that_were_submitted(command, record, monkeypatch, capsys):
    monkeypatch.setenv("FAIL_AT", "1")
    assert command("--submit") == 1
    said = capsys.readouterr().err
    assert "the job of toy.sum: sbatch: error: Batch job submission failed: Invalid account" in said
    assert "submitted are 100 (toy.write): cancel them with `scancel 100`" in said


def test_without_sbatch_or_script_one_line_says_so(command, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "/nonexistent")
    assert command("--submit") == 1
    assert "xlmr: sbatch is not on the PATH; submit on a login node" in capsys.readouterr().err
    assert command("--tasks", "0") == 2


def demo_jobs(folder: Path, *words: str, options: JobOptions = OPTIONS):
    dag, path = Dag.default(), ROOT / "configs" / "demo.yaml"
    config = dag.load_config(path, ["--run.directory", str(folder), *words])
    needed = dag.for_config(config)
    return jobs_of(make_plan(needed, config), list(needed.stages), path, words, options)


def test_the_demo_has_arrays_of_its_shards_and_jobs_with_gpus(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    jobs = demo_jobs(tmp_path, "--corpus.fetch.pick", "0:2")
    by_stage = {stage: job for job in jobs for stage in job.stages}
    assert by_stage["corpus.hash"] is by_stage["corpus.mine"]
    assert "--array=0-1" in by_stage["corpus.mine"].options  # two shards, though 16 tasks are allowed
    assert by_stage["corpus.fetch"] in [jobs[number] for number in by_stage["corpus.hash"].after]
    train = by_stage["pretrain.train"]
    assert train.stages == ("pretrain.train",)
    assert train.command[0] == str(SCRIPTS / "pretrain.sbatch")
    assert "--gpus=1" in by_stage["finetune.help_pages"].options
    assert all(number < position for position, job in enumerate(jobs) for number in job.after)
    assert len(by_stage["report"].after) == len(jobs) - 1
    assert by_stage["corpus.hash"] is by_stage["corpus.duplicates"]
    apart = demo_jobs(tmp_path, options=replace(OPTIONS, wait=False))
    (mine,) = (job for job in apart if "corpus.mine" in job.stages)
    assert mine.stages == ("corpus.mine",)  # the tasks of an array end before its stage is complete
    assert ["corpus.duplicates" in apart[number].stages for number in mine.after].count(True) == 1
    several = demo_jobs(tmp_path, options=replace(OPTIONS, nodes=4, gpu_memory="900G"))
    (train,) = (job for job in several if "pretrain.train" in job.stages)
    assert train.command[0] == str(SCRIPTS / "pretrain-ranks.sbatch")
    assert {"--nodes=4", "--mem=900G"} <= set(train.options)


def test_stages_of_a_job_run_one_after_another(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "xlmr").write_text('#!/usr/bin/env bash\nprintf "%s|" "$@" >> ran; echo >> ran\n')
    (tmp_path / "bin" / "xlmr").chmod(0o755)
    job = {"XLMR_VENV": str(tmp_path), "SLURM_SUBMIT_DIR": str(tmp_path), "SLURM_CPUS_PER_TASK": "4"}
    words = ["bash", str(SCRIPTS / "stages.sbatch"), "my run.yaml", "a.one,a.two", "--a.b", "c d"]
    subprocess.run(words, env={**os.environ, **job}, check=True)
    subprocess.run(words, env={**os.environ, **job, "SLURM_ARRAY_TASK_COUNT": "3"}, check=True)
    run, end = "run|my run.yaml|--only|{}|--run.workers|4|", "--a.b|c d|"
    alone = [run.format(stage) + end for stage in ("a.one", "a.two")]
    array = [run.format(stage) + "--run.executor|slurm|" + end for stage in ("a.one", "a.two")]
    assert (tmp_path / "ran").read_text().splitlines() == alone + array


@pytest.mark.parametrize(("restarts", "requeues"), [("0", True), ("2", False)])
def test_a_job_whose_process_is_killed_requeues_itself_twice(tmp_path, restarts, requeues):
    (tmp_path / "bin").mkdir()
    for name, text in (("bin/xlmr", "kill -KILL $$"), ("scontrol", 'echo "$@" > requeued')):
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    job = {"SLURM_SUBMIT_DIR": str(tmp_path), "SLURM_CPUS_PER_TASK": "4", "SLURM_JOB_ID": "7"}
    job |= {"XLMR_VENV": str(tmp_path), "SLURM_RESTART_COUNT": restarts, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    words = ["bash", str(SCRIPTS / "stages.sbatch"), "run.yaml", "a.one,a.two"]
    done = subprocess.run(words, env={**os.environ, **job}, capture_output=True, text=True, check=False)
    assert done.returncode == (0 if requeues else 128 + signal.SIGKILL)
    assert (tmp_path / "requeued").exists() is requeues
    assert ("a.one: killed by signal 9; requeued" in done.stdout) is requeues


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*.sbatch")), ids=lambda path: path.stem)
def test_every_script_asks_for_memory_and_says_why(script):
    assert re.search(r"^# .*\n#SBATCH --mem=\S+$", script.read_text(), re.MULTILINE)
