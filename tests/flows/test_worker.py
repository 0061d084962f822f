"""Runs through a real server and a real worker, started as `make ui` starts them."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial

import httpx
import pytest
from prefect_service import ON_CPU, Held, PrefectService, begun, wait_for

pytestmark = pytest.mark.slow


def test_deploying_again_keeps_a_schedule_and_starts_nothing_twice(service: PrefectService) -> None:
    deployment = service.ask("GET", "/deployments/name/corpus/demo")
    schedule = {"active": False, "schedule": {"interval": 86_400}}
    service.ask("POST", f"/deployments/{deployment['id']}/schedules", [schedule])
    # That of prefect.yaml is off until a person switches it on, and is not switched off again.
    newest = service.ask("GET", "/deployments/name/newest-dump/corpus-cc100")
    (weekly,) = newest["schedules"]
    assert (weekly["slug"], weekly["active"], weekly["schedule"]["cron"]) == ("each-new-dump", False, "0 3 * * 1")
    service.ask("PATCH", f"/deployments/{newest['id']}/schedules/{weekly['id']}", {"active": True})
    assert "started: nothing" in service.command("up")
    (weekly,) = service.ask("GET", "/deployments/name/newest-dump/corpus-cc100")["schedules"]
    assert (weekly["slug"], weekly["active"]) == ("each-new-dump", True)
    service.ask("PATCH", f"/deployments/{newest['id']}/schedules/{weekly['id']}", {"active": False})
    again = service.ask("GET", "/deployments/name/corpus/demo")
    assert again["id"] == deployment["id"]
    assert [one["schedule"]["interval"] for one in again["schedules"]] == [86_400.0]
    assert not again["paused"]
    names = [one["name"] for one in service.ask("POST", "/automations/filter", {})]
    assert names.count("xlmr: runs whose process has died") == 1


def test_another_port_for_a_server_that_runs_is_refused_at_once(service: PrefectService) -> None:
    environment = {**service.environment, "PREFECT_PORT": "4200"}
    words = [sys.executable, "-m", "flows.loopback", "up"]
    other = subprocess.run(words, cwd=service.folder, env=environment, capture_output=True, text=True, check=False)
    assert other.returncode == 1
    assert f"runs already, on port {service.port} and not 4200; set PREFECT_PORT={service.port}, or" in other.stderr


def test_bad_setting_ends_at_once_with_the_line_of_the_command(service: PrefectService) -> None:
    run = service.submit(overrides=["toy.numbres.count=1"])
    service.ended_as(run, "Failed")
    message = service.ask("GET", f"/flow_runs/{run}")["state"]["message"]
    assert "toy.numbres is not a setting; did you mean numbers?" in message


def test_planted_secret_is_not_stored_by_the_server(service: PrefectService) -> None:
    planted = "pLaNtEd7Value"
    for override in (f"toy.numbers.file=https://me:{planted}@h.example/x", f"--run.beam.options=--password={planted}"):
        with pytest.raises(httpx.HTTPStatusError, match=r"40[09]|422"):
            service.submit(overrides=[override])
    # A run file is read by the worker: the run fails with the line that names the variable.
    file = service.folder / "configs" / "demo.yaml"
    before = file.read_text()
    address = {"file": f"s3://key:{planted}@bucket/x"}
    try:
        file.write_text(json.dumps({**json.loads(before), "toy": {"numbers": address}}))
        run = service.submit()
        service.ended_as(run, "Failed")
    finally:
        file.write_text(before)
    assert "toy.numbers.file: holds a secret" in service.message(run)
    assert "AWS_SECRET_ACCESS_KEY" in service.message(run)
    stored = [path for path in service.folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert [path for path in stored if path.name.startswith("prefect.db")]
    assert [path for path in stored if planted.encode() in path.read_bytes()] == []


def test_second_run_waits_and_cancel_ends_the_first(service: PrefectService) -> None:
    held = Held(service, "second", deployment="demo")
    first = held.begun()
    second = held.submit()
    wait_for(lambda: service.state(second) == "AwaitingConcurrencySlot")
    service.set_state(first, "CANCELLING")
    service.ended_as(first, "Cancelled")
    marks = held.marks()
    held.go.touch()
    service.ended_as(second, "Completed")
    assert marks <= held.marks()  # it resumed after the shards of the first


def crashed(service: PrefectService, run: str) -> bool:
    """Whether the run has been Crashed."""
    return "Crashed" in service.states(run)


def test_runs_of_killed_and_stopped_workers_are_crashed_and_then_tried_again(automating: PrefectService) -> None:
    lost, stopped, early = Held(automating, "killed"), Held(automating, "stopped", ON_CPU), Held(automating, "early")
    unwanted = Held(automating, "unwanted")
    *runs, cancelled = begun(lost, stopped, unwanted)
    runs.append(early.submit())
    wait_for(lambda: automating.state(runs[-1]) in {"Pending", "Submitting"})
    automating.process("xlmr-gpu").suspend()  # it does not see that a run is cancelled
    automating.set_state(cancelled, "CANCELLING")
    automating.kill("xlmr-gpu")  # the worker, and all that it has started
    automating.stop("xlmr-cpu")
    automating.has_only_services()
    marks = lost.marks() | stopped.marks()
    for held in (lost, stopped, early):
        held.go.touch()
    for run in runs:
        wait_for(partial(crashed, automating, run), partial(automating.story, run))
    assert "started: xlmr-cpu, xlmr-gpu" in automating.command("up")
    for run in runs:
        automating.ended_as(run, "Completed", but=("Crashed",))
        assert "AwaitingRetry" in automating.states(run)  # no person has asked for it
    assert marks <= lost.marks() | stopped.marks()
    assert "Running" not in automating.states(runs[-1])[: automating.states(runs[-1]).index("Crashed")]
    automating.ended_as(cancelled, "Cancelled")
    assert "Crashed" not in automating.states(cancelled)


def test_server_and_worker_are_killed_at_once(automating: PrefectService) -> None:
    lost, before, after = (
        Held(automating, "everything"),
        Held(automating, "before", ON_CPU),
        Held(automating, "after", ON_CPU),
    )
    run, cancelled_before, cancelled_after = begun(lost, before, after)
    automating.set_state(cancelled_before, "CANCELLING")
    automating.kill("server")
    automating.kill("xlmr-gpu")
    marks = lost.marks()
    lost.go.touch()
    said = automating.command("up")
    assert "started: server, xlmr-gpu" in said
    assert "runs under way: " in said  # the automations know of them
    assert automating.state(cancelled_after) == "Running"
    automating.set_state(cancelled_after, "CANCELLING")
    automating.ended_as(cancelled_after, "Cancelled")
    automating.ended_as(cancelled_before, "Cancelled")
    automating.ended_as(run, "Crashed")
    # A server that does not know what came just before waits a quarter of an hour before it tries the run again itself.
    automating.set_state(run, "SCHEDULED", "AwaitingRetry")
    automating.ended_as(run, "Completed", but=("Crashed",))
    assert marks <= lost.marks()
    automating.has_only_services()
