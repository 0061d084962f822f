"""The benchmark: both loops learn the same batches alike, its parts add up, and one command writes both outputs."""

from __future__ import annotations

import gc
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses import FakeTensorMode

from pipeline.cli import main
from pretrain.benchmark.hugging_face_loop import HuggingFaceLoop
from pretrain.benchmark.meter import MatrixProduct, Parts, bytes_added, bytes_held
from pretrain.benchmark.options import with_settings
from pretrain.benchmark.random_sequences import random_sequences
from pretrain.benchmark.rounds import MeasurePlan, Result, architecture_of, measure
from pretrain.benchmark.tool import table
from pretrain.cost.flops import training_flops
from pretrain.cost.workload import Workload, of_size
from pretrain.data.masking import MaskedBatch, MaskedVocabulary, Masker
from pretrain.data.sequences import open_sequences
from pretrain.folder import load_model

CPU = torch.device("cpu")


def small(**train: object) -> Workload:
    work = of_size("demo")
    settings = {"micro_batch": 4, "global_batch": 4, "dtype": "fp32", **train}
    return replace(
        work,
        shape=replace(work.shape, num_hidden_layers=1, hidden_size=32, num_attention_heads=2,
            intermediate_size=64, vocabulary_size=300),
        length=16,
        train=work.train.model_copy(update=settings),
    )  # fmt: skip


def batch_of(work: Workload, sequences: int = 4) -> MaskedBatch:
    ids = np.random.default_rng(0).integers(4, work.shape.vocabulary_size, (sequences, work.length))
    return Masker(MaskedVocabulary.plain(work.shape.vocabulary_size + 2), 0.3, 1).mask(ids, 0, np.arange(sequences))


@pytest.fixture(scope="module")
def result() -> Result:
    found = measure(small(), MeasurePlan(steps=2, rounds=3))
    assert found is not None
    return found


@pytest.mark.parametrize("micro_batch", [4, 1])
def test_their_loop_computes_the_loss_that_ours_does(micro_batch: int, tmp_path: Path) -> None:
    """Same weights: the loss of scores at every position with labels of -100 is ours at masked ones alone."""
    work = small(micro_batch=micro_batch)
    batch = batch_of(work)
    loop = HuggingFaceLoop(architecture_of(work), work.train, CPU, torch.float32)
    loop.model.save_pretrained(tmp_path)
    ours = load_model(tmp_path)
    losses = []
    with torch.no_grad():
        for one in batch.split(micro_batch):
            ids, masked_positions, labels = (
                torch.from_numpy(array) for array in (one.ids, one.masked_positions, one.labels)
            )
            losses.append(ours(ids, None, masked_positions, labels).item() / len(labels))
    before = [parameter.clone() for parameter in loop.model.parameters()]
    assert loop.step(batch) == pytest.approx(np.mean(losses), rel=1e-4)
    moved = [not torch.equal(a, b) for a, b in zip(before, loop.model.parameters(), strict=True)]
    assert sum(moved) >= len(moved) - 1  # the pooler is none of this model's
    assert loop.step(batch) < np.mean(losses)


def test_their_loop_gives_way_by_halves() -> None:
    work = small()
    loop = HuggingFaceLoop(architecture_of(work), work.train, CPU, torch.float32)
    assert (loop.halve(), loop.micro_batch) == (True, 2)
    assert (loop.halve(), loop.micro_batch) == (True, 1)
    assert not loop.halve()


def test_figures_agree(result: Result) -> None:
    assert result.theirs is not None
    work = small()
    for side in (result.ours, result.theirs):
        assert len(side.seconds) == 3
        assert side.tokens_per_second == pytest.approx(4 * 16 / side.step_seconds)
        assert set(side.parts) >= {"forward", "backward", "optimiser"}
        assert all(seconds > 0 for seconds in side.parts.values())
        assert side.bytes_held >= 12 * work.parameters  # weights and two moments
        expected = side.tokens_per_second * training_flops(work.shape, 16) / result.peak
        assert result.share_of_peak(side) == pytest.approx(expected)
    assert result.ours.flops_per_token < result.theirs.flops_per_token
    low, middle, high = result.ratios()
    assert low <= middle <= high


def test_what_is_printed_and_written(result: Result) -> None:
    text = table(result)
    assert "| tokens per second |" in text
    assert "ours / Hugging Face:" in text
    line = next(line for line in text.splitlines() if line.startswith("the loader alone:"))
    assert (
        line == f"the loader alone: {result.loader:,.0f} tokens per second, {result.loader_ratio:,.0f} × what is taken"
    )
    assert result.loader_ratio == pytest.approx(result.loader / result.ours.tokens_per_second)
    assert replace(result, data_ranks=4).loader_ratio == pytest.approx(4 * result.loader_ratio)
    assert all(line.count("|") == 4 for line in text.splitlines() if line.startswith("|"))
    record = json.loads(json.dumps(result.as_json()))
    assert record["ours"]["mfu"] == result.share_of_peak(result.ours)
    assert record["peak_flops_a_second"] == result.peak
    assert record["loader_ratio"] == result.loader_ratio > 0
    alone = replace(result, theirs=None, why_not="transformers is not installed")
    assert "was not measured: transformers is not installed" in table(alone)


def test_one_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "benchmark.json"
    words = "pretrain benchmark --size demo --batch 2 --length 16 --steps 1 --rounds 1 --micro-batches 2 --alone"
    assert main([*words.split(), "--output", str(path)]) == 0
    assert "7,371,650 parameters, 4 sequences × 16 tokens per step" in capsys.readouterr().out
    record = json.loads(path.read_text())
    assert record["workload"]["train"]["micro_batch"] == 2
    assert "hugging_face" not in record
    assert main(["pretrain", "plan", "base", "--measured", str(path)]) == 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--size", "huge"], "huge: no such size"),
        (["--rounds", "0"], "are 1 at least"),
        (["--zero-stage", "7"], "Choose from: 0, 1, 2, 3"),
        (["--batch", "0"], "are 1 at least"),
    ],
)
def test_bad_usage_is_one_line(words: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pretrain", "benchmark", *words]) == 2
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1


def test_ranks_share_the_global_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "8")
    work = with_settings(of_size("xl"), {"micro_batch": 4, "tensor_parallel": 2, "dtype": None}, 3, 100)
    assert work.train.global_batch == 4 * 3 * 4
    assert (work.length, work.train.dtype) == (100, "auto")
    assert with_settings(of_size("base"), {}, 1, 1024).max_position_embeddings == 1026


def test_random_sequences_are_read_like_any() -> None:
    for vocabulary, dtype in ((302, "uint16"), (70_000, "uint32")):
        with random_sequences(vocabulary, 16, 40) as source:
            sequences = open_sequences(source.folder)
            assert sum(map(len, sequences.train.values())) == 40
            assert sequences.dtype == np.dtype(dtype)
            assert (sequences.vocabulary_size, sequences.sequence_length) == (vocabulary, 16)


def test_the_meter_counts_bytes() -> None:
    gc.collect()  # of earlier tests' tensors: what is freed in one pass frees others in the next
    before = bytes_held(CPU)
    kept = torch.zeros(1_000_000)
    views = [kept[:10], kept.view(10, -1)]
    assert bytes_held(CPU) - before == 4_000_000
    assert bytes_added(lambda: kept + 1, CPU) == pytest.approx(4_000_000, abs=100)
    assert bytes_added(lambda: (kept + 1) + 1, CPU) == pytest.approx(8_000_000, abs=100)
    assert bytes_added(lambda: kept.add_(1), CPU) < 1000
    del views


def test_the_meter_leaves_out_tensors_without_memory() -> None:
    gc.collect()
    before = bytes_held(CPU)
    with FakeTensorMode():
        traced = [torch.zeros(1_000_000) for _ in range(3)]  # what torch.compile keeps
    assert traced[0].device == CPU
    assert bytes_held(CPU) == before


def test_forward_is_taken_out_of_backward() -> None:
    class Slow(nn.Module):
        def forward(self) -> None:
            time.sleep(0.05)

    model, parts = Slow(), Parts(CPU)
    with parts.part("backward"), parts.forward_of(model):
        model()
        time.sleep(0.02)
    assert parts.seconds["forward"] >= 0.05
    assert parts.seconds["backward"] >= 0.02
    before = dict(parts.seconds)
    model()
    assert parts.seconds == before, "outside, nothing is counted"


def test_the_peak_is_of_a_product_that_is_made() -> None:
    assert MatrixProduct(CPU, torch.float32).flops_a_second() > 1e8
