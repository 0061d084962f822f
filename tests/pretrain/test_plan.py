"""The arithmetic of plans, against PyTorch's own counting of operations and against measured bytes."""

from __future__ import annotations

import gc
import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from pipeline.cli import main
from pipeline.errors import UsageError, XlmrError
from pretrain.benchmark.meter import Parts, bytes_added, bytes_held
from pretrain.benchmark.rounds import MeasurePlan, _Rounds, architecture_of, engine_of, loader_of
from pretrain.cost.communication import Communication, Network
from pretrain.cost.flops import encoder_flops, training_flops
from pretrain.cost.memory import Cluster, memory_of, parameters_of_rank
from pretrain.cost.plan import Speed, layouts, parse_bytes, speed_of, spread, suggest
from pretrain.cost.workload import Workload, of_size
from pretrain.model import build
from pretrain.parallel import cuts_of

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "masked", "everywhere"),
    [("base", 0.74, 1.72), ("large", 2.19, 3.51), ("xl", 18.1, 21.5), ("xxl", 60.1, 65.5)],
)
def test_operations_of_the_papers_models(name: str, masked: float, everywhere: float) -> None:
    shape = of_size(name).shape
    assert training_flops(shape) / 1e9 == pytest.approx(masked, rel=4e-3)
    assert training_flops(shape, scored=1.0) / 1e9 == pytest.approx(everywhere, rel=4e-3)


@pytest.mark.parametrize("name", ["demo", "ablation-960", "xl"])
def test_operations_are_those_that_pytorch_counts(name: str) -> None:
    work = of_size(name)
    model = build(architecture_of(work))
    ids = torch.zeros(2, work.length, dtype=torch.long, device="meta")
    masked_positions = torch.zeros(2 * work.length // 8, dtype=torch.long, device="meta")
    with FlopCounterMode(display=False) as counter:
        model(ids, None, masked_positions).sum().backward()
    expected = training_flops(work.shape, work.length, scored=1 / 8) * ids.numel()
    assert counter.get_total_flops() == pytest.approx(expected, rel=1e-9)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.encoder(ids)
    assert counter.get_total_flops() == pytest.approx(encoder_flops(work.shape, work.length, 1) * ids.numel(), rel=1e-9)


def changed(**train: object) -> Workload:
    work = of_size("demo")
    settings = {"micro_batch": 8, "global_batch": 8, "dtype": "fp32", **train}
    return replace(
        work,
        shape=replace(work.shape, num_hidden_layers=3, hidden_size=128, num_attention_heads=4,
            intermediate_size=512, vocabulary_size=4000),
        length=64,
        train=work.train.model_copy(update=settings),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "dropout"),
    [
        ({}, 0.0),
        ({}, 0.1),
        ({"loss_chunk_size": 16}, 0.0),
        ({"activation_checkpointing": True, "loss_chunk_size": 16}, 0.0),
        ({"global_batch": 16}, 0.0),
        ({"micro_batch": 1, "global_batch": 1}, 0.0),
        ({"dtype": "bf16", "weights": "fp32"}, 0.0),
        ({"zero_stage": 1}, 0.0),  # its bucket is as large as the model, not DeepSpeed's fixed 2 GB
        ({"zero_stage": 2, "global_batch": 16}, 0.0),
        ({"dtype": "bf16", "weights": "bf16", "zero_stage": 2}, 0.0),
        ({"dtype": "bf16", "weights": "bf16", "zero_stage": 1}, 0.0),
        ({"dtype": "bf16", "weights": "bf16", "zero_stage": 3}, 0.0),  # last: DeepSpeed frees it late
    ],
)
def test_memory_is_what_is_measured(settings: dict[str, object], dropout: float) -> None:
    work = replace(changed(**settings), dropout=dropout)
    train = work.train
    with engine_of(changed()):  # what DeepSpeed still holds of an earlier test's engine goes with the next
        pass
    gc.collect()  # once more than bytes_held does: what is freed in one pass frees others in the next
    before = bytes_held(CPU)
    with engine_of(work) as engine, loader_of(work, engine) as loader:
        rounds, parts = _Rounds(work, MeasurePlan(1, 1), engine, loader), Parts(CPU)
        for _ in range(2):
            rounds._our_step(parts)
        taken = bytes_held(CPU) - before + bytes_added(lambda: rounds._our_step(parts), CPU)
    precision = "fp32" if train.dtype == "fp32" else {"fp32": "autocast", "bf16": "bf16"}[train.weights]
    how = Cluster(
        1, 1, train.zero_stage, precision, train.activation_checkpointing, False, train.micro_batch, on_gpu=False
    )
    assert memory_of(work, how).total == pytest.approx(taken, rel=0.05)


@pytest.mark.parametrize("tensor", [1, 2, 4])
def test_parameters_of_a_rank_are_those_of_the_cuts(tensor: int) -> None:
    work = of_size("ablation-768")
    model = build(architecture_of(work))
    cuts = cuts_of(model)
    own = sum(p.numel() / (1 if cuts[name].dim is None else tensor) for name, p in model.named_parameters())
    assert parameters_of_rank(work, tensor) == pytest.approx(own, rel=1e-12)


def test_more_ranks_take_less() -> None:
    work = of_size("xl")
    totals = [
        memory_of(work, how).total
        for how in (
            Cluster(1, 1, 1), Cluster(1, 8, 1), Cluster(2, 8, 1), Cluster(8, 8, 1),
            Cluster(8, 8, 1, activation_checkpointing=True),
        )
    ]  # fmt: skip
    assert totals == sorted(totals, reverse=True)
    assert len(set(totals)) == len(totals)


def test_what_is_suggested_fits_and_is_the_simplest() -> None:
    work = of_size("xxl")
    best = suggest(work, 64, 72e9, "bf16")
    assert best is not None
    assert memory_of(work, best).total <= 72e9
    assert best.tensor * best.data == 64
    simpler = [
        how for how in layouts(work, 64, "bf16") if how.activation_checkpointing <= best.activation_checkpointing
    ]
    before = simpler[: simpler.index(best)]
    assert all(memory_of(work, how).total > 72e9 or how.micro_batch < 8 for how in before)
    assert suggest(work, 1, 72e9, "bf16") is None
    base = suggest(of_size("base"), 1, 72e9, "bf16")
    assert base is not None
    assert (base.tensor, base.stage, base.activation_checkpointing) == (1, 1, False)


def test_time_is_operations_by_speed() -> None:
    work, how = of_size("base"), Cluster(2, 4, 1)
    speed = Speed(1e15, 0.5, "as given")
    expected = 8192 * 512 * training_flops(work.shape) / (8 * 0.5e15)
    assert speed.compute_seconds(work, how) == pytest.approx(expected)
    again = speed.compute_seconds(work, replace(how, activation_checkpointing=True)) / expected
    assert 1.2 < again < 4 / 3


def test_a_benchmark_says_how_fast(tmp_path: Path) -> None:
    path = tmp_path / "benchmark.json"
    path.write_text(json.dumps(benchmark_of(of_size("base"), 0.3)))
    assert (speed_of(None, None, path).peak, speed_of(None, None, path).share) == (5e14, 0.3)
    assert speed_of(700, 0.2, path).share == 0.2
    path.write_text("{}")
    with pytest.raises(XlmrError, match="not a benchmark"):
        speed_of(None, None, path)


def benchmark_of(work: Workload, share: float) -> dict[str, Any]:
    return {
        "peak_flops_a_second": 5e14, "useful_flops_per_token": training_flops(work.shape, work.length, work.mask_rate),
        "workload": {"shape": asdict(work.shape), "length": work.length, "train": work.train.model_dump(mode="json")},
        "ours": {"mfu": share},
    }  # fmt: skip


@pytest.mark.parametrize("activation_checkpointing", [False, True])
def test_a_plan_for_what_was_measured_takes_as_long(activation_checkpointing: bool, tmp_path: Path) -> None:
    """Where the benchmark recomputed, its seconds are in the plan once, and the plan without is the faster one."""
    work, tokens_per_second = of_size("base"), 100_000
    work = replace(work, train=work.train.model_copy(update={"activation_checkpointing": activation_checkpointing}))
    share = (
        tokens_per_second * training_flops(work.shape, work.length, work.mask_rate) / 5e14
    )  # as Result.share_of_peak
    path = tmp_path / "benchmark.json"
    path.write_text(json.dumps(benchmark_of(work, share)))
    speed, how = speed_of(None, None, path), spread(work, 1)
    assert 8192 * 512 / speed.step_seconds(work, how) == pytest.approx(tokens_per_second)
    assert speed.step_seconds(work, replace(how, activation_checkpointing=True)) > speed.step_seconds(
        work, replace(how, activation_checkpointing=False)
    )


def test_errors_are_one_line() -> None:
    with pytest.raises(UsageError, match="not an amount of memory"):
        parse_bytes("80")
    assert parse_bytes("80 GB") == 80e9
    assert parse_bytes("1GiB") == 2**30
    base = of_size("base")
    with pytest.raises(UsageError, match="cannot be shared by 3 ranks"):
        spread(base, 3)
    with pytest.raises(UsageError, match="do not make groups of 2"):
        spread(replace(base, train=base.train.model_copy(update={"tensor_parallel": 2})), 3)
    with pytest.raises(UsageError, match="no such size"):
        of_size("huge")


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pretrain", "plan", "xl", "--gpus", "8", "--gpu-memory", "80GB", "--tensor-parallel", "2"]) == 0
    out = capsys.readouterr().out
    assert "3,482,739,200 parameters" in out
    assert "tensor parallel 2 × data 4, ZeRO 1" in out
    assert "| of 72 usable | fits |" in out
    assert main(["pretrain", "plan", "xl", "--gpus", "8", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["configured"]["data_parallel"] == 8
    assert found["suggested"]["fits"]


def with_train(work: Workload, **changes: object) -> Workload:
    return replace(work, train=work.train.model_copy(update=changes))


def sent_on_64(work: Workload) -> Communication:
    return speed_of(None, None, None).communication(work, spread(work, 64))


def test_a_sum_of_gradients_after_the_backward_pass_adds_a_quarter() -> None:
    """Base on 64 GPUs in 8 machines: 2.7 days of arithmetic, and a ring over 50 GB/s in each step."""
    work, speed = of_size("base"), speed_of(None, None, None)
    sent, compute = sent_on_64(work), speed.compute_seconds(work, spread(work, 64))
    assert compute * work.train.steps / 86400 == pytest.approx(2.66, abs=0.01)
    assert sent.gradients == pytest.approx(2 * 63 / 64 * 4 * work.parameters)
    assert sent.weights == pytest.approx(63 / 64 * 2 * work.parameters), "after the step, in bf16"
    assert sent.seconds == pytest.approx((2 * 4 + 2) * 7 / 8 * work.parameters / 50e9), "7 of 8 parts leave a machine"
    assert sent.hidden == 0
    assert sent_on_64(with_train(work, gradient_dtype="bf16")).gradients == pytest.approx(sent.gradients / 2)


def test_all_but_the_table_is_sent_during_the_backward_pass() -> None:
    work = with_train(of_size("base"), micro_batch=128, zero_stage=2)
    after, during = sent_on_64(work), sent_on_64(with_train(work, overlap_comm=True))
    assert (during.gradients, during.seconds + during.hidden) == (after.gradients, pytest.approx(after.seconds))
    table = work.shape.vocab_size * work.shape.hidden_size
    assert during.hidden == pytest.approx(2 * 4 * 7 / 8 * (work.parameters - table) / 50e9)
    four = sent_on_64(with_train(work, micro_batch=32))
    assert four.gradients == pytest.approx(4 * after.gradients), "ZeRO 2 exchanges them in each micro-batch"
    whole = with_train(work, overlap_comm=True, reduce_bucket_size=500_000_000)
    assert sent_on_64(whole).hidden == 0, "one bucket is full when the backward pass has ended"


def test_no_more_is_hidden_than_the_backward_pass_takes() -> None:
    work = with_train(of_size("base"), micro_batch=128, zero_stage=2, overlap_comm=True)
    slow = replace(speed_of(None, None, None), network=Network(between=1e9))
    how = spread(work, 64)
    assert slow.communication(work, how).hidden == pytest.approx(2 / 3 * slow.compute_seconds(work, how))


def test_rings_of_tensor_parallel_ranks_share_a_machines_network() -> None:
    work, speed = of_size("xl"), speed_of(None, None, None)
    one, two = (speed.communication(work, Cluster(tensor, 8 // tensor, 1)) for tensor in (1, 2))
    assert one.activations == 0
    tokens = work.train.global_batch / 4 * work.length
    assert two.activations == pytest.approx(tokens * work.shape.hidden_size * 2 * 4 * work.shape.num_hidden_layers)
    assert two.seconds == pytest.approx((two.gradients + two.weights + two.activations) / 450e9), (
        "eight GPUs are one machine"
    )
    machines = speed.communication(work, Cluster(8, 2, 1))
    own = parameters_of_rank(work, 8)
    inside = machines.activations / 450e9
    assert machines.seconds == pytest.approx(inside + 8 * (2 * 4 + 2) * own / 2 / 50e9), "eight rings, one network"


def test_overlapping_takes_a_second_bucket_and_offloading_no_optimiser() -> None:
    work, how = of_size("base"), Cluster(1, 8, 2)
    plain, offloaded = (memory_of(with_train(work, offload_optimizer=given), how).states for given in (False, True))
    assert plain.optimiser == 12 * work.parameters / 8
    assert offloaded.optimiser == 0
    small = with_train(work, reduce_bucket_size=1_000_000)
    once, twice = (memory_of(with_train(small, overlap_comm=given), how).states.coming for given in (False, True))
    assert twice == 2 * once < plain.coming


def test_only_layouts_that_training_takes_are_suggested() -> None:
    work = with_train(of_size("base"), overlap_comm=True, zero_stage=2)
    assert {how.stage for how in layouts(work, 64, "bf16")} == {2, 3}
    with pytest.raises(XlmrError, match="overlap_comm has no effect: one data-parallel rank"):
        spread(work, 1)


def test_the_plan_says_what_overlapping_saves_and_of_which_peak(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pretrain", "plan", "xlmr-base", "--gpus", "64"]) == 0
    out = capsys.readouterr().out
    assert "GPUs compute at 40% (assumed) of 790 TFLOP/s, the fastest bf16 matrix product measured on an H200" in out
    assert "at 450 GB/s inside a machine of 8 GPUs; a machine sends 50 GB/s to others (assumed unless given)" in out
    days = dict(re.findall(r"\| (.*?) \| [\d.]+ \| [\d.]+ \| ([\d.]+) \|", out))
    assert days == {
        "after the backward pass, in fp32, ZeRO 1, micro-batch 32 (as configured)": "3.51",
        "after the backward pass, in bf16, ZeRO 1, micro-batch 32": "3.17",
        "during the backward pass, in fp32, ZeRO 2, micro-batch 128": "3.30",
        "during the backward pass, in bf16, ZeRO 2, micro-batch 128": "3.07",
        "(no communication)": "2.66",
    }
    assert main(["pretrain", "plan", "base", "--gpus", "64", "--bandwidth", "0"]) == 2
    assert "give --bandwidth" in capsys.readouterr().err
