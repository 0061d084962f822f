"""What the server does by itself: a run whose process has died becomes Crashed, and a failure can call a hook."""

from __future__ import annotations

import os
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import StateType
from prefect.events import Event, EventTrigger, Resource
from prefect.events.actions import ChangeFlowRunState, RunDeployment, SendNotification
from prefect.events.schemas.automations import AutomationCore, Posture
from prefect.exceptions import ObjectNotFound

from flows.complete import COMPLETE, CONFIGURATION, resource_of
from pipeline.errors import UsageError

LOST_SECONDS = "XLMR_LOST_SECONDS"
"""Environment variable: after so many seconds without a heartbeat the process of a run is taken for dead. 90 unless
set: three heartbeats of 30 seconds, than which Prefect takes no fewer."""
BEGIN_SECONDS = "XLMR_BEGIN_SECONDS"
"""Environment variable: a run that a worker has taken, and that has not begun after so many seconds, is taken for dead.
100 unless set, for pools of type process; else any time, for containers may wait long for an image or a GPU."""
RETRY_SECONDS = "XLMR_RETRY_SECONDS"
"""Environment variable: how long after its process has died a run is tried again, at first and later. 60,300 unless
set."""
TRIES_OF_A_DELAY = 3
LEAST_SECONDS = 10
"""Prefect waits no less for an event that does not come."""
OURS = "xlmr: "
"""How the names of our automations begin."""
DIED = "The process of this run has died."
FOUND = "xlmr.flow-run.found."
"""Event: this run is in this state after a start of the server, which forgets events that came just before its end."""
ENDS = tuple(f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed"))
WAITS = tuple(
    f"prefect.flow-run.{state}"
    for state in ("Suspended", "Paused", "AwaitingRetry", "Scheduled", "AwaitingConcurrencySlot")
)
NOTIFICATION_BLOCK = "XLMR_NOTIFICATION_BLOCK"
"""Environment variable: the id of a notification block (Slack, e-mail, …) that failed runs are sent to."""
CHAIN = "XLMR_CHAIN"
"""Environment variable: configurations, with commas between, whose packages start one another, as corpus starts
tokenizer."""
PACKAGES = ("corpus", "tokenizer", "pretrain", "finetune", "report")


def _missing(name: str, after: set[str], expect: set[str], seconds: int, action: ChangeFlowRunState) -> AutomationCore:
    """The action is taken if none of the expected events of a run comes for so many seconds after the others."""
    trigger = EventTrigger(
        after=after,
        expect=expect,
        match={"prefect.resource.id": ["prefect.flow-run.*"]},
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=seconds),
    )
    return AutomationCore(name=name, trigger=trigger, actions=[action])


def zombies(seconds: int = 90) -> AutomationCore:
    """A run that has sent heartbeats and sends no more, and has not ended, is Crashed after so many seconds."""
    heartbeat = "prefect.flow-run.heartbeat"
    message = f"{DIED} Retry resumes after what is complete."
    action = ChangeFlowRunState(state=StateType.CRASHED, message=message)
    # What is being cancelled becomes Cancelled, by the server itself if by nobody else.
    expected = {heartbeat, *ENDS, *WAITS, "prefect.flow-run.Cancelling"}
    after = {heartbeat, FOUND + StateType.RUNNING.value}
    return _missing(f"{OURS}runs whose process has died", after, expected, seconds, action)


def never_begun(seconds: int = 100) -> AutomationCore:
    """A run that a worker has taken, and that does not begin, is Crashed after so many seconds."""
    pending = {f"prefect.flow-run.{state}" for state in ("Pending", "Submitting", "InfrastructurePending")}
    taken = {*pending, FOUND + StateType.PENDING.value}
    action = ChangeFlowRunState(state=StateType.CRASHED, message=f"{DIED} It had not begun.")
    begun = {f"prefect.flow-run.{sign}" for sign in ("Running", "Retrying", "heartbeat", "Cancelling")}
    return _missing(f"{OURS}runs that have not begun", taken, {*begun, *ENDS, *WAITS}, seconds, action)


def retry(number: int, seconds: int) -> AutomationCore:
    """A run whose process has died is scheduled again after so many seconds, three times for each ``number``.

    The server counts each change to a running state, and a run that waits for its project makes more of them.
    """
    last = TRIES_OF_A_DELAY * number
    first = last - TRIES_OF_A_DELAY + (number > 1)  # a run that has not begun has the count 0
    trigger = EventTrigger(
        after={"prefect.flow-run.Crashed"},
        expect={"prefect.flow-run.Crashed"},
        match={
            "prefect.resource.id": ["prefect.flow-run.*"],
            "prefect.run-count": [str(count) for count in range(first, last + 1)],
            "prefect.state-message": [f"{DIED}*"],
        },
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=seconds),
    )
    message = f"Its process had died; tried again after {seconds} s"
    action = ChangeFlowRunState(state=StateType.SCHEDULED, name="AwaitingRetry", message=message)
    return AutomationCore(name=f"{OURS}runs that have died, delay {number}", trigger=trigger, actions=[action])


def failures(block: UUID) -> AutomationCore:
    """A failed or crashed run is sent to the notification block."""
    trigger = EventTrigger(
        expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed"},
        match={"prefect.resource.id": ["prefect.flow-run.*"]},
        for_each={"prefect.resource.id"},
        posture=Posture.Reactive,
        threshold=1,
    )
    action = SendNotification(
        block_document_id=block,
        subject="xlmr: {{ flow_run.name }} is {{ flow_run.state.name }}",
        body="{{ flow_run.state.message }}\n{{ flow_run|ui_url }}",
    )
    return AutomationCore(name=f"{OURS}failed runs", trigger=trigger, actions=[action])


def chain(before: str, after: str, after_id: UUID, configuration: str) -> AutomationCore:
    """A package that is complete starts the deployment of the next, for the same project and overrides."""
    trigger = EventTrigger(
        expect={COMPLETE},
        match={"prefect.resource.id": [resource_of(before)], CONFIGURATION: [configuration]},
        posture=Posture.Reactive,
        threshold=1,
    )
    parameters = {
        "project": _of_event("project"),
        "overrides": {"__prefect_kind": "json", "value": _of_event("overrides | tojson")},
    }
    action = RunDeployment(source="selected", deployment_id=after_id, parameters=parameters)
    return AutomationCore(name=f"{OURS}{before} starts {after} ({configuration})", trigger=trigger, actions=[action])


def _of_event(name: str) -> dict[str, str]:
    """What the event that starts an automation says, in the words of Prefect's templates."""
    return {"__prefect_kind": "jinja", "template": f"{{{{ event.payload.{name} }}}}"}


def _block(client: SyncPrefectClient, text: str) -> UUID:
    """The id of a block. Errors: UsageError where the server has none of it."""
    try:
        block = UUID(text)
        client.read_block_document(block, include_secrets=False)
    except (ValueError, ObjectNotFound):
        problem = f"{NOTIFICATION_BLOCK}={text}: the server has no such block"
        raise UsageError(problem, "give the id of one, as `prefect block ls` prints it") from None
    return block


def _chains(client: SyncPrefectClient, configuration: str) -> list[AutomationCore]:
    """One for each package but the last. Errors: UsageError where a package has no deployment."""
    found = []
    for before, after in pairwise(PACKAGES):
        try:
            deployment = client.read_deployment_by_name(f"{after}/{configuration}")
        except ObjectNotFound:
            problem = f"{CHAIN}: there is no deployment {after}/{configuration}"
            raise UsageError(problem, "give it an entry in prefect.yaml, or name another configuration") from None
        found.append(chain(before, after, deployment.id, configuration))
    return found


def put_automations(pool_type: str = "process") -> list[str]:
    """Create them, or bring those of the same name up to date, and remove what is not asked for now; give their names.

    Errors: UsageError for a number or a configuration that there is not.
    """
    with get_client(sync_client=True) as client:
        wanted = _wanted(client, pool_type)
        there = {one["name"]: one for one in _automations(client) if one["name"].startswith(OURS)}
        for name in there.keys() - {automation.name for automation in wanted}:  # its setting is not there any more
            client.request("DELETE", "/automations/{id}", path_params={"id": there[name]["id"]})
        for automation in wanted:
            _put(client, automation, there.get(automation.name))
    return [automation.name for automation in wanted]


def _wanted(client: SyncPrefectClient, pool_type: str) -> list[AutomationCore]:
    """What the environment asks for."""
    wanted = [zombies(_one_number(LOST_SECONDS, "90"))]
    if pool_type == "process" or BEGIN_SECONDS in os.environ:
        wanted.append(never_begun(_one_number(BEGIN_SECONDS, "100")))
    wanted += [retry(number, delay) for number, delay in enumerate(_seconds(RETRY_SECONDS, "60,300"), 1)]
    if block := os.environ.get(NOTIFICATION_BLOCK):
        wanted.append(failures(_block(client, block)))
    for configuration in filter(None, map(str.strip, os.environ.get(CHAIN, "").split(","))):
        wanted += _chains(client, configuration)
    return wanted


def _put(client: SyncPrefectClient, automation: AutomationCore, same: dict[str, Any] | None) -> None:
    body = automation.model_dump(mode="json", exclude={"owner_resource"})
    if same is None:
        client.request("POST", "/automations/", json=body)
        return
    body["enabled"] = same["enabled"]  # a person may have switched it off
    # A change makes the server forget what it waits for: a run that was to be tried again would not be.
    if _without_ids(AutomationCore.model_validate(same).model_dump(mode="json")) != _without_ids(body):
        client.request("PUT", "/automations/{id}", path_params={"id": same["id"]}, json=body)


def _seconds(variable: str, default: str) -> list[int]:
    """Numbers of seconds in an environment variable. Errors: UsageError for what Prefect does not take."""
    text = os.environ.get(variable, default)
    try:
        found = [int(word) for word in text.split(",") if word.strip()]
    except ValueError:
        found = [0]
    if any(seconds < LEAST_SECONDS for seconds in found):
        raise UsageError(f"{variable}={text}: not seconds of at least {LEAST_SECONDS}", f"example: {default}")
    return found


def find_runs() -> int:
    """Begin to wait for a sign of life of each run that is not over; give their number.

    Only runs of the deployments of prefect.yaml are meant, all of which send heartbeats.
    """
    states = [StateType.RUNNING.value, StateType.PENDING.value]
    wanted = {"tags": {"all_": ["xlmr"]}, "state": {"type": {"any_": states}}}
    with get_client(sync_client=True) as client:
        found = client.request("POST", "/flow_runs/filter", json={"flow_runs": wanted}).json()
        events = [
            Event(
                event=FOUND + run["state_type"],
                resource=Resource({"prefect.resource.id": f"prefect.flow-run.{run['id']}"}),
            ).model_dump(mode="json")
            for run in found
        ]
        if events:
            client.request("POST", "/events", json=events)
    return len(events)


def _one_number(variable: str, default: str) -> int:
    """One number of seconds in an environment variable. Errors: UsageError for none and for several."""
    found = _seconds(variable, default)
    if len(found) != 1:
        raise UsageError(f"{variable}={os.environ[variable]}: not one number of seconds", f"example: {default}")
    return found[0]


def _without_ids(value: Any) -> Any:
    """What an automation asks for: each trigger gets a new id wherever it is made, and sets have no order."""
    if isinstance(value, dict):
        return {name: _without_ids(one) for name, one in value.items() if name not in {"id", "owner_resource"}}
    if isinstance(value, list):
        return sorted((_without_ids(one) for one in value), key=repr)
    return value


def _automations(client: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.request("POST", "/automations/filter", json={"limit": 200}).json()
    return found
