"""How long the network is waited for: as long as it takes, or within a limit, as when a plan is made."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from pipeline.errors import UnreachableError

Answer = TypeVar("Answer")

PLAN_SECONDS = 10.0
"""What ``xlmr plan`` waits for the network, in all."""
QUIET_SECONDS = 1.0
"""A wait that is longer says what it is for."""


class _Patience:
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.left = seconds


_patience: ContextVar[_Patience | None] = ContextVar("patience", default=None)


@contextmanager
def waiting_at_most(seconds: float) -> Iterator[None]:
    """Within the block, all calls of ``ask`` together wait no longer than this."""
    token = _patience.set(_Patience(seconds))
    try:
        yield
    finally:
        _patience.reset(token)


def ask(what: str, function: Callable[[], Answer]) -> Answer:
    """What ``function`` returns or raises, which asks the network for ``what``.

    Errors: UnreachableError where the answer does not come within the limit of ``waiting_at_most``; it is given up
    then, in a thread that ends with the process.
    """
    patience = _patience.get()
    if patience is None:
        return function()
    answers: list[Answer] = []
    errors: list[BaseException] = []

    def answer() -> None:
        try:
            answers.append(function())
        except BaseException as error:  # raised again where it was asked
            errors.append(error)

    thread = threading.Thread(target=answer, daemon=True)
    began = time.monotonic()
    thread.start()
    thread.join(min(QUIET_SECONDS, patience.left))
    if thread.is_alive() and patience.left > QUIET_SECONDS:
        print(f"waiting for {what}, {patience.left:.0f} s at most", file=sys.stderr, flush=True)
        thread.join(patience.left - QUIET_SECONDS)
    patience.left = max(patience.left - (time.monotonic() - began), 0.0)
    if errors:
        raise errors[0]
    if not answers:
        problem = f"{what}: no answer within {patience.seconds:g} s, and a plan waits no longer"
        raise UnreachableError(problem, "xlmr run waits and tries again; check the address and the network")
    return answers[0]
