"""Tasks of a process that was killed: it could not say so, and the server would show them as Running for good."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from prefect import Flow, State
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterParentFlowRunId,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Crashed

UNDER_WAY = [StateType.PENDING, StateType.RUNNING]


def crash_tasks_of(run: UUID) -> None:
    """Make Crashed what a flow run, or a subflow of it, has under way: to be called when nothing of it can be."""
    under_way = TaskRunFilter(state=TaskRunFilterState(type=TaskRunFilterStateType(any_=UNDER_WAY)))
    subflows = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run]))
    with get_client(sync_client=True) as client:
        runs = [run, *(one.id for one in client.read_flow_runs(flow_run_filter=subflows))]
        of_runs = FlowRunFilter(id=FlowRunFilterId(any_=runs))
        for one in client.read_task_runs(flow_run_filter=of_runs, task_run_filter=under_way):
            client.set_task_run_state(one.id, Crashed(message="the process of the run has ended"), force=True)


def crash_tasks(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """A hook of Prefect, which a worker calls too when the process of a run has died."""
    crash_tasks_of(flow_run.id)
