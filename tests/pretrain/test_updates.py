"""One step at a time: what is not finite changes nothing, and a state goes from one ZeRO stage to another."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_corpus import ALPHA
from tiny_training import NO_DROPOUT, tiny_config

from pretrain.data.masking import MaskedVocabulary, Masker
from pretrain.data.sequences import open_sequences
from pretrain.data.stream import Stream
from pretrain.engine import Engine, choose_dtype
from pretrain.model import ModelConfig, build
from pretrain.parallel import Layout
from pretrain.settings import TrainSettings
from pretrain.train import architecture_of


def engine_of(sequences: Path, **train: object) -> tuple[Engine, TrainSettings]:
    config = tiny_config(model=NO_DROPOUT, **train)
    model = build(architecture_of(config.model, open_sequences(sequences)))
    return Engine(model, config.train, 1), config.train


def steps_of(engine: Engine, sequences: Path, numbers: range) -> list[float]:
    folder = open_sequences(sequences)
    stream = Stream(folder.train, 16, 8, ALPHA, 1)
    losses = []
    for number in numbers:
        drawn = stream.batch(number)
        batch = Masker(MaskedVocabulary.plain(40), 0.15, 1).mask(drawn.ids, number, drawn.rows)
        engine.start_step(number)
        losses.append(sum(engine.accumulate(b, len(batch.labels)).item() for b in batch.split(8)))
        assert engine.step(3e-3).applied
    return losses


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_an_step_that_is_not_finite_changes_nothing(stage: int, sequences: Path) -> None:
    engine, _ = engine_of(sequences, zero_stage=stage)
    steps_of(engine, sequences, range(2))
    before = engine.state()
    hook = engine.model.head.dense.bias.register_hook(lambda gradient: gradient * float("inf"))
    batch = Masker(MaskedVocabulary.plain(40), 0.15, 1).mask(np.full((8, 16), 7), 0, np.arange(8))
    engine.start_step(2)
    engine.accumulate(batch, len(batch.labels))
    assert not engine.step(3e-3).applied
    after = engine.state()
    assert all(torch.equal(before[part][name], after[part][name]) for part in before for name in before[part])
    hook.remove()
    steps_of(engine, sequences, range(2, 4))
    engine.close()


@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 0), (2, 1), (1, 2)])
def test_a_state_goes_from_one_zero_stage_to_another(first: int, second: int, sequences: Path) -> None:
    straight, _ = engine_of(sequences, zero_stage=0)
    expected = steps_of(straight, sequences, range(8))
    straight.close()
    engine, _ = engine_of(sequences, zero_stage=first)
    assert steps_of(engine, sequences, range(4)) == pytest.approx(expected[:4], rel=1e-5)
    state = engine.state()
    engine.close()
    other, _ = engine_of(sequences, zero_stage=second)
    other.load_state(state, 4)
    again = other.state()
    assert all(torch.equal(state[part][name], again[part][name]) for part in state for name in state[part])
    assert steps_of(other, sequences, range(4, 8)) == pytest.approx(expected[4:], rel=1e-5)
    other.close()


@pytest.mark.slow
def test_ranks_add_their_gradients_in_fp32(sequences: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever DeepSpeed would send by itself: bf16 where weights are bf16, or where it looks after autocast."""
    import deepspeed.comm

    sent: list[torch.Tensor] = []
    for name, place in (("all_reduce", 0), ("reduce_scatter_fn", 1)):
        real = getattr(deepspeed.comm, name)

        def note(*tensors: Any, _real: Any = real, _place: int = place, **options: Any) -> Any:
            sent.append(tensors[_place])
            return _real(*tensors, **options)

        monkeypatch.setattr(deepspeed.comm, name, note)
    for weights in ("fp32", "bf16"):
        for stage in (0, 1, 2, 3):
            sent.clear()
            engine, _ = engine_of(sequences, zero_stage=stage, dtype="bf16", weights=weights)
            steps_of(engine, sequences, range(1))
            engine.close()
            gradients = [tensor for tensor in sent if tensor.numel() > 100]
            assert gradients, (weights, stage)
            assert {tensor.dtype for tensor in gradients} == {torch.float32}, (weights, stage)


def test_ranks_wait_for_the_first_as_long_as_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """NCCL's own ten minutes are too short for a rank that writes alone, for each group that has it in it."""
    waits: list[timedelta] = []

    class JoinedError(Exception):
        pass

    def join(backend: str, timeout: timedelta) -> None:
        waits.append(timeout)
        raise JoinedError

    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: False)
    monkeypatch.setattr(torch.distributed, "init_process_group", join)
    model = build(ModelConfig(40, num_hidden_layers=1, hidden_size=8, num_attention_heads=1, intermediate_size=8))
    for settings in (TrainSettings(), TrainSettings(timeout_minutes=7)):
        with pytest.raises(JoinedError):
            Engine(model, settings, 1)
    assert waits == [timedelta(hours=1), timedelta(minutes=7)]
    monkeypatch.setattr(torch.distributed, "new_group", lambda ranks, timeout: waits.append(timeout))
    Layout(0, 4, 2, timedelta(minutes=8))
    assert waits[2:] == [timedelta(minutes=8)] * 4


@pytest.mark.parametrize("native", [True, False])
def test_auto_is_bf16_where_a_gpu_has_it(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch says of a GPU without that it supports bf16, unless what it makes up for is left out."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    expected = torch.bfloat16 if native else torch.float32
    assert choose_dtype("auto", torch.device("cuda")) is expected
    assert choose_dtype("bf16", torch.device("cuda")) is torch.bfloat16
    assert choose_dtype("fp32", torch.device("cuda")) is torch.float32
