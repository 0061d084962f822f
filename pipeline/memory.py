"""Peak memory of this process and its children, sampled: the proportional share, so that mapped models count once.

The system walks all pages of a process to tell its share: 45 ms of a processor for a run with two workers that mine.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import TracebackType

SAMPLE_SECONDS = 0.25
"""Between two samples, or longer where they cost more."""
MOST_OF_A_PROCESSOR = 0.02
"""What sampling may take of one processor."""


class PeakMemory:
    """Sample while the block runs; ``bytes`` is the highest sum seen."""

    def __init__(self) -> None:
        self.bytes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="peak memory")

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._sample()

    def _watch(self) -> None:
        seconds = 0.0
        while not self._stop.wait(seconds):
            began = time.thread_time()
            self._sample()
            seconds = seconds_between(time.thread_time() - began)

    def _sample(self) -> None:
        import psutil

        me = psutil.Process()
        self.bytes = max(self.bytes, sum(_share_of(process.pid) for process in [me, *me.children(recursive=True)]))


def seconds_between(cost: float) -> float:
    """Until the next sample, after one that took ``cost`` processor seconds."""
    return max(SAMPLE_SECONDS, cost / MOST_OF_A_PROCESSOR)


def _share_of(pid: int) -> int:
    """Proportional set size in bytes (Linux); 0 for a process that has gone or a system that does not tell."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return 0
