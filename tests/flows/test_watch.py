"""Which states on the server end the process of a run."""

from __future__ import annotations

import os
from typing import Any
from uuid import uuid4

from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Cancelled, Cancelling, Crashed, Running, Scheduled, Suspended


def run_with(state: State[Any], process: str | None = None) -> FlowRun:
    return FlowRun(flow_id=uuid4(), state=state, infrastructure_pid=process)


def test_running_continues_and_other_states_end() -> None:
    from flows.watch import _Watch

    watch = _Watch(uuid4())
    continues: list[State[Any]] = [Running(), Running(name="AwaitingConcurrencySlot"), Running(name="Retrying")]
    for running in continues:
        assert watch._has_ended(run_with(running)) is None
    ends: list[State[Any]] = [Suspended(), Cancelled(), Crashed(), Scheduled()]
    for ended in ends:
        assert watch._has_ended(run_with(ended)) is ended


def test_cancelling_is_left_to_the_worker_for_a_while() -> None:
    from flows.watch import LOOKS_WHILE_CANCELLING, _Watch

    watch = _Watch(uuid4())
    looks = [watch._has_ended(run_with(Cancelling())) for _ in range(LOOKS_WHILE_CANCELLING + 1)]
    assert looks[:-1] == [None] * LOOKS_WHILE_CANCELLING
    assert looks[-1] is not None


def test_process_of_a_later_try_ends_this_one() -> None:
    from flows.watch import _Watch

    watch, own = _Watch(uuid4()), str(os.getpid())
    for process in (None, "1", own):  # none yet, that of the try before, ours
        assert watch._has_ended(run_with(Running(), process)) is None
    assert watch._has_ended(run_with(Running(), "2")) is not None
