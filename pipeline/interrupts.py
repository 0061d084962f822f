"""Ctrl-C goes to every process of the terminal. The run alone reports it; no child may print a traceback of its own.

A Python child that is still starting prints one, wherever its imports are. So children start with the signal held back,
which they inherit, and take it when they are ready for it.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Processes that start in the block get no SIGINT until they ``take_interrupts``; this one gets it afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_held(process: BaseProcess) -> None:
    """Start a process of multiprocessing with the interrupt held back."""
    resource_tracker.ensure_running()  # else it is started by the first process, and unblocks the signal
    with interrupts_held():
        process.start()


def take_interrupts(*, silently: bool = False) -> None:
    """Take SIGINT from here on, one that was held back at once. ``silently``: end by it without a word."""
    if silently:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
