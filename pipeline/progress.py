"""Progress of long tasks: a bar on a terminal, a plain line every few seconds elsewhere, events in the log always."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pipeline.formatting import duration
from pipeline.log import EventLog
from pipeline.terminal import is_quiet, say

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

PLAIN_SECONDS = 10.0
"""Between two lines, which a tracker of runs may store: one that is read by people needs no more."""


class ProgressBar:
    """Count up to ``total`` units (None when unknown) with a note beside it. Used as a context manager."""

    def __init__(self, label: str, total: float | None, unit: str, log: EventLog) -> None:
        self._label, self._total, self._unit, self._log = label, total, unit, log
        self._done = self._kept = 0.0
        self._note = self._phase = ""
        self._last = self._start = time.monotonic()
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> ProgressBar:
        self._note_progress()
        if sys.stderr.isatty() and not is_quiet():
            self._bar = _make_bar()
            self._bar.start()
            self._task = self._bar.add_task(self._label, total=self._total, unit=self._unit, note="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif kind is None and self._last > self._start:
            self._print()

    def begin_at(self, amount: float, note: str) -> None:
        """Say that ``amount`` units were done before: they count as done, not into the rate."""
        self._kept += amount
        self.advance(amount, note)

    def advance(self, amount: float = 1, note: str = "") -> None:
        """Say that ``amount`` more units are done."""
        self._done += amount
        self._note = note or self._note
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done, note=self._note)
        if time.monotonic() - self._last >= PLAIN_SECONDS:
            self._last = time.monotonic()
            self._note_progress()
            if self._bar is None:
                self._print()

    def show(self, phase: str, done: float, total: float | None, unit: str, note: str = "") -> None:
        """Say which phase of a task runs, and how far it is; with ``total`` None only its time is known."""
        if phase != self._phase:
            self._phase, self._start = phase, time.monotonic()
            if self._bar is not None and self._task is not None:
                self._bar.remove_task(self._task)  # resetting one does not take away its total
                self._task = self._bar.add_task(self._title, total=total, unit=unit, note="")
        self._total, self._unit, self._done, self._note = total, unit, done, note
        self.advance(0)

    def _note_progress(self) -> None:
        left = self._seconds_left()
        self._log.event(
            "progress", task=self._title, done=self._done, total=self._total, seconds_left=left, note=self._note
        )

    def _seconds_left(self) -> float | None:
        """By the rate so far; None before anything is done, at the end, and where the end is not known."""
        rate, more = self.rate_of(self._done - self._kept), (self._total or 0.0) - self._done
        return round(more / rate, 1) if rate > 0 and more > 0 else None

    @property
    def _title(self) -> str:
        return f"{self._label} {self._phase}".strip()

    def rate_of(self, amount: float) -> float:
        """``amount`` a second since the start."""
        return amount / max(time.monotonic() - self._start, 1e-9)

    def _print(self) -> None:
        if self._phase and self._total is None:
            note = f" · {self._note}" if self._note else ""
            passed = duration(time.monotonic() - self._start)
            say(f"  {self._label}: {self._phase} for {passed}{note}")
            return
        of = f" of {self._total:,.0f}" if self._total is not None else ""
        note = f" · {self._note}" if self._note else ""
        rate = self.rate_of(self._done - self._kept)
        seconds = self._seconds_left()
        left = "" if seconds is None else f" · {duration(seconds)} left"
        say(f"  {self._title}: {self._done:,.0f}{of} {self._unit} · {rate:,.1f}/s{left}{note}")


def _make_bar() -> Any:
    from rich import progress
    from rich.console import Console

    return progress.Progress(
        progress.TextColumn("  {task.description}"),
        progress.BarColumn(),
        progress.TextColumn("{task.completed:,.0f}"),
        progress.TextColumn("{task.fields[unit]}"),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
        transient=True,
    )
