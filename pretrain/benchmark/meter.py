"""Measuring a device: seconds with everything waited for, bytes of tensors, and the fastest matrix product it makes.

The CPU's bytes come from PyTorch's profiler, which sees every allocation; a GPU's from its own allocator.
"""

from __future__ import annotations

import gc
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor


def wait_for(device: torch.device) -> None:
    """Return when the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Of doing ``work`` to its end."""
    wait_for(device)
    started = time.perf_counter()
    work()
    wait_for(device)
    return time.perf_counter() - started


class Parts:
    """Seconds by part of a step, each waited for; so they add up, and take a little longer than undisturbed."""

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._device = device
        self._begun = 0.0

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add what runs inside to ``name``."""
        self.begin()
        yield
        self.end(name)

    def begin(self) -> None:
        """A part begins."""
        wait_for(self._device)
        self._begun = time.perf_counter()

    def end(self, name: str) -> None:
        """The part that began last is over."""
        wait_for(self._device)
        self.seconds[name] += time.perf_counter() - self._begun

    @contextmanager
    def forward_of(self, model: nn.Module) -> Iterator[None]:
        """While inside, forward passes of ``model`` count as ``forward``, and as that much less of ``backward``."""
        before = 0.0

        def begin(*_: object) -> None:
            nonlocal before
            wait_for(self._device)
            before = time.perf_counter()

        def end(*_: object) -> None:
            wait_for(self._device)
            spent = time.perf_counter() - before
            self.seconds["forward"] += spent
            self.seconds["backward"] -= spent

        handles = model.register_forward_pre_hook(begin), model.register_forward_hook(end)
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def bytes_held(device: torch.device) -> int:
    """Bytes of all tensors there are on the device."""
    gc.collect()
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    storages = {}
    for thing in gc.get_objects():
        if issubclass(type(thing), Tensor) and _takes_memory(thing):
            storage = thing.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def _takes_memory(tensor: Tensor) -> bool:
    """On the CPU. A FakeTensor, which torch.compile keeps of what it has traced, says so of itself and has nothing."""
    return tensor.device.type == "cpu" and tensor.layout is torch.strided and not isinstance(tensor, FakeTensor)


def bytes_added(work: Callable[[], object], device: torch.device) -> int:
    """The most bytes that ``work`` had at any moment besides those held before it."""
    if device.type == "cuda":
        wait_for(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        work()
        wait_for(device)
        return torch.cuda.max_memory_allocated(device) - before
    events = _allocations(work)
    held = most = 0
    for _, change in sorted(events, key=lambda event: event[0]):
        held += change
        most = max(most, held)
    return most


def _allocations(work: Callable[[], object]) -> list[tuple[int, int]]:
    """(time, bytes more or less) of each allocation on the CPU during ``work``."""
    from torch.profiler import ProfilerActivity, profile

    gc.collect()
    with _silence(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    results = profiler.profiler.kineto_results
    return [(event.start_ns(), event.nbytes()) for event in results.events() if event.name() == "[memory]"]


@contextmanager
def _silence() -> Iterator[None]:
    """Keep the profiler's native messages off the terminal."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


class MatrixProduct:
    """Square matrices to multiply, large enough to show the device's peak."""

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.size, self.times = (8192, 20) if device.type == "cuda" else (1024, 8)
        self._device = device
        self._left, self._right = (torch.randn(self.size, self.size, device=device, dtype=dtype) for _ in range(2))
        self._out = torch.empty_like(self._left)
        self.flops_a_second()

    def flops_a_second(self) -> float:
        """Operations a second, now: a multiplication and an addition are two."""
        return 2.0 * self.size**3 * self.times / seconds_of(self._multiply, self._device)

    def _multiply(self) -> None:
        for _ in range(self.times):
            torch.mm(self._left, self._right, out=self._out)
