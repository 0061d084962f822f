"""The device of this rank: a GPU of its own, made the current one before anything asks for it, or the CPU.

What is asked of it besides: copies to it, and its memory.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.errors import XlmrError

ALLOCATOR = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
"""By which a user tells PyTorch how to share out a GPU's memory."""


def device_of_rank() -> torch.device:
    """The GPU of this rank's number among those of the machine, the first if it is alone; the CPU where there is none.

    A launcher may show each rank one GPU, its own. Errors: XlmrError for a rank that has none.
    """
    if not torch.cuda.is_available() or os.environ.get("DS_ACCELERATOR") == "cpu":
        return torch.device("cpu")
    number, gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if gpus == 1 and "LOCAL_WORLD_SIZE" not in os.environ:  # Slurm's way: torchrun's and ours shows all to all
        number = 0
    if number >= gpus:
        raise XlmrError(f"rank {number} of this machine has no GPU, there are {gpus}", "start no more ranks than GPUs")
    device = torch.device("cuda", number)
    torch.cuda.set_device(device)  # or NCCL and DeepSpeed would take the first for all ranks
    let_memory_grow()
    return device


def missed_gpus() -> str:
    """Why this machine's GPUs are not used; '' where they are, where there are none, and where none is wanted."""
    there = any(Path("/dev").glob("nvidia[0-9]*"))
    unwanted = os.environ.get("DS_ACCELERATOR") == "cpu" or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if torch.cuda.is_available() or unwanted or not there:
        return ""
    if torch.version.cuda is None:
        return f"PyTorch {torch.__version__} is built for CPUs"
    return f"PyTorch {torch.__version__} cannot reach them: for CUDA {torch.version.cuda} the driver may be too old"


def sent(array: NDArray[Any], device: torch.device) -> Tensor:
    """The array on the device. A copy to a GPU runs beside the next operations."""
    tensor = torch.from_numpy(array)
    if device.type == "cuda":  # memory that is not pinned is copied when the GPU has done all that came before
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def let_memory_grow() -> None:
    """Let PyTorch extend the blocks of a GPU's memory, unless the user has said how it is shared out.

    As many positions are scored as happen to be masked: gigabytes of another size each time. Blocks of a fixed size
    are too small for the next ones now and then, and pile up.
    """
    if not any(name in os.environ for name in ALLOCATOR):
        torch._C._accelerator_setAllocatorSettings("expandable_segments:True")


def free_memory() -> None:
    """Give back what this process has of a GPU's memory and does not use: PyTorch keeps it for itself otherwise."""
    if torch.cuda.is_initialized():
        gc.collect()  # DeepSpeed's objects hold each other
        torch.cuda.empty_cache()


@contextmanager
def enough_memory(fix: str) -> Iterator[None]:
    """Errors: XlmrError in one line, with ``fix``, where a GPU's memory does not suffice."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        said = str(error).split(". ")[:3]  # what was asked for, and of what; then come hints for programmers
        raise XlmrError(". ".join(said), fix) from error
