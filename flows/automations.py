"""What the server does by itself: a run whose process has died becomes Crashed, and a failure can call a hook."""

from __future__ import annotations

import os
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.events import EventTrigger
from prefect.events.actions import ChangeFlowRunState, RunDeployment, SendNotification
from prefect.events.schemas.automations import AutomationCore, Posture

LOST_SECONDS = "XLMR_LOST_SECONDS"
"""Environment variable: after so many seconds without a heartbeat the process of a run is taken for dead. 90 unless
set: three heartbeats of 30 seconds, than which Prefect takes no fewer."""
NOTIFICATION_BLOCK = "XLMR_NOTIFICATION_BLOCK"
"""Environment variable: the id of a notification block (Slack, e-mail, …) that failed runs are sent to."""
CHAIN = "XLMR_CHAIN"
"""Environment variable: a configuration whose packages start one another, as corpus starts tokenizer."""
PACKAGES = ("corpus", "tokenizer", "pretrain", "finetune", "report")


def zombies(seconds: int = 90) -> AutomationCore:
    """A run that has sent heartbeats and sends no more, and has not ended, is Crashed after so many seconds."""
    trigger = EventTrigger(
        after={"prefect.flow-run.heartbeat"},
        expect={
            "prefect.flow-run.heartbeat",
            *(f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")),
            *(f"prefect.flow-run.{state}" for state in ("Suspended", "Paused", "AwaitingRetry", "Scheduled")),
        },
        match={"prefect.resource.id": ["prefect.flow-run.*"]},
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=seconds),
    )
    action = ChangeFlowRunState(
        state=StateType.CRASHED, message="The process of this run has died. Retry resumes after what is complete."
    )
    return AutomationCore(name="xlmr: runs whose process has died", trigger=trigger, actions=[action])


def failures(block: str) -> AutomationCore:
    """A failed or crashed run is sent to the notification block."""
    trigger = EventTrigger(
        expect={"prefect.flow-run.Failed", "prefect.flow-run.Crashed"},
        match={"prefect.resource.id": ["prefect.flow-run.*"]},
        for_each={"prefect.resource.id"},
        posture=Posture.Reactive,
        threshold=1,
    )
    action = SendNotification(
        block_document_id=UUID(block),
        subject="xlmr: {{ flow_run.name }} is {{ flow_run.state.name }}",
        body="{{ flow_run.state.message }}\n{{ flow_run|ui_url }}",
    )
    return AutomationCore(name="xlmr: failed runs", trigger=trigger, actions=[action])


def chain(before: str, after: str, before_id: Any, after_id: Any, configuration: str) -> AutomationCore:
    """A completed run of one deployment starts the next."""
    trigger = EventTrigger(
        expect={"prefect.flow-run.Completed"},
        match_related={
            "prefect.resource.id": [f"prefect.deployment.{before_id}"],
            "prefect.resource.role": ["deployment"],
        },
        posture=Posture.Reactive,
        threshold=1,
    )
    action = RunDeployment(source="selected", deployment_id=after_id)
    return AutomationCore(name=f"xlmr: {before} starts {after} ({configuration})", trigger=trigger, actions=[action])


def put_automations() -> list[str]:
    """Create them, or bring those of the same name up to date; give their names."""
    with get_client(sync_client=True) as client:
        wanted = [zombies(int(os.environ.get(LOST_SECONDS, "90")))]
        if block := os.environ.get(NOTIFICATION_BLOCK):
            wanted.append(failures(block))
        if configuration := os.environ.get(CHAIN):
            ids = {name: client.read_deployment_by_name(f"{name}/{configuration}").id for name in PACKAGES}
            pairs = pairwise(PACKAGES)
            wanted += [chain(a, b, ids[a], ids[b], configuration) for a, b in pairs]
        for automation in wanted:
            same = [one for one in _automations(client) if one["name"] == automation.name]
            body = automation.model_dump(mode="json", exclude={"owner_resource"})
            if same:
                body["enabled"] = same[0]["enabled"]  # a person may have switched it off
                client.request("PUT", "/automations/{id}", path_params={"id": same[0]["id"]}, json=body)
            else:
                client.request("POST", "/automations/", json=body)
    return [automation.name for automation in wanted]


def _automations(client: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.request("POST", "/automations/filter", json={"limit": 200}).json()
    return found
