"""What state a run is in after its process is killed, or while another has its project."""

from __future__ import annotations

import pytest
from prefect_service import Held, PrefectService, wait_for

pytestmark = pytest.mark.slow


def test_second_run_of_a_project_waits_whatever_its_deployment(service: PrefectService) -> None:
    held = Held(service, "shared")
    first = held.begun()
    held.deployment = "demo"
    second = held.submit()
    wait_for(lambda: service.state(second) == "AwaitingConcurrencySlot")
    assert "project shared is in use by flow run 'full of shared: toy.write' (process" in service.message(second)
    service.engine(first).kill()  # the worker says so at once, and a dead process holds nothing
    service.ended_as(first, "Crashed")
    held.go.touch()
    service.ended_as(second, "Completed")
    service.set_state(first, "SCHEDULED", "AwaitingRetry")
    service.ended_as(first, "Completed", but=("Crashed",))
    service.has_only_services()


def test_suspended_run_ends_at_once_and_resumes(service: PrefectService) -> None:
    held = Held(service, "suspended")
    run = held.begun()
    details = {"pause_reschedule": True}
    body = {"state": {"type": "PAUSED", "name": "Suspended", "state_details": details}}
    assert service.ask("POST", f"/flow_runs/{run}/set_state", body)["status"] == "ACCEPT"
    service.has_only_services()
    assert service.state(run) == "Suspended"
    marks = held.marks()
    held.go.touch()
    service.ask("POST", f"/flow_runs/{run}/resume", {})
    service.ended_as(run, "Completed")
    assert marks <= held.marks()
