"""What differs on GPUs, asked where there is none: which one a rank takes, what waits for it, what is said of it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partialmethod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_training import tiny_config, train_into
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import pretrain.train
from pipeline.context import Context
from pipeline.errors import XlmrError
from pretrain.benchmark.meter import bytes_held
from pretrain.data.masking import MaskedBatch, MaskedVocabulary, Masker
from pretrain.engine import Engine
from pretrain.model import MaskedLanguageModel, ModelConfig, build
from pretrain.ranks.device import ALLOCATOR, device_of_rank, enough_memory, free_memory, missed_gpus, sent
from pretrain.ranks.stopping import lost_ranks

SHAPE = ModelConfig(60, 2, 32, 4, 64, max_position_embeddings=20)

DUPLICATE = """NCCL error in: /pytorch/torch/csrc/distributed/NCCLUtils.cpp:77, invalid usage, NCCL version 2.29.3
ncclInvalidUsage: This usually reflects invalid usage of NCCL library.
Last error:
Duplicate GPU detected : rank 1 and rank 0 both on CUDA device 1000"""

GONE = """NCCL error in: /pytorch/torch/csrc/distributed/NCCLUtils.cpp:77, remote process exited, NCCL version 2.29.3
ncclRemoteError: A call failed possibly due to a network error or a remote process exiting prematurely."""

FULL = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 3 has a total capacity of 79.11 GiB of which 1.06 GiB is free."
    " Including non-PyTorch memory, this process has 78.04 GiB memory in use. Of the allocated memory 77.01 GiB is"
    " allocated by PyTorch. See documentation for Memory Management"
)


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Four, which are not there. What was done to them."""
    done: list[Any] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", done.append)
    monkeypatch.setattr(torch._C, "_accelerator_setAllocatorSettings", done.append)
    for name in ("DS_ACCELERATOR", "LOCAL_RANK", "LOCAL_WORLD_SIZE", *ALLOCATOR):
        monkeypatch.delenv(name, raising=False)
    return done


def batch_of(sequences: int, step: int = 0) -> MaskedBatch:
    ids = np.random.default_rng(step).integers(4, 50, (sequences, 18))
    return Masker(MaskedVocabulary.plain(60), 0.15, 1).mask(ids, step, np.arange(sequences))


def engine_of(**train: Any) -> Engine:
    settings = tiny_config(**{"global_batch": 16, "micro_batch": 4, "loss_chunk_size": 8, **train}).train
    return Engine(build(SHAPE), settings, 1)


def test_a_rank_takes_the_gpu_of_its_number(gpus: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert device_of_rank() == torch.device("cuda", 0), "who is alone takes the first"
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert device_of_rank() == torch.device("cuda", 3)
    growing = "expandable_segments:True"
    assert gpus == [torch.device("cuda", 0), growing, torch.device("cuda", 3), growing]
    monkeypatch.setenv("LOCAL_RANK", "4")
    with pytest.raises(XlmrError, match="rank 4 of this machine has no GPU, there are 4"):
        device_of_rank()
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    assert device_of_rank() == torch.device("cpu")


def test_a_rank_that_is_shown_its_own_gpu_alone(gpus: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """As Slurm does with --gpus-per-task. Where a launcher shows all to all, two ranks are too many for one."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert device_of_rank() == torch.device("cuda", 0)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    with pytest.raises(XlmrError, match="no GPU"):
        device_of_rank()


@pytest.mark.parametrize("name", ALLOCATOR)
def test_the_users_word_on_memory_holds(name: str, gpus: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "max_split_size_mb:512")
    assert gpus == [device_of_rank()]


def test_pytorch_knows_the_setting_of_its_memory() -> None:
    torch._C._accelerator_setAllocatorSettings("expandable_segments:True")  # it is no part of the published interface
    with pytest.raises(ValueError, match="True"):
        torch._C._accelerator_setAllocatorSettings("expandable_segments:perhaps")


def test_an_engine_leaves_no_place_to_later_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that fine-tune inherit the environment: LOCAL_RANK=0 would send all of them to the first GPU."""
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    engine_of().close()
    assert "LOCAL_RANK" not in os.environ
    monkeypatch.setenv("LOCAL_RANK", "1")
    engine_of().close()
    assert os.environ["LOCAL_RANK"] == "1"


def test_nothing_of_a_training_stays_in_the_way(
    sequences: Path, tmp_path: Path, make_context: Callable[[Path], Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a GPU that is shared with the processes that fine-tune next."""
    held: list[int] = []

    def free() -> None:
        held.append(bytes_held(torch.device("cpu")))  # collects first

    monkeypatch.setattr(pretrain.train, "free_memory", free)
    free()
    train_into(tmp_path / "out", sequences, make_context, tiny_config(steps=2))
    assert len(held) == 2
    assert held[1] <= held[0]
    done: list[str] = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: done.append("emptied"))
    free_memory()
    assert done == ["emptied"]


WAITING = ("item", "tolist", "cpu", "numpy", "nonzero", "__bool__", "__float__", "__int__", "__index__")
"""What makes the CPU wait for all that a GPU was given."""


@pytest.mark.parametrize("train", [{}, {"zero_stage": 1, "weights": "bf16", "dtype": "bf16"}])
def test_nothing_waits_between_the_micro_batches(train: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    engine = engine_of(**train)
    from deepspeed.accelerator import get_accelerator

    waited: Counter[str] = Counter()

    def counted(kind: type, name: str) -> None:
        old = getattr(kind, name)

        def call(self: Any, *given: Any, **named: Any) -> Any:
            waited[name] += 1
            return old(self, *given, **named)

        monkeypatch.setattr(kind, name, call)

    for name in WAITING:
        counted(torch.Tensor, name)
    counted(type(get_accelerator()), "synchronize")
    for step in range(4):  # DeepSpeed's clock begins at the third
        batch = batch_of(16, step)
        engine.start_step(step)
        waited.clear()
        for part in batch.split(4):
            engine.accumulate(part, len(batch.labels))
        assert not waited, "each costs a GPU the time until the CPU has given it something to do again"
        engine.step(1e-4)
        assert sum(waited.values()) <= 4, "the norm of the gradient, and whether it is finite"
    engine.close()


class NothingOnTheCPU(TorchDispatchMode):
    """Refuses operations on tensors of the CPU, which the meta device, unlike a GPU, takes as indices."""

    def __torch_dispatch__(self, operation: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        tensors = [one for one in tree_leaves((given, named or {})) if isinstance(one, torch.Tensor)]
        assert all(tensor.is_meta for tensor in tensors), f"{operation} has a tensor of the CPU"
        return operation(*given, **named or {})


@pytest.mark.parametrize("norm", ["post", "pre"])
@pytest.mark.parametrize("activation_checkpointing", [False, True])
def test_the_model_makes_its_tensors_where_its_weights_are(
    norm: Any, activation_checkpointing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The meta device stands for a GPU; it has no numbers either that one could wait for."""
    monkeypatch.setattr(torch, "autocast", lambda *given, **named: nullcontext())  # which does not know it
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *given: False)
    model = build(replace(SHAPE, norm=norm)).to(torch.bfloat16)
    model.encoder.activation_checkpointing, model.head.scoring.chunk = activation_checkpointing, 3
    ids, masked_positions = torch.empty((3, 18), dtype=torch.int64, device="meta"), torch.arange(8, device="meta")
    attention_mask = torch.ones((3, 18), dtype=torch.bool, device="meta")
    with NothingOnTheCPU():
        for seen in (None, attention_mask):
            model(ids, seen, masked_positions, masked_positions).backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
        with pytest.raises(AssertionError, match="of the CPU"):
            model(ids, attention_mask, torch.arange(8), masked_positions)


def test_copies_to_a_gpu_are_from_pinned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[Any] = []

    def note(name: str, self: torch.Tensor, *given: Any, **named: Any) -> torch.Tensor:
        done.append((name, *given, *named.items()))
        return self

    monkeypatch.setattr(torch.Tensor, "pin_memory", partialmethod(lambda self: note("pin", self)))
    monkeypatch.setattr(
        torch.Tensor, "to", partialmethod(lambda self, *given, **named: note("to", self, *given, **named))
    )
    array = np.arange(3)
    assert sent(array, torch.device("cuda", 1)).tolist() == [0, 1, 2]
    assert done == [("pin",), ("to", torch.device("cuda", 1), ("non_blocking", True))]
    done.clear()
    sent(array, torch.device("cpu"))
    assert [name for name, *_ in done] == ["to"]


def test_gpus_that_are_not_used_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that is too old, or a wheel for CPUs, would make a training of days last years."""
    for name in ("DS_ACCELERATOR", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(Path, "glob", lambda folder, pattern: iter([]))
    assert missed_gpus() == "", "there are none"
    monkeypatch.setattr(Path, "glob", lambda folder, pattern: iter([folder / "nvidia0"]))
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "is built for CPUs" in missed_gpus()
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert "for CUDA 13.0 the driver may be too old" in missed_gpus()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert missed_gpus() == "", "none is wanted"


def test_validation_uses_up_none_of_the_compilers_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._dynamo.utils import counters

    compile_parts = MaskedLanguageModel.compile_parts
    monkeypatch.setattr(MaskedLanguageModel, "compile_parts", lambda self: compile_parts(self, "eager"))
    torch._dynamo.reset()
    counters.clear()
    engine = engine_of(compile=True)
    plain = engine_of()
    batch = batch_of(16)
    engine.start_step(0)
    for part in batch.split(4):
        engine.accumulate(part, len(batch.labels))
    made = counters["stats"]["unique_graphs"]
    assert made > 0
    for sequences in (1, 2, 7):
        some = batch_of(sequences, sequences)
        assert engine.score(some) == pytest.approx(plain.score(some), rel=1e-5)
    assert counters["stats"]["unique_graphs"] == made
    plain.close()
    engine.close()
    torch._dynamo.reset()


@pytest.fixture
def rank_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two."""
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)


def said(error: Exception) -> str:
    with pytest.raises(XlmrError) as caught, enough_memory("take less"), lost_ranks():
        raise error
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.usefixtures("rank_1")
def test_each_trouble_of_nccl_and_memory_is_one_line_of_its_own() -> None:
    from pretrain.ranks.collectives import _is_own

    gone, twice = torch.distributed.DistBackendError(GONE), torch.distributed.DistBackendError(DUPLICATE)
    full = torch.OutOfMemoryError(FULL)
    assert "rank 1: another rank has gone" in said(gone)
    assert "rank 1: NCCL: Duplicate GPU detected" in said(twice), "nobody has gone"
    line = said(full)
    assert "GPU 3 has a total capacity of 79.11 GiB of which 1.06 GiB is free" in line
    assert line.endswith("; take less")
    assert [_is_own(error) for error in (gone, twice, full)] == [False, True, True]
    with pytest.raises(ValueError, match="other"), enough_memory("take less"), lost_ranks():
        raise ValueError("other")
