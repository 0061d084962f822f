"""A link between two hosts that is cut: all ranks end, one line a host, and one host resumes alone."""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import pytest
from test_launch import CONFIG, PATIENCE, SCRIPT, complaints, end, losses, start, wait_for_checkpoint
from two_hosts import two_hosts, why_not

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not() or "two hosts can be made")]

SECONDS = 120
"""In which all ranks are to be gone. The bound of the promise, not a time that is measured."""

STEPS = 60
WORDS = ["run", "c.yaml", "--until", "pretrain.train", "--pretrain.train.tensor-parallel", "2"]
WORDS += ["--pretrain.train.steps", str(STEPS)]


def begin(hosts, folder: Path, words: list[str]):
    """Two ranks on each host, by torchrun."""
    torchrun = [str(Path(sys.executable).with_name("torchrun")), "--nnodes", "2", "--nproc-per-node", "2"]
    torchrun += ["--master-addr", hosts.addresses[0], "--master-port", "29511"]
    slow = {"OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR", "STEP_SECONDS": "0.2"}
    return [hosts.start(host, [*torchrun, "--node-rank", str(host), SCRIPT, *words], folder, slow) for host in (0, 1)]


@pytest.mark.parametrize("zero", [1])
def test_a_cut_link_ends_all_ranks_and_one_host_resumes(zero: int, tmp_path: Path) -> None:
    for name in ("cut", "whole"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "c.yaml").write_text(CONFIG)
    folder = tmp_path / "cut"
    words = [*WORDS, "--pretrain.train.zero-stage", str(zero)]
    with two_hosts() as hosts:
        launchers = begin(hosts, folder, words)
        wait_for_checkpoint(launchers[0], folder)
        time.sleep(random.uniform(0, 2))
        began = time.monotonic()
        hosts.cut()
        said = [end(launcher, SECONDS)[2] for launcher in launchers]
        assert time.monotonic() - began < SECONDS
    assert [len(complaints(lines)) for lines in said] == [1, 1], said
    assert "not been heard of" in complaints(said[0])[0]
    assert "has not answered for 30 s" in complaints(said[1])[0]
    code, _, err = end(start(folder, [sys.executable, SCRIPT, "--ranks", "2", *words]), PATIENCE)
    assert (code, "resuming after step" in err) == (0, True), err
    assert end(start(tmp_path / "whole", [sys.executable, SCRIPT, "--ranks", "2", *words]), PATIENCE)[0] == 0
    assert losses(folder) == pytest.approx(losses(tmp_path / "whole"), rel=1e-5)
