"""What state a run is in after its processes are killed, stopped, suspended or held up; what is left of it."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from prefect_service import BESIDE, Held, PrefectService, wait_for

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


def test_run_waits_for_a_run_of_the_command_line(service: PrefectService) -> None:
    held = Held(service, "command")
    settings = ["--run.project", "command", "--toy.numbers.go_file", str(held.go)]
    words = [sys.executable, "-m", "pipeline", "run", "configs/demo.yaml", "--only", "toy.write", *settings]
    command = subprocess.Popen(words, cwd=service.folder, env=service.environment, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: len(held.marks()) >= 2)
        run = held.submit()
        wait_for(lambda: service.state(run) == "AwaitingConcurrencySlot")
        assert f"in use by process {command.pid} on" in service.message(run)
        held.go.touch()
        assert command.wait(timeout=240) == 0
    finally:
        command.kill()
        command.wait()
    service.ended_as(run, "Completed")


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


def test_run_outlives_its_worker_and_can_be_cancelled(service: PrefectService) -> None:
    stays, ends = Held(service, "outlives"), Held(service, "cancelled")
    continues, cancelled = stays.begun(), ends.begun()
    service.process("xlmr-gpu").kill()
    service.set_state(cancelled, "CANCELLING")
    stays.go.touch()
    service.ended_as(continues, "Completed")
    service.ended_as(cancelled, "Cancelled")
    service.command("up")
    service.has_only_services()


def test_stopped_worker_waits_for_its_run(service: PrefectService) -> None:
    held = Held(service, "drained")
    run = held.begun()
    worker = service.process("xlmr-gpu")
    worker.send_signal(signal.SIGTERM)
    later = Held(service, "later")
    waiting = later.submit()
    later.go.touch()
    assert service.state(run) == "Running"
    held.go.touch()
    service.ended_as(run, "Completed")
    worker.wait(240)
    service.command("up")
    service.ended_as(waiting, "Completed")


def test_everything_is_killed_at_once(service: PrefectService) -> None:
    held = Held(service, "everything")
    run = held.begun()
    for name in ("xlmr-gpu", "server"):
        service.kill(name)
    marks = held.marks()
    held.go.touch()
    service.command("up")
    service.ended_as(run, "Completed", but=("Crashed",))
    assert {"Crashed", "AwaitingRetry"} <= set(service.states(run))
    assert marks <= held.marks()
    service.has_only_services()


def test_locked_database_holds_a_run_up_and_ends_none(service: PrefectService) -> None:
    held = Held(service, "locked")
    run = held.begun()
    database = sqlite3.connect(service.folder / "home" / "prefect.db", timeout=60, isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    held.go.touch()  # the run ends while nothing can be written
    wait_for(lambda: len(held.marks()) == 4)
    time.sleep(10)
    database.execute("ROLLBACK")
    database.close()
    service.ended_as(run, "Completed")


def test_failed_run_shows_one_line(service: PrefectService) -> None:
    run = service.submit(BESIDE, project="failed", overrides=["toy.numbers.bad=1"])
    service.ended_as(run, "Failed")
    assert "number 1 is bad; take another" in service.message(run)
    tasks = {"flow_runs": {"id": {"any_": [run]}}}
    wait_for(lambda: len(service.ask("POST", "/task_runs/filter", tasks)) == 3)

    def messages() -> dict[str, str]:
        found = service.ask("POST", "/task_runs/filter", tasks)
        return {one["name"].rsplit("-", 1)[0]: (one["state"] or {}).get("message") or "" for one in found}

    wait_for(lambda: "depends on toy.write, which has no output" in messages()["toy.sum"])
    wait_for(lambda: "depends on toy.sum, which has no output" in messages()["toy.power"])
    wait_for(lambda: any("number 1 is bad" in line for line in service.log(run)))
    text = "\n".join(service.log(run))
    assert "Traceback" not in text
    assert "NoneType: None" not in text
