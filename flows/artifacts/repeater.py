"""Something that is done again and again beside the work of a task."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

import httpx

from pipeline.errors import XlmrError


class Repeater:
    """Call ``look`` every so many seconds while the block runs, as a part of the current run."""

    def __init__(self, seconds: float, name: str) -> None:
        self._seconds = seconds
        self._stop = threading.Event()
        context = contextvars.copy_context()  # says which task run an artifact belongs to
        self._thread = threading.Thread(target=context.run, args=(self._repeat,), daemon=True, name=name)

    def look(self) -> None:
        """What is done each time."""
        raise NotImplementedError

    def finish(self) -> None:
        """What is done once at the end of a block that raises nothing."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if kind is None:
            _attempt(self.finish)

    def _repeat(self) -> None:
        while not self._stop.wait(self._seconds):
            _attempt(self.look)


def _attempt(action: Callable[[], None]) -> None:
    # What it shows can be shown the next time: the server may be away, a file half written.
    with suppress(httpx.HTTPError, XlmrError, OSError, LookupError, ValueError):
        action()
