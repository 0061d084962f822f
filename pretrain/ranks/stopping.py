"""Signals, and what the ranks agree on: a SIGTERM that one of them gets, a clock that is ahead on one of them."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch

from pipeline.errors import SignalledError, XlmrError
from pretrain.engine import Engine


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """A list that gets the number of a SIGTERM or SIGINT; the loop saves and leaves when it finds one."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        received.append(number)

    if threading.current_thread() is not threading.main_thread():  # Python gives signals to the main thread alone
        yield received
        return
    before: dict[int, Any] = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield received
    except BaseException:
        if torch.distributed.is_initialized() and torch.distributed.get_world_size() > 1:
            # A launcher that sees another rank die sends SIGTERM to the rest: it must not end us before we say why.
            before[signal.SIGTERM] = signal.SIG_IGN
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def raise_stop(number: int, step: int) -> None:
    """Leave after a signal; everything is saved."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SignalledError(f"stopped by a signal after step {step}, which is saved", "the same command resumes there")


def largest_of_ranks(engine: Engine, *values: float) -> list[float]:
    """The largest that any rank gives of each value, the same on all ranks."""
    if engine.world == 1:
        return list(values)
    largest = torch.tensor(values, dtype=torch.float64, device=engine.device)
    torch.distributed.all_reduce(largest, op=torch.distributed.ReduceOp.MAX)
    return [float(value) for value in largest.tolist()]


def from_rank_0(engine: Engine, value: float) -> float:
    """What rank 0 gives."""
    return largest_of_ranks(engine, value if engine.rank == 0 else -math.inf)[0]


@contextmanager
def lost_ranks() -> Iterator[None]:
    """Turn what a collective says, of another rank that is gone or of itself, into one line."""
    try:
        yield
    except RuntimeError as error:
        if not torch.distributed.is_initialized() or torch.distributed.get_world_size() == 1:
            raise
        rank, lines = f"rank {torch.distributed.get_rank()}", str(error).splitlines()
        if of_a_lost_rank(error):
            problem = f"{rank}: another rank has gone ({lines[0][:120]})"
            raise XlmrError(problem, "see what it said; the same command resumes from the last checkpoint") from error
        if any(word in str(error) for word in NCCL_ITSELF):
            problem = f"{rank}: NCCL: {lines[-1][:240]}"
            raise XlmrError(problem, "NCCL_DEBUG=INFO before the command says more") from error
        raise


LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Timed out", "NCCL", "gloo")
"""Words of gloo and NCCL for a peer that does not answer."""

NCCL_ITSELF = ("ncclInvalidUsage", "ncclInvalidArgument", "ncclUnhandledCudaError", "shared memory segment")
"""Words of NCCL for what is wrong on this rank: two that share a GPU, no memory, a container with little /dev/shm."""


def of_a_lost_rank(error: BaseException | None) -> bool:
    """Whether an error is a collective's complaint about another rank."""
    if not isinstance(error, RuntimeError) or isinstance(error, torch.OutOfMemoryError):
        return False
    said = str(error)
    return any(word in said for word in LOST) and not any(word in said for word in NCCL_ITSELF)
