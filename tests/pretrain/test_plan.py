"""The arithmetic of plans, against PyTorch's own counting of operations and against measured bytes."""

from __future__ import annotations

import gc
import json
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
    assert speed.step_seconds(work, how) == pytest.approx(expected)
    again = speed.step_seconds(work, replace(how, activation_checkpointing=True)) / expected
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
