"""What state a run is in after its processes are killed, stopped, suspended or held up; what is left of it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from prefect_service import BESIDE, PATIENCE, ROOT, Held, PrefectService, wait_for

pytestmark = pytest.mark.slow

_CODE = "import sys; from pipeline.cli import main; sys.exit(main(sys.argv[1:]) or 'prefect' in sys.modules)"
COMMAND = [sys.executable, "-c", _CODE, "run", "configs/demo.yaml"]
MAKE = ["make", "-f", str(ROOT / "Makefile"), "demo", "SETUP=", f"VENV={sys.prefix}"]


def test_second_run_of_a_project_waits_whatever_its_deployment(service: PrefectService) -> None:
    held = Held(service, "shared")
    first = held.begun()
    held.deployment = "demo"
    second = held.submit()
    wait_for(lambda: service.state(second) == "AwaitingConcurrencySlot")
    assert "project shared is in use by flow run 'full of shared: toy.write' (process" in service.message(second)
    service.engine(first).kill()  # the worker says so at once, and a dead process holds nothing
    service.ended_as(first, "Crashed")
    wait_for(lambda: service.tasks(first) == {"plan": "Completed", "toy.write": "Crashed"})
    held.go.touch()
    service.ended_as(second, "Completed")
    service.set_state(first, "SCHEDULED", "AwaitingRetry")
    service.ended_as(first, "Completed", but=("Crashed",))
    service.has_only_services()


def test_run_outlives_its_worker_that_alone_is_killed(service: PrefectService) -> None:
    held = Held(service, "orphan")
    run = held.begun()
    worker = service.process("xlmr-gpu")
    worker.kill()
    psutil.wait_procs([worker], PATIENCE)
    held.go.touch()
    service.ended_as(run, "Completed")
    assert "started: xlmr-gpu" in service.command("up")
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


def test_run_waits_for_the_command_line_whose_results_are_then_fresh(service: PrefectService) -> None:
    held = Held(service, "by-command")
    begun = start(service, COMMAND, project="by-command", go_file=held.go)
    try:
        wait_for(lambda: len(held.marks()) >= 2)
        run = held.submit()
        wait_for(lambda: service.state(run) == "AwaitingConcurrencySlot", lambda: service.story(run))
        assert f"in use by process {begun.pid} on" in service.message(run)
        held.go.touch()
        said, _ = begun.communicate(timeout=PATIENCE)
        assert begun.returncode == 0, said
    finally:
        begun.kill()
        begun.wait()
    before = outputs(service, "by-command")
    service.ended_as(run, "Completed")
    assert outputs(service, "by-command") == before


def test_prefect_make_and_command_line_make_the_same(service: PrefectService) -> None:
    go = service.folder / "go"
    go.touch()
    run = service.submit(BESIDE, project="by-prefect", overrides=["run.until=toy"])
    for words, project in ((COMMAND, "command"), (MAKE, "make")):
        said, _ = start(service, words, project=project, go_file=go).communicate(timeout=PATIENCE)
        assert "done: 3 of 3 stages ran" in said
    service.ended_as(run, "Completed")
    made = outputs(service, "by-prefect")
    contents = {path: content for path, (content, _) in made.items()}
    assert {path.split("/")[0] for path in contents} == {"toy.write", "toy.sum", "toy.power"}
    for project in ("command", "make"):
        assert {path: content for path, (content, _) in outputs(service, project).items()} == contents
    for words in (COMMAND, MAKE):
        said, _ = start(service, words, project="by-prefect", go_file=go).communicate(timeout=PATIENCE)
        assert "nothing to do: all 3 stages are fresh" in said
    assert outputs(service, "by-prefect") == made


def start(service: PrefectService, words: list[str], project: str, go_file: Path) -> subprocess.Popen[str]:
    """Begin the stages of the toy package in a project. The command line fails if it has imported Prefect."""
    settings = {"XLMR_RUN__PROJECT": project, "XLMR_RUN__UNTIL": "toy", "XLMR_TOY__NUMBERS__GO_FILE": str(go_file)}
    return subprocess.Popen(
        words,
        cwd=service.folder,
        env={**service.environment, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def outputs(service: PrefectService, project: str) -> dict[str, tuple[bytes, int]]:
    """What each stage has written, ``stage/key/file`` -> content, time; of its manifest, which has times, the time."""
    found: dict[str, tuple[bytes, int]] = {}
    for path in (service.folder / "runs" / project).glob("toy.*/*/**/*"):
        if path.is_file() and not any(part.startswith(".") for part in path.parts[-3:]):
            name = path.relative_to(service.folder / "runs" / project).as_posix()
            found[name] = (b"" if path.name == "manifest.json" else path.read_bytes(), path.stat().st_mtime_ns)
    return found


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
