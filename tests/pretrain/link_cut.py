"""A training over two hosts whose link is cut at a random step, and the training that one host continues alone.

    python tests/pretrain/link_cut.py --zero 1 2 3 --cuts 3

measures, as root, how long all ranks take to end with the deadlines that trainings have, and prints a table. The test
beside it makes one cut with shorter deadlines.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1] / "pipeline")]

from test_launch import CONFIG, PATIENCE, SCRIPT, complaints, end, losses, start
from two_hosts import TwoHosts, two_hosts, why_not

SECONDS = 120
"""In which all ranks are to be gone. The bound of the promise, not a time that is measured."""

STEPS = 30
WORDS = ["run", "c.yaml", "--until", "pretrain.train", "--pretrain.train.tensor-parallel", "2"]
WORDS += ["--pretrain.train.steps", str(STEPS)]
ALONE = [sys.executable, SCRIPT, "--ranks", "2"]
"""What one host starts: tensor parallel 2 × data 1, and as the last words those of the training."""


@dataclass(frozen=True)
class Cut:
    """After which step the link was cut, what each host said, and the seconds until all ranks were gone."""

    step: int
    said: tuple[str, str]
    seconds: float


def words_of(zero: int) -> list[str]:
    """The words of a training at that stage of ZeRO."""
    return [*WORDS, "--pretrain.train.zero-stage", str(zero)]


def folder_in(parent: Path, name: str) -> Path:
    """A new folder with the configuration."""
    (folder := parent / name).mkdir()
    (folder / "c.yaml").write_text(CONFIG)
    return folder


def cut_at_random(hosts: TwoHosts, folder: Path, words: Sequence[str], deadlines: Mapping[str, str]) -> Cut:
    """Train by two ranks on each host, tensor parallel 2 × data 2, and cut the link when a checkpoint is there."""
    torchrun = [str(Path(sys.executable).with_name("torchrun")), "--nnodes", "2", "--nproc-per-node", "2"]
    torchrun += ["--master-addr", hosts.addresses[0], "--master-port", "29511"]
    slow = {"OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR", "STEP_SECONDS": "0.2", **deadlines}
    launchers = [
        hosts.start(host, [*torchrun, "--node-rank", str(host), SCRIPT, *words], folder, slow) for host in (0, 1)
    ]
    step = random.randrange(6, STEPS - 4)
    deadline = time.monotonic() + PATIENCE
    while steps_done(folder) < step:
        assert launchers[0].poll() is None, launchers[0].communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    began = time.monotonic()
    hosts.cut()
    said = [end(launcher, SECONDS)[2] for launcher in launchers]
    return Cut(step, (said[0], said[1]), time.monotonic() - began)


def steps_done(folder: Path) -> int:
    """How many steps have been logged."""
    paths = list(folder.glob("runs/p/pretrain.train/*/metrics.jsonl"))
    return sum('"loss"' in line for path in paths for line in path.read_text().splitlines())


def measure(zero: int, cuts: int, parent: Path) -> list[dict[str, object]]:
    """A row for each cut. ``loss`` is the largest relative difference to the undisturbed training on four ranks."""
    words = words_of(zero)
    whole = folder_in(parent, f"whole-{zero}")
    code, _, err = end(start(whole, [sys.executable, SCRIPT, "--ranks", "4", *words]), 4 * PATIENCE)
    assert code == 0, err
    rows = []
    for number in range(cuts):
        folder = folder_in(parent, f"cut-{zero}-{number}")
        with two_hosts() as hosts:
            cut = cut_at_random(hosts, folder, words, {})
        code, _, err = end(start(folder, [*ALONE, *words]), 4 * PATIENCE)
        assert code == 0, err
        pairs = list(zip(losses(whole), losses(folder), strict=True))
        row = {"zero": zero, "step": cut.step, "seconds": round(cut.seconds, 1)}
        row |= {"lines": [len(complaints(lines)) for lines in cut.said], "resumed": "resuming after step" in err}
        row |= {"loss": max(abs(ours / theirs - 1) for theirs, ours in pairs)}
        print(json.dumps(row), flush=True)
        rows.append(row)
    return rows


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--zero", type=int, nargs="+", default=[1, 2, 3])
    options.add_argument("--cuts", type=int, default=3)
    given = options.parse_args()
    if reason := why_not():
        sys.exit(reason)
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for zero in given.zero for row in measure(zero, given.cuts, Path(folder))]
    print("| ZeRO | link cut after step | all ranks gone after | largest difference of a loss |")
    print("| --- | --- | --- | --- |")
    for row in rows:
        print(f"| {row['zero']} | {row['step']} | {row['seconds']} s | {row['loss']:.1e} |")


if __name__ == "__main__":
    main()
