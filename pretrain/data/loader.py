"""Batches ahead of time: a thread draws and masks the next ones while the model works on this one.

The stream's position is the number of the step, so nothing of what is prepared ahead has to be remembered.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from pretrain.data.masking import MaskedBatch, Masker
from pretrain.data.stream import Drawn

AHEAD = 2
"""Global batches that are ready or being made besides the one in use."""


class Batches(Protocol):
    """A stream of global batches by number."""

    def batch(self, number: int) -> Drawn:
        """This rank's part of global batch ``number``."""


@dataclass(frozen=True)
class Prepared:
    """A rank's part of a global batch: ``step`` is its number; what was drawn, and the same masked."""

    step: int
    drawn: Drawn
    masked: MaskedBatch


class Loader:
    """Draws and masks. The same (seed, step, row) gives the same masks on whatever rank."""

    def __init__(self, stream: Batches, masker: Masker) -> None:
        self._stream, self._masker = stream, masker

    def prepare(self, step: int) -> Prepared:
        """The batch of one step."""
        drawn = self._stream.batch(step)
        return Prepared(step, drawn, self._masker.mask(drawn.ids, step, drawn.rows))

    def between(self, start: int, stop: int) -> Iterator[Prepared]:
        """The batches start … stop - 1, made by a thread. Errors: what drawing them raises, in their turn."""
        ready: queue.Queue[Prepared | BaseException] = queue.Queue(AHEAD - 1)
        left = threading.Event()
        thread = threading.Thread(target=self._fill, args=(ready, left, start, stop), name="loader", daemon=True)
        thread.start()
        try:
            for _ in range(start, stop):
                item = ready.get()
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            left.set()
            while thread.is_alive():  # it may be waiting for space
                with suppress(queue.Empty):
                    ready.get_nowait()
                thread.join(0.01)

    def _fill(self, ready: queue.Queue[Prepared | BaseException], left: threading.Event, start: int, stop: int) -> None:
        for step in range(start, stop):
            if left.is_set():
                return
            try:
                ready.put(self.prepare(step))
            except BaseException as error:  # raised again where the batch is taken
                ready.put(error)
                return


def measure_loader(loader: Loader, seconds: float = 3.0) -> float:
    """Tokens a second that drawing and masking alone give, by one thread; what a GPU takes should be far below."""
    tokens, step, started = 0, 0, time.perf_counter()
    while True:
        tokens += loader.prepare(step).masked.ids.size
        step += 1
        spent = time.perf_counter() - started
        if spent >= seconds:
            return tokens / spent
