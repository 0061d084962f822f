"""One flow run a project at a time, across all deployments: the next waits in state AwaitingConcurrencySlot.

The lock is a lease file in the project's folder, as of every writer (pipeline/lease.py): a process that has died holds
nothing, and a restart of the server changes nothing. A run of the command line is waited for as well.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import get_run_logger
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, StateType
from prefect.runtime import flow_run
from prefect.states import Running

from pipeline.config import Section
from pipeline.lease import Lease, describe_owner, live_owner
from pipeline.prune import running_path
from pipeline.run_settings import project_folder

LOOK_SECONDS = 3.0
WAITING = "AwaitingConcurrencySlot"

_locked: ContextVar[frozenset[Path]] = ContextVar("locked", default=frozenset())


@contextmanager
def project_lock(config: Section) -> Iterator[None]:
    """Hold the project's lock while the block runs, and wait for it before. A subflow shares that of its parent."""
    project = project_folder(config).absolute()
    if project in _locked.get():
        yield
        return
    path = running_path(project).with_name("flow.lease")
    lease = Lease(path, {"outputs": [], "flow_run": str(flow_run.get_name())})
    _wait_for_lock(lease, path, project.name)
    token = _locked.set(_locked.get() | {project})
    try:
        yield
    finally:
        _locked.reset(token)
        lease.release()


def _wait_for_lock(lease: Lease, path: Path, project: str) -> None:
    said = ""
    while (owner := lease.take()) is not None:
        said = _say(project, owner, said)
        time.sleep(LOOK_SECONDS)
    try:
        while (owner := _command_under_way(path)) is not None:
            said = _say(project, owner, said)
            time.sleep(LOOK_SECONDS)
        if said:
            _set_state(Running())
    except BaseException:
        lease.release()
        raise


def _command_under_way(path: Path) -> dict[str, Any] | None:
    """Who else runs stages of the project, as ``xlmr run`` does."""
    others = (live_owner(lease) for lease in sorted(path.parent.glob("*.lease")) if lease != path)
    return next((owner for owner in others if owner is not None), None)


def _say(project: str, owner: dict[str, Any], said: str) -> str:
    who = describe_owner(owner)
    if "flow_run" in owner:
        who = f"flow run '{owner['flow_run']}' ({who})"
    line = f"project {project} is in use by {who}; this run begins when that has ended"
    if line != said:
        get_run_logger().info(line)
        _set_state(State(type=StateType.RUNNING, name=WAITING, message=line))
    return line


def _set_state(state: State[Any]) -> None:
    # The server refuses it where a person has cancelled the run in the meantime.
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(UUID(str(flow_run.get_id())), state)
