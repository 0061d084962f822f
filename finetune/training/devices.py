"""Which GPU a run works on, and how many runs go at once: each worker has its own GPU, by turns."""

from __future__ import annotations

import os

import torch

from pipeline.executors.local import WORKER


def own_device() -> torch.device:
    """The GPU that the launcher gave this process, or the one of its number among the workers; made the current one.

    More workers than GPUs share them by turns. The CPU where there is no GPU.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    place = os.environ.get("LOCAL_RANK") or os.environ.get(WORKER, "0")
    device = torch.device("cuda", int(place) % torch.cuda.device_count())
    torch.cuda.set_device(device)  # of which a checkpoint keeps the state of chance
    return device


def runs_at_once(on_a_gpu: int) -> int | None:
    """How many runs this machine's GPUs take at once; None where there is no GPU: then ``run.workers`` alone says."""
    return torch.cuda.device_count() * on_a_gpu if torch.cuda.is_available() else None
