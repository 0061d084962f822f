"""One command, several ranks: only rank 0 owns anything, and whoever dies, the run ends with one line."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from ssh_hosts import NAMES, ssh_hosts, why_no_ssh

from pretrain.checkpoints.checkpoint import CheckpointFolder
from pretrain.ranks.collectives import take_slurm
from pretrain.ranks.launch import main

CONFIG = """
run: {project: p}
pretrain:
  model: {num_hidden_layers: 2, hidden_size: 32, num_attention_heads: 4, intermediate_size: 64,
          max_position_embeddings: 18, dropout: 0, attention_dropout: 0}
  data: {validation_sequences: 12}
  train: {steps: 20, global_batch: 8, micro_batch: 4, dtype: fp32, warmup_steps: 5, peak_learning_rate: 3.0e-3,
          threads: 1, log_every: 1, evaluate_every: 10, checkpoint_every: 5}
"""
SCRIPT = str(Path(__file__).parent / "launched.py")
RUN = ["run", "c.yaml", "--until", "pretrain.train"]
FOREVER = [*RUN, "--pretrain.train.steps", "100000", "--pretrain.train.checkpoint-every", "20"]
TWO = [sys.executable, SCRIPT, "--ranks", "2"]
TORCHRUN = [str(Path(sys.executable).with_name("torchrun")), "--standalone", "--nproc-per-node", "2", SCRIPT]
PATIENCE = 240
"""Seconds for what takes some on a quiet machine."""

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "c.yaml").write_text(CONFIG)
    return tmp_path


def start(folder: Path, command: list[str], **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR", **environment},
    )  # fmt: skip


def end(process: subprocess.Popen[str], seconds: float = PATIENCE) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        for child in psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []:
            child.kill()
        process.kill()
    return process.returncode, out, err


def complaints(err: str) -> list[str]:
    return [line for line in err.splitlines() if line.startswith("xlmr: ")]


def losses(folder: Path) -> list[float]:
    (path,) = folder.glob("runs/p/pretrain.train/*/metrics.jsonl")
    return [record["loss"] for record in map(json.loads, path.read_text().splitlines()) if "loss" in record]


def output_of(folder: Path) -> Path:
    (output,) = (path for path in folder.glob("runs/p/pretrain.train/*") if path.is_dir())
    return output


def wait_for_checkpoint(process: subprocess.Popen[str], folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not list(folder.glob("runs/p/pretrain.train/*/checkpoints/step-*")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def rank_of(process: subprocess.Popen[str], rank: int) -> psutil.Process:
    return next(p for p in psutil.Process(process.pid).children(True) if p.environ().get("RANK") == str(rank))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """The losses of one process."""
    folder = tmp_path_factory.mktemp("alone")
    (folder / "c.yaml").write_text(CONFIG)
    assert end(start(folder, [sys.executable, SCRIPT, *RUN]))[0] == 0
    return losses(folder)


def test_ranks_leave_what_one_process_leaves(alone: list[float], tmp_path_factory: pytest.TempPathFactory) -> None:
    for command in (TWO, TORCHRUN):
        other = tmp_path_factory.mktemp("other")
        (other / "c.yaml").write_text(CONFIG)
        code, out, err = end(start(other, [*command, *RUN, "--pretrain.train.tensor-parallel", "2"]))
        assert code == 0, err
        assert re.fullmatch(r"runs/p/pretrain\.train/\w+\n", out)
        assert err.count("[2/2] pretrain.train") == 1
        assert err.count("pretrain.train done in") == 1
        assert losses(other) == pytest.approx(alone, rel=1e-5)
        assert len(list(other.glob("runs/p/log/*"))) == 1
        assert set(json.loads((output_of(other) / "manifest.json").read_text())["files"]) >= {
            "metrics.jsonl",
            "baselines.json",
        }
        code, out, err = end(start(other, [*command, *RUN]))  # nothing to do: nobody waits for ever
        assert (code, "nothing to do" in err) == (0, True), err


@pytest.mark.skipif(bool(why_no_ssh()), reason=why_no_ssh() or "there is ssh")
def test_deepspeeds_hostfile(alone: list[float], folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A rank on each of two hosts, by ssh."""
    (folder / "HOSTS").write_text("".join(f"{name} slots=1\n" for name in NAMES))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [str(Path(sys.executable).with_name("deepspeed")), "--hostfile", "HOSTS", "--no_local_rank"]
    command += ["--master_addr", "127.0.0.1", "--master_port", port]
    with ssh_hosts(tmp_path_factory.mktemp("ssh")) as environment:
        words = [*RUN, "--pretrain.train.tensor-parallel", "2"]
        code, out, err = end(start(folder, [*command, SCRIPT, *words], **environment))
    assert code == 0, err
    assert all(f"{name}: " in out for name in NAMES)
    assert err.count("node-1:   pretrain.train done in") == err.count("pretrain.train done in") == 1
    assert losses(folder) == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_rank_ends_the_run_with_one_line(victim: int, folder: Path) -> None:
    process = start(folder, [*TWO, *FOREVER])
    wait_for_checkpoint(process, folder)
    rank_of(process, victim).kill()
    code, out, err = end(process)
    assert (code, out) == (1, "")
    (line,) = complaints(err)
    assert re.fullmatch(rf"xlmr: pretrain\.train: rank {victim} \(process \d+ on .+\) is gone; .+", line)
    assert "Traceback" not in err
    again = start(folder, [*TWO, *FOREVER])  # the dead one's lease is not in the way
    deadline = time.monotonic() + PATIENCE
    output = output_of(folder)
    stood = max(int(path.name[5:]) for path in (output / "checkpoints").glob("step-*"))
    while max(int(path.name[5:]) for path in (output / "checkpoints").glob("step-*")) <= stood:
        assert again.poll() is None, again.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    again.send_signal(signal.SIGTERM)
    code, _, err = end(again)
    assert code == 1
    assert "resuming after step" in err
    assert "which is saved; the same command resumes there" in complaints(err)[0]
    checkpoint, faults = CheckpointFolder(output / "checkpoints").newest()
    assert checkpoint is not None
    assert not faults


def test_under_torchrun_too(folder: Path) -> None:
    process = start(folder, [*TORCHRUN, *FOREVER])
    wait_for_checkpoint(process, folder)
    rank_of(process, 1).kill()
    code, _, err = end(process)
    assert code == 1
    (line,) = complaints(err)
    assert "rank 1 (process" in line


def test_the_ranks_do_not_outlive_their_launcher(folder: Path) -> None:
    process = start(folder, [*TWO, *FOREVER])
    wait_for_checkpoint(process, folder)
    ranks = psutil.Process(process.pid).children()
    process.kill()
    _, alive = psutil.wait_procs(ranks, timeout=PATIENCE)
    assert not alive
    assert complaints(process.communicate()[1]) == [
        "xlmr: pretrain.train: the launcher is gone; the same command resumes from the last checkpoint"
    ]


@pytest.mark.parametrize("failing", ["0", "1"])
def test_what_a_rank_says_is_reported(failing: str, folder: Path) -> None:
    code, _, err = end(start(folder, [*TWO, *RUN], FAILING_RANK=failing))
    assert code == 1
    (line,) = complaints(err)
    assert "RuntimeError: no memory left" in line
    assert ("rank 1:" in line) == (failing == "1")


def test_a_rank_that_stands_still_ends_all(folder: Path) -> None:
    words = [*FOREVER, "--pretrain.train.stall_seconds", "4"]
    code, _, err = end(start(folder, [*TWO, *words], HANGING_RANK="1"))
    assert code == 1
    (line,) = complaints(err)
    where = r"rank 1: process \d+ on .+ has stood still for \d+ s in the gradient of micro-batch 1; the same command"
    assert re.match(rf"xlmr: pretrain\.train: {where}", line), line


@pytest.mark.parametrize("victim", [0, 1])
def test_a_rank_that_is_stopped_ends_the_others(victim: int, folder: Path) -> None:
    process = start(folder, [*TWO, *FOREVER], EXPIRY="4")
    wait_for_checkpoint(process, folder)
    rank_of(process, victim).suspend()
    code, _, err = end(process)
    assert code == 1
    (line,) = complaints(err)
    assert re.match(rf"xlmr: pretrain\.train: rank {victim} \(process \d+ on .+\) has not been heard of for 4 s", line)


def test_a_wrong_setting_is_reported_once(folder: Path) -> None:
    code, _, err = end(start(folder, [*TWO, *RUN, "--pretrain.train.tensor-parallel", "4"]))
    assert code == 1
    assert complaints(err) == [
        "xlmr: pretrain.train: 2 ranks do not make groups of 4;"
        " start a multiple of pretrain.train.tensor_parallel ranks"
    ]
    code, _, err = end(start(folder, [*TWO, *RUN, "--pretrain.train.updats", "4"]))
    assert code == 2
    assert len(complaints(err)) == 1


def test_slurm_and_wrong_words(capsys: pytest.CaptureFixture[str]) -> None:
    environment = {"SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "8", "SLURM_LOCALID": "1"}
    take_slurm(environment)
    assert (environment["RANK"], environment["WORLD_SIZE"], environment["LOCAL_RANK"]) == ("3", "8", "1")
    alone = {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1", "SLURM_LOCALID": "0"}
    take_slurm(alone)
    assert "RANK" not in alone
    assert main(["--ranks", "some"]) == 2
    assert "not a number of ranks" in capsys.readouterr().err
