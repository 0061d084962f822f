"""Trainings that are killed: one rank, all of them, during a checkpoint, or asked to stop; and what they end with."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
from tiny_corpus import write_sequences
from tiny_training import NO_DROPOUT, Ranks, Spec, last_weights, losses_of, tiny_config, train_into

import pretrain.loop
from pretrain.checkpoints.checkpoint import CheckpointFolder
from pretrain.loop import learning_rate
from pretrain.settings import TrainSettings

pytestmark = pytest.mark.slow


SETTINGS = {"steps": 60, "checkpoint_every": 5, "micro_batch": 2, "zero_stage": 1}


@pytest.fixture(scope="module")
def of_all(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sequences of the trainings by several ranks."""
    return write_sequences(tmp_path_factory.mktemp("sequences"), {"aa": 160, "bb": 20})


@pytest.fixture(scope="module")
def undisturbed_losses(of_all: Path, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """Of one process that nobody disturbs."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with Ranks(Spec(of_all, folder / "run", 1, NO_DROPOUT, SETTINGS), folder) as alone:
        assert alone.wait() == [0], alone.said()
    losses = losses_of(folder / "run")
    assert len(losses) == 60
    return losses


def assert_the_same(disturbed: Path, undisturbed: Path) -> None:
    assert losses_of(disturbed) == losses_of(undisturbed)
    weights, expected = last_weights(disturbed), last_weights(undisturbed)
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_killed_and_resumed_equals_undisturbed(tmp_path: Path, sequences: Path, make_context, capsys) -> None:
    """Once between checkpoints, once in the middle of writing one: fp32 on one process is exact, dropout too."""
    disturbed, undisturbed = tmp_path / "disturbed", tmp_path / "undisturbed"
    with Ranks(Spec(sequences, disturbed, train={"steps": 300}, hold_at=22), tmp_path / "a") as child:
        child.wait_for_step(20)
        child.processes[0].kill()
        assert child.wait() == [-signal.SIGKILL]
    slow = Spec(sequences, disturbed, train={"steps": 300, "checkpoint_every": 30}, slow_writing=0.05)
    with Ranks(slow, tmp_path / "b") as child:
        child.wait_for("checkpoints/.step-*.tmp/weights.safetensors")
        child.processes[0].kill()
        assert child.wait() == [-signal.SIGKILL]
    assert list((disturbed / "checkpoints").glob(".step-*.tmp")), "it was killed while it wrote"
    assert not (disturbed / "checkpoints" / "step-00000300").exists()
    for output in (disturbed, undisturbed):
        train_into(output, sequences, make_context, tiny_config(steps=300))
    assert "resuming after step" in capsys.readouterr().err
    assert not list((disturbed / "checkpoints").glob(".step-*.tmp"))
    assert_the_same(disturbed, undisturbed)


def test_sigterm_saves_and_leaves(tmp_path: Path, sequences: Path) -> None:
    output = tmp_path / "run"
    with Ranks(Spec(sequences, output, train={"steps": 3000}), tmp_path / "ranks") as child:
        child.wait_for_step(5)
        child.processes[0].terminate()
        assert child.wait() == [1]
        said = child.said().splitlines()
    checkpoint, faults = CheckpointFolder(output / "checkpoints").newest()
    assert not faults
    assert checkpoint is not None
    assert 5 <= checkpoint.progress.step < 3000
    assert said[-1].startswith(f"stopped by a signal after step {checkpoint.progress.step}, which is saved")
    # Nothing of DeepSpeed's on the terminal: only our own lines.
    assert all(line.startswith("  pretrain.train") for line in said[:-1]), said


class Death(BaseException):
    """What no handler expects."""


def dies_at(step: int):
    def rate(number: int, settings: TrainSettings) -> float:
        if number == step:
            raise Death
        return learning_rate(number, settings)

    return rate


@pytest.mark.parametrize(("first", "second"), [(2, 1), (1, 2)])
def test_all_ranks_are_killed_and_others_share_the_tensors(
    first: int, second: int, tmp_path: Path, of_all: Path, undisturbed_losses: list[float]
) -> None:
    """Four ranks, kill -9 of all; four in another layout, kill -9 of all while a checkpoint is written; the first."""
    output = tmp_path / "run"

    def four(tensor_parallel: int, slow_writing: float = 0.0, hold_at: int | None = None) -> Ranks:
        train = {**SETTINGS, "tensor_parallel": tensor_parallel}
        return Ranks(Spec(of_all, output, 4, NO_DROPOUT, train, slow_writing, hold_at), tmp_path / "ranks")

    with four(first, hold_at=12) as ranks:
        ranks.wait_for_step(10)
        ranks.kill()
        assert ranks.wait() == [-signal.SIGKILL] * 4
    with four(second, slow_writing=0.02) as ranks:
        ranks.wait_for("checkpoints/.step-*.tmp/weights.safetensors")
        ranks.kill()
        assert ranks.wait() == [-signal.SIGKILL] * 4
        assert "resuming after step" in ranks.said()
    assert list(output.glob("checkpoints/.step-*.tmp")), "they were killed while rank 0 wrote"
    assert not (output / "checkpoints" / "step-00000060").exists()
    with four(first) as ranks:
        assert ranks.wait() == [0] * 4, ranks.said()
        assert "resuming after step" in ranks.said()
    assert not list(output.glob("checkpoints/.step-*.tmp"))
    assert losses_of(output) == pytest.approx(undisturbed_losses, rel=1e-5)


def test_ranks_are_killed_or_stopped_and_their_number_changes(
    tmp_path: Path, of_all: Path, make_context, monkeypatch, undisturbed_losses: list[float]
) -> None:
    """Two ranks, kill -9 of one of them; one rank, which dies; two ranks, SIGTERM to one of them; two to the end."""
    output = tmp_path / "output"

    def ranks(hold_at: int | None = None) -> Ranks:
        return Ranks(Spec(of_all, output, 2, NO_DROPOUT, SETTINGS, hold_at=hold_at), tmp_path / "ranks")

    with ranks(hold_at=12) as both:
        both.wait_for_step(10)
        both.processes[1].kill()
        both.release()
        assert both.wait() == [1, -signal.SIGKILL], both.said()
        assert "another rank has gone" in both.said().splitlines()[-1], both.said()
    monkeypatch.setattr(pretrain.loop, "learning_rate", dies_at(28))
    with pytest.raises(Death):  # as good as a kill: nothing is saved
        train_into(output, of_all, make_context, tiny_config(NO_DROPOUT, **{**SETTINGS, "zero_stage": 0}))
    monkeypatch.undo()
    with ranks(hold_at=42) as both:
        both.wait_for_step(40)
        os.kill(both.processes[1].pid, signal.SIGTERM)
        both.release()
        assert both.wait() == [1, 1], both.said()
        assert all("which is saved" in both.said(rank) for rank in (0, 1)), both.said()
    with ranks() as both:
        assert both.wait() == [0, 0], both.said()
        assert "resuming after step" in both.said(0)
        assert "pretrain.train" not in both.said(1), "rank 0 alone talks"
    assert losses_of(output) == pytest.approx(undisturbed_losses, rel=1e-5)
