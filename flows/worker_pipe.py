"""What a run prints goes through a pipe to its worker. A run outlives a worker that is killed, and prints no more."""

from __future__ import annotations

import os
import sys

from rich.console import Console


def _print_no_more(console: Console) -> None:
    """For Rich, through which Prefect prints its log; its own would end the process, whatever that is doing."""
    console.quiet = True
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):  # of processes that this one starts, too
        os.dup2(nowhere, stream.fileno())


def outlive_worker() -> None:
    """Do so in this process."""
    Console.on_broken_pipe = _print_no_more  # type: ignore[assignment, method-assign]
