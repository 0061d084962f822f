"""What a run works on: which GPU, how many threads; and how many runs go at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from pipeline.executors.local import WORKER
from pretrain.ranks.device import let_memory_grow


def own_device() -> torch.device:
    """The GPU that the launcher gave this process, or the one of its number among the workers; made the current one.

    More workers than GPUs share them by turns. The CPU where there is no GPU.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    place = os.environ.get("LOCAL_RANK") or os.environ.get(WORKER, "0")
    device = torch.device("cuda", int(place) % torch.cuda.device_count())
    torch.cuda.set_device(device)  # of which a checkpoint keeps the state of chance
    let_memory_grow()
    return device


def runs_at_once(on_a_gpu: int) -> int | None:
    """How many runs this machine's GPUs take at once; None where there is no GPU: then ``run.workers`` alone says."""
    return torch.cuda.device_count() * on_a_gpu if torch.cuda.is_available() else None


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """PyTorch works with so many threads inside the block, and without denormal numbers.

    Adam's means of tokens that are seen seldom become such, and they take a CPU a hundred times longer.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(before)
