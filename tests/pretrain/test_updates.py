"""One update at a time: what is not finite changes nothing, and a state goes from one ZeRO stage to another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_training import NO_DROPOUT, tiny_config

from pretrain.data.masking import mask_samples
from pretrain.data.samples import open_samples
from pretrain.data.stream import Stream
from pretrain.engine import Engine
from pretrain.model import build
from pretrain.stages import TrainSettings
from pretrain.train import architecture_of


def engine_of(samples: Path, **train: object) -> tuple[Engine, TrainSettings]:
    config = tiny_config(model=NO_DROPOUT, **train)
    model = build(architecture_of(config.model, open_samples(samples)))
    return Engine(model, config.train, 1), config.train


def updates_of(engine: Engine, samples: Path, numbers: range) -> list[float]:
    folder = open_samples(samples)
    stream = Stream(folder.train, 16, 8, 0.3, 1)
    losses = []
    for number in numbers:
        drawn = stream.batch(number)
        batch = mask_samples(drawn.ids, 40, 0.15, 1, number, drawn.rows)
        engine.start_update(number)
        losses.append(sum(engine.accumulate(b, len(batch.targets)).item() for b in batch.split(8)))
        assert engine.update(3e-3).applied
    return losses


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_an_update_that_is_not_finite_changes_nothing(stage: int, samples: Path) -> None:
    engine, _ = engine_of(samples, zero_stage=stage)
    updates_of(engine, samples, range(2))
    before = engine.state()
    hook = engine.model.head.dense.bias.register_hook(lambda gradient: gradient * float("inf"))
    batch = mask_samples(np.full((8, 16), 7), 40, 0.15, 1, 0, np.arange(8))
    engine.start_update(2)
    engine.accumulate(batch, len(batch.targets))
    assert not engine.update(3e-3).applied
    after = engine.state()
    assert all(torch.equal(before[part][name], after[part][name]) for part in before for name in before[part])
    hook.remove()
    updates_of(engine, samples, range(2, 4))
    engine.close()


@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 0), (2, 1), (1, 2)])
def test_a_state_goes_from_one_zero_stage_to_another(first: int, second: int, samples: Path) -> None:
    straight, _ = engine_of(samples, zero_stage=0)
    expected = updates_of(straight, samples, range(8))
    straight.close()
    engine, _ = engine_of(samples, zero_stage=first)
    assert updates_of(engine, samples, range(4)) == pytest.approx(expected[:4], rel=1e-5)
    state = engine.state()
    engine.close()
    other, _ = engine_of(samples, zero_stage=second)
    other.load_state(state, 4)
    again = other.state()
    assert all(torch.equal(state[part][name], again[part][name]) for part in state for name in state[part])
    assert updates_of(other, samples, range(4, 8)) == pytest.approx(expected[4:], rel=1e-5)
    other.close()
