"""How a worker process ended, in words: by which signal, and whether the system ended it for want of memory."""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path

_COUNTERS = ((Path("/proc/vmstat"), "oom_kill"), (Path("/sys/fs/cgroup/memory.events"), "oom_kill"))


def kills_for_memory() -> int:
    """How many processes the system has killed for want of memory since it started (Linux); 0 where it does not say."""
    total = 0
    for path, wanted in _COUNTERS:
        with suppress(OSError, ValueError):
            fields = (line.split() for line in path.read_text(encoding="ascii").splitlines())
            total += sum(int(field[1]) for field in fields if field[0] == wanted)
    return total


def describe_death(exit_code: int | None, killed_before: int) -> str:
    """``was killed by the system for want of memory (SIGKILL)``, ``crashed (SIGSEGV)``, ``ended with exit code 3``.

    ``exit_code`` is a process's: negative for a signal; shells say 128 + signal. ``killed_before`` is
    ``kills_for_memory`` from before.
    """
    if exit_code is None:
        return "was lost"
    number = -exit_code if exit_code < 0 else exit_code - 128 if exit_code > 128 else 0
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"ended with exit code {exit_code}"
    if number == signal.SIGKILL:
        if kills_for_memory() > killed_before:
            return "was killed by the system for want of memory (SIGKILL)"
        return "was killed (SIGKILL; by hand, or by a scheduler or a container for want of memory)"
    crashes = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE)
    return f"{'crashed' if number in crashes else 'was ended'} ({name})"
