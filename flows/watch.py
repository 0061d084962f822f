"""A flow run's process ends when the server no longer says that the run is running.

Prefect's worker ends a run that is cancelled. Here is what no worker does: a run that is suspended ends at once rather
than after its stage, and so does one whose worker has died, or that the server has taken for dead and started again.
"""

from __future__ import annotations

import contextvars
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import Abort, ObjectNotFound, Pause
from prefect.runtime import flow_run
from prefect.states import Cancelled

LOOK_SECONDS = float(os.environ.get("XLMR_WATCH_SECONDS", "10"))
"""Between two looks at the state on the server."""
LOOKS_WHILE_CANCELLING = 4
"""So many looks a worker has time to end a run that is being cancelled."""

_watched: contextvars.ContextVar[bool] = contextvars.ContextVar("watched", default=False)


class RunEndedError(KeyboardInterrupt):
    """The server says that this run has ended. Stages end as by an interrupt from the keyboard."""


class _Watch:
    def __init__(self, run: UUID) -> None:
        self._run = run
        self._is_known = False
        self._looks_while_cancelling = 0
        self._stop = threading.Event()
        self.ended: State[Any] | None = None
        context = contextvars.copy_context()  # with the server's address
        self.thread = threading.Thread(target=context.run, args=(self._look,), daemon=True, name="watch")

    def stop(self) -> None:
        """Wait until no look is under way, for as long as the server takes to answer or not."""
        self._stop.set()
        self.thread.join()

    def _look(self) -> None:
        with get_client(sync_client=True) as client:
            while not self._stop.wait(LOOK_SECONDS):
                try:
                    run = client.read_flow_run(self._run)
                except ObjectNotFound:
                    ended: State[Any] | None = Cancelled(message="the run was deleted")
                except (httpx.HTTPError, OSError):
                    continue  # the server is away; the run continues
                else:
                    ended = self._has_ended(run)
                if ended is not None:
                    self.ended = ended
                    os.kill(os.getpid(), signal.SIGUSR1)
                    return

    def _has_ended(self, run: FlowRun) -> State[Any] | None:
        """The state that ends this process, if it has to end."""
        # A worker for processes notes ours some time after it has begun. Another later is a later try.
        is_ours = run.infrastructure_pid == str(os.getpid())
        self._is_known = self._is_known or is_ours
        state = run.state
        if state is None or (state.is_running() and (is_ours or not self._is_known)):
            return None
        if state.is_cancelling():
            self._looks_while_cancelling += 1
            return state if self._looks_while_cancelling > LOOKS_WHILE_CANCELLING else None
        return state


@contextmanager
def watched() -> Iterator[None]:
    """While the block runs, end it with Prefect's Pause or Abort once the server says that the run has ended."""
    if _watched.get() or threading.current_thread() is not threading.main_thread():
        yield  # a subflow, or a caller whose main thread does other things
        return
    watch = _Watch(UUID(str(flow_run.get_id())))

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise RunEndedError

    before = signal.signal(signal.SIGUSR1, interrupt)
    token = _watched.set(True)
    watch.thread.start()
    try:
        yield
    except RunEndedError:
        assert watch.ended is not None, "the signal comes after the state"
        _end_as(watch.ended)
    finally:
        # Once no look is under way, no signal can come; one that has just come is taken by the handler.
        signal.signal(signal.SIGUSR1, lambda number, frame: None)
        watch.stop()
        _watched.reset(token)
        signal.signal(signal.SIGUSR1, before)


def _end_as(state: State[Any]) -> None:
    if state.is_paused():
        raise Pause(state=state)
    if state.is_cancelling():
        with get_client(sync_client=True) as client:
            done: State[Any] = Cancelled(message="cancelled; its worker was gone, the process has ended by itself")
            client.set_flow_run_state(UUID(str(flow_run.get_id())), done, force=True)
    raise Abort(f"the run is {state.name} on the server")
