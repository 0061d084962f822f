"""Calls of the ranks' store, each with a deadline.

Over a link that is cut, a call waits for the operating system, which gives up after a quarter of an hour.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from torch.distributed.distributed_c10d import Store

Answer = TypeVar("Answer")

STORE_SECONDS = 30
"""A call that takes longer is given up, and the store with it."""


class StoreLostError(RuntimeError):
    """The store has not answered in time. A RuntimeError, as what PyTorch raises for a connection that is closed."""


class StoreCalls:
    """A store that answers within ``STORE_SECONDS`` or never again. The calls are made by a thread of their own."""

    def __init__(self, store: Store) -> None:
        self._store, self._lost = store, False
        self._calls: queue.SimpleQueue[tuple[Callable[[Store], Any], queue.SimpleQueue[Any]]] = queue.SimpleQueue()
        threading.Thread(target=self._work, daemon=True, name="store").start()

    def __call__(self, function: Callable[[Store], Answer]) -> Answer:
        """What ``function`` gives of the store. Errors: StoreLostError; RuntimeError where the store has ended."""
        answer: queue.SimpleQueue[Any] = queue.SimpleQueue()
        if not self._lost:
            self._calls.put((function, answer))
        for _ in range(0 if self._lost else STORE_SECONDS):  # counted, so that a process that was stopped is no reason
            try:
                found = answer.get(timeout=1)
            except queue.Empty:
                continue
            if isinstance(found, Exception):
                raise found
            given: Answer = found
            return given
        self._lost = True
        raise StoreLostError(f"the host of the launcher's address has not answered for {STORE_SECONDS} s")

    def _work(self) -> None:
        while True:
            function, answer = self._calls.get()
            try:
                answer.put(function(self._store))
            except Exception as error:
                answer.put(error)
