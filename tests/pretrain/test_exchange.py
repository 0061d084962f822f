"""How gradients are sent, where Adam is, and DeepSpeed's own settings: real ranks, the numbers of one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from ranks import Case, make_engine, read_state, run_ranks

from pipeline.errors import XlmrError
from pretrain.distributed import check_raw_settings, merged
from pretrain.exchange import Precision, check_exchange, no_effect
from pretrain.settings import LARGEST_BUCKET, OVERLAPPED_BUCKET, TrainSettings, largest_bucket

SMALL_BUCKETS = {"reduce_bucket_size": 2000, "allgather_bucket_size": 2000}
BF16 = {"dtype": "bf16", "weights": "bf16", "zero_stage": 1}


def way(name: str, settings: dict[str, Any], **others: Any) -> Case:
    return Case(name, settings, as_on_gpus=True, **others)


@pytest.mark.slow
def test_ways_to_send_gradients_train_alike(tmp_path: Path) -> None:
    """On CPUs nothing runs at the same time, but DeepSpeed takes the code paths that it takes on GPUs."""
    exact = [
        way("overlapped 1", {"zero_stage": 1, "overlap_comm": True, **SMALL_BUCKETS}),
        way("overlapped 2", {"zero_stage": 2, "overlap_comm": True, **SMALL_BUCKETS}, save="overlapped"),
        way(
            "offloaded, continued", {"zero_stage": 2, "offload_optimizer": True}, steps=(2, 4), start="half", save="off"
        ),
        way("offloaded 1", {"zero_stage": 1, "offload_optimizer": True}),
        way("raw", {"zero_stage": 2, "deepspeed": {"zero_optimization": {"round_robin_gradients": True}}}),
    ]
    rounded = [
        way("sums in bf16", {"zero_stage": 1, "gradient_dtype": "bf16"}),
        way("bf16 weights", BF16),
        way("bf16 weights, offloaded", {**BF16, "offload_optimizer": True}),
    ]
    infinite = [
        way(f"infinite, {name}", {"zero_stage": stage, name: True}, poison=1, steps=(0, 3))
        for stage, name in ((1, "offload_optimizer"), (2, "overlap_comm"))
    ]
    seen = run_ranks(
        tmp_path,
        2,
        [Case("reference", save="whole"), Case("half", steps=(0, 2), save="half"), *exact, *rounded, *infinite],
    )
    losses = seen["reference"]["losses"]
    for case in (*exact, *rounded):
        close = 1e-5 if case in exact else 2e-2
        assert seen[case.name]["losses"] == pytest.approx(losses[slice(*case.steps)], rel=close), case.name
    assert seen["sums in bf16"]["losses"] != pytest.approx(losses, rel=1e-7), "the setting reaches DeepSpeed"
    for case in infinite:
        assert seen[case.name]["applied"] == [True, False, True], case.name
    whole = read_state(tmp_path / "whole")
    for folder in ("overlapped", "off"):
        found = read_state(tmp_path / folder)
        for part, tensors in whole.items():
            for name, tensor in tensors.items():
                torch.testing.assert_close(found[part][name], tensor, rtol=1e-3, atol=1e-5, msg=f"{folder} {name}")


@pytest.mark.slow
def test_ways_to_send_gradients_train_alike_with_tensors_shared(tmp_path: Path) -> None:
    """Two tensor-parallel times two data-parallel ranks, and four at ZeRO 3."""
    shared = {"tensor_parallel": 2, "zero_stage": 2}
    overlapped, offloaded = {"overlap_comm": True, "reduce_bucket_size": 2000}, {"offload_optimizer": True}
    exact = [
        way("overlapped", {**shared, **overlapped}),
        way("offloaded, continued", {**shared, **offloaded}, steps=(2, 4), start="half"),
        way("overlapped, ZeRO 3", {"zero_stage": 3, **overlapped}),
        way("offloaded, ZeRO 3, continued", {"zero_stage": 3, **offloaded}, steps=(2, 4), start="half"),
    ]
    rounded = [
        way("all in bf16", {**shared, **overlapped, "dtype": "bf16", "weights": "bf16", "gradient_dtype": "bf16"}),
        way("bf16 products, offloaded", {**shared, **offloaded, "dtype": "bf16", "weights": "fp32"}),
    ]
    seen = run_ranks(tmp_path, 4, [Case("reference"), Case("half", steps=(0, 2), save="half"), *exact, *rounded])
    losses = seen["reference"]["losses"]
    for case in (*exact, *rounded):
        close = 1e-5 if case in exact else 2e-2
        assert seen[case.name]["losses"] == pytest.approx(losses[slice(*case.steps)], rel=close), case.name


def test_settings_reach_deepspeed() -> None:
    zero = {"round_robin_gradients": True}
    settings = {"zero_stage": 2, "overlap_comm": True, "gradient_dtype": "bf16", **SMALL_BUCKETS}
    engine = make_engine(way("given", {**settings, "deepspeed": {"zero_optimization": zero}}))
    try:
        optimizer = engine._distributed._engine.optimizer
        assert (optimizer.overlap_comm, optimizer.round_robin_gradients) == (True, True)
        assert (optimizer.reduce_bucket_size, optimizer.allgather_bucket_size) == (2000, 2000)
        assert optimizer.communication_data_type is torch.bfloat16
    finally:
        engine.close()
    engine = make_engine(Case("defaults", {"zero_stage": 2}))
    try:
        optimizer = engine._distributed._engine.optimizer
        numbers = sum(parameter.numel() for parameter in engine.model.parameters())
        assert (optimizer.overlap_comm, optimizer.cpu_offload, optimizer.reduce_bucket_size) == (False, False, numbers)
        assert optimizer.communication_data_type is torch.float32
    finally:
        engine.close()


def test_a_bucket_of_the_whole_model_would_be_sent_after_the_backward_pass() -> None:
    assert largest_bucket(TrainSettings()) == LARGEST_BUCKET
    assert largest_bucket(TrainSettings(zero_stage=2, overlap_comm=True)) == OVERLAPPED_BUCKET
    assert largest_bucket(TrainSettings(zero_stage=2, overlap_comm=True, reduce_bucket_size=7)) == 7


def test_sections_are_merged() -> None:
    own = {"zero_optimization": {"stage": 1, "round_robin_gradients": False}, "steps_per_print": None}
    given = {"zero_optimization": {"round_robin_gradients": True}, "prescale_gradients": True}
    assert merged(own, given) == {
        "zero_optimization": {"stage": 1, "round_robin_gradients": True},
        "steps_per_print": None,
        "prescale_gradients": True,
    }


def test_what_deepspeed_does_not_know_is_refused() -> None:
    check_raw_settings({"zero_optimization": {"contiguous_gradients": False}, "prescale_gradients": True})
    with pytest.raises(XlmrError, match=r"zero_optimization.reduce_bucket: Extra inputs are not permitted"):
        check_raw_settings({"zero_optimization": {"reduce_bucket": 3}})
    with pytest.raises(XlmrError, match=r"deepspeed: zero_optimization.sub_group_size: "):
        check_raw_settings({"zero_optimization": {"sub_group_size": "many"}})


def test_what_deepspeed_refuses_as_it_starts_is_one_line() -> None:
    settings = {"zero_stage": 2, "deepspeed": {"gradient_predivide_factor": 2.0}}
    with pytest.raises(XlmrError, match=r"DeepSpeed refuses gradient_predivide_factor: .* is not yet supported"):
        make_engine(Case("refused", settings))


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"deepspeed": {"gradient_clipping": 1.0}}, "gradient_clipping cannot be given here; these can: zero_opt"),
        ({"deepspeed": {"zero_optimization": {"stage": 2}}}, "stage is given by pretrain.train.zero_stage"),
        ({"deepspeed": {"zero_optimization": {"overlap_comm": True}}}, "given by pretrain.train.overlap_comm"),
        ({"deepspeed": {"zero_optimization": 2}}, "zero_optimization is a section"),
        ({"deepspeed": {"zero_optimization": {"sub_group_size": 9}}}, "zero_optimization needs zero_stage 1, 2 or 3"),
        ({"overlap_comm": True}, "overlap_comm needs zero_stage 1, 2 or 3"),
        ({"reduce_bucket_size": 9}, "reduce_bucket_size needs zero_stage 1, 2 or 3"),
        ({"offload_optimizer": True}, "offload_optimizer needs zero_stage 1, 2 or 3"),
        ({"allgather_bucket_size": 9}, "allgather_bucket_size needs zero_stage 1 or 2"),
        ({"allgather_bucket_size": 9, "zero_stage": 3}, "allgather_bucket_size needs zero_stage 1 or 2"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(given: dict[str, Any], line: str) -> None:
    with pytest.raises(ValidationError, match=line):
        TrainSettings(**given)


OVERLAP, OFFLOAD = {"overlap_comm": True}, {"offload_optimizer": True}


@pytest.mark.parametrize(
    ("given", "stage", "precision", "ranks", "on_gpu", "name"),
    [
        (OVERLAP, 2, "bf16", 8, True, None),
        (OVERLAP, 2, "bf16", 8, False, "overlap_comm"),
        (OVERLAP, 2, "bf16", 1, True, "overlap_comm"),
        (OVERLAP, 1, "bf16", 8, True, "overlap_comm"),
        (OVERLAP, 1, "autocast", 8, True, None),
        ({**OVERLAP, **OFFLOAD}, 1, "bf16", 8, True, None),  # another optimiser of DeepSpeed's, which overlaps
        (OFFLOAD, 1, "fp32", 1, False, "offload_optimizer"),
        ({"reduce_bucket_size": 9}, 1, "bf16", 8, True, "reduce_bucket_size"),
        ({"reduce_bucket_size": 9}, 2, "bf16", 8, True, None),
        ({"gradient_dtype": "bf16"}, 1, "autocast", 8, True, "gradient_dtype"),
        ({"gradient_dtype": "bf16"}, 0, "autocast", 8, True, None),
        ({"gradient_dtype": "bf16"}, 1, "bf16", 8, True, None),
        ({}, 3, "bf16", 1, False, None),
    ],
)
def test_settings_without_effect_are_found(
    given: dict[str, Any], stage: int, precision: Precision, ranks: int, on_gpu: bool, name: str | None
) -> None:
    train = TrainSettings(**{"zero_stage": stage, **given})
    found = no_effect(train, stage, precision, ranks, on_gpu=on_gpu)
    assert (found and found[0]) == name
    if name:
        with pytest.raises(XlmrError, match=f"pretrain.train.{name} has no effect: "):
            check_exchange(train, stage, precision, ranks, on_gpu=on_gpu)


def test_training_refuses_settings_without_effect() -> None:
    with pytest.raises(XlmrError, match="overlap_comm has no effect: only GPUs send gradients during the backward"):
        make_engine(Case("overlapped", {"zero_stage": 2, "overlap_comm": True}))
