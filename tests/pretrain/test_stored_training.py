"""A training at object storage that is killed and resumed on another machine, again and again."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import forked
import pytest
import torch
from safetensors.torch import load
from test_launch import CONFIG, RUN
from tiny_training import last_weights

from pipeline.store.path import StoredPath

if TYPE_CHECKING:
    from s3_server import S3Server

SETTINGS = ["--pretrain.train.steps", "30", "--pretrain.train.keep-last", "2"]
KILLS = (
    ("PUT", "/checkpoints/step-00000005/weights.safetensors"),
    ("PUT", "/.saved/checkpoints.step-00000015.json"),
    ("PUT", "/metrics.jsonl"),
)
"""Before which requests the process dies: as a checkpoint is put, before its mark, at the end."""


@pytest.fixture
def start(tmp_path: Path, s3: S3Server) -> Callable[..., forked.Child]:
    """Start ``xlmr`` in a process that takes the server's address from its environment."""
    (tmp_path / "c.yaml").write_text(CONFIG)

    def start_child(said: str, *words: str) -> forked.Child:
        given = [json.dumps(s3.environment()), str(tmp_path), *RUN, *SETTINGS, *words]
        return forked.start("stored_training", given, tmp_path / said)

    return start_child


class Killer:
    """Kills a child before its first request of a kind; its later ones are not done either."""

    def __init__(self, child: forked.Child, method: str, part: str) -> None:
        self._child, self._method, self._part = child, method, part
        self._killed = False

    def __call__(self, method: str, path: str) -> bool:
        if not self._killed and method == self._method and self._part in path:
            self._killed = True
            os.kill(self._child.pid, signal.SIGKILL)
        return self._killed


def losses_in(metrics: bytes) -> list[tuple[int, float]]:
    records = [json.loads(line) for line in metrics.splitlines()]
    return [(record["step"], record.get("loss", record.get("validation_loss"))) for record in records]


@pytest.mark.slow
def test_killed_training_resumes_on_another_machine(
    start: Callable[..., forked.Child], s3: S3Server, bucket: StoredPath, tmp_path: Path
) -> None:
    local = start("local", "--run.directory", str(tmp_path / "runs"))
    assert local.wait() == 0, (tmp_path / "local").read_text()
    (expected,) = (tmp_path / "runs" / "p" / "pretrain.train").iterdir()
    s3.faults = {"busy": 0.02, "cut": 0.02, "lost": 0.02}
    at_address = ("--run.directory", f"{bucket}/runs")
    for number, (method, part) in enumerate(KILLS):
        child = start(f"said-{number}", *at_address, "--run.cache", str(tmp_path / f"cache-{number}"))
        s3.before = Killer(child, method, part)
        assert child.wait() == -signal.SIGKILL, (tmp_path / f"said-{number}").read_text()
        s3.before = None
    last = start("last", *at_address, "--run.cache", str(tmp_path / "cache-last"))
    assert last.wait() == 0, (tmp_path / "last").read_text()
    assert "resuming after step" in (tmp_path / "last").read_text()
    s3.faults = {}
    (stored,) = (bucket / "runs" / "p" / "pretrain.train").iterdir()
    assert losses_in((stored / "metrics.jsonl").read_bytes()) == losses_in((expected / "metrics.jsonl").read_bytes())
    names = {path.relative_to(expected).as_posix() for path in expected.rglob("*") if path.is_file()}
    assert stored.sizes().keys() - {".begun"} == names
    weights, own = load((stored / "checkpoints/step-00000030/weights.safetensors").read_bytes()), last_weights(expected)
    assert all(torch.equal(weights[name], own[name]) for name in own)
