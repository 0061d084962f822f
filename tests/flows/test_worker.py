"""Server, pools, deployments and workers as `make ui` starts them, on a free port; runs go through a real worker."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PATIENCE = 300
"""Seconds for what takes some seconds on a quiet machine."""


class Service:
    """`python -m flows.loopback` in a folder that has prefect.yaml and one configuration, of toy stages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "configs").mkdir()
        numbers = {"count": 4, "free": 2}
        config = {"run": {"directory": str(folder / "runs"), "workers": 1}, "toy": {"numbers": numbers}}
        (folder / "configs" / "demo.yaml").write_text(json.dumps(config))
        (folder / "prefect.yaml").write_text((ROOT / "prefect.yaml").read_text())
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
            "PREFECT_PORT": str(self.port),
            "XLMR_PREFECT_HOME": str(folder / "home"),
            "XLMR_PACKAGES": "toy_package:PACKAGE",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "pipeline")]),
        }

    def command(self, word: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "flows.loopback", word],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = httpx.request(method, f"http://127.0.0.1:{self.port}/api{path}", json=body, timeout=60)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def submit(self, **parameters: Any) -> str:
        deployment = self.ask("GET", "/deployments/name/full/demo")
        body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        return str(self.ask("POST", f"/deployments/{deployment['id']}/create_flow_run", body)["id"])

    def state(self, run: str) -> str:
        return str(self.ask("GET", f"/flow_runs/{run}")["state"]["name"])

    def ended_as(self, run: str, state: str) -> None:
        wait_for(lambda: self.state(run) in {"Completed", "Failed", "Crashed", "Cancelled"})
        found = self.ask("GET", f"/flow_runs/{run}")["state"]
        assert found["name"] == state, found["message"]

    def set_state(self, run: str, kind: str, name: str | None = None) -> None:
        body = {"state": {"type": kind, "name": name or kind.capitalize()}}
        assert self.ask("POST", f"/flow_runs/{run}/set_state", body)["status"] == "ACCEPT"

    def kill(self, name: str) -> None:
        """SIGKILL one of the processes that `up` has started, and what it has started, at once."""
        noted = json.loads((self.folder / "home" / "processes.json").read_text())
        root = psutil.Process(noted[name][0])
        doomed = [root, *root.children(recursive=True)]
        for process in doomed:
            process.kill()
        psutil.wait_procs(doomed, PATIENCE)

    def has_only_services(self) -> None:
        """Wait until no process of a run is left."""
        noted = json.loads((self.folder / "home" / "processes.json").read_text())
        services = {pid for pid, _ in noted.values()}
        wait_for(lambda: {process.pid for process in self.processes()} <= services)

    def processes(self) -> list[psutil.Process]:
        mine = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("PREFECT_PORT") == str(self.port):
                    mine.append(process)
            except psutil.Error:
                continue
        return mine


def wait_for(event: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not event():
        assert time.monotonic() < end, "it has not happened"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    made = Service(tmp_path_factory.mktemp("service"))
    try:
        said = made.command("up")
        assert "started: server, xlmr-cpu, xlmr-gpu" in said
        yield made
    finally:
        made.command("down")
    assert made.processes() == []
    assert "nothing, none of it was running" in made.command("down")


@dataclass
class Held:
    """A run whose last two shards wait for a file; a project of its own."""

    service: Service
    project: str

    @property
    def go(self) -> Path:
        return self.service.folder / f"{self.project}.go"

    def submit(self) -> str:
        return self.service.submit(
            stages=["toy.write"], project=self.project, overrides=[f"toy.numbers.go_file={self.go}"]
        )

    def marks(self) -> set[tuple[str, int]]:
        """The complete shards with the time of their mark."""
        found = (self.service.folder / "runs" / self.project).rglob("number-*.json")
        return {(mark.name, mark.stat().st_mtime_ns) for mark in found}

    def begun(self) -> str:
        """A run that has done its first two shards."""
        run = self.submit()
        wait_for(lambda: len(self.marks()) >= 2)
        return run


def test_deploying_again_keeps_a_schedule_and_starts_nothing_twice(service: Service) -> None:
    deployment = service.ask("GET", "/deployments/name/corpus/demo")
    schedule = {"active": False, "schedule": {"interval": 86_400}}
    service.ask("POST", f"/deployments/{deployment['id']}/schedules", [schedule])
    assert "started: nothing" in service.command("up")
    again = service.ask("GET", "/deployments/name/corpus/demo")
    assert again["id"] == deployment["id"]
    assert [one["schedule"]["interval"] for one in again["schedules"]] == [86_400.0]
    assert not again["paused"]
    names = [one["name"] for one in service.ask("POST", "/automations/filter", {})]
    assert names.count("xlmr: runs whose process has died") == 1


def test_bad_setting_ends_at_once_with_the_line_of_the_command(service: Service) -> None:
    run = service.submit(overrides=["toy.numbres.count=1"])
    service.ended_as(run, "Failed")
    message = service.ask("GET", f"/flow_runs/{run}")["state"]["message"]
    assert "toy.numbres is not a setting; did you mean numbers?" in message


def test_second_run_waits_and_cancel_ends_the_first(service: Service) -> None:
    held = Held(service, "second")
    first = held.begun()
    second = held.submit()
    wait_for(lambda: service.state(second) == "AwaitingConcurrencySlot")
    service.set_state(first, "CANCELLING")
    service.ended_as(first, "Cancelled")
    marks = held.marks()
    held.go.touch()
    service.ended_as(second, "Completed")
    assert marks <= held.marks()  # it resumed after the shards of the first


def test_run_survives_its_server_and_can_then_be_cancelled(service: Service) -> None:
    run = Held(service, "server").begun()
    service.kill("server")
    assert "started: server" in service.command("up")
    assert service.state(run) == "Running"
    service.set_state(run, "CANCELLING")
    service.ended_as(run, "Cancelled")
    service.has_only_services()


def test_killed_run_is_crashed_and_retry_resumes_it(service: Service) -> None:
    held = Held(service, "killed")
    run = held.begun()
    service.kill("xlmr-gpu")  # the worker, and all that it has started
    service.ended_as(run, "Crashed")
    service.has_only_services()
    marks = held.marks()
    held.go.touch()
    assert "started: xlmr-gpu" in service.command("up")
    service.set_state(run, "SCHEDULED", "AwaitingRetry")
    wait_for(lambda: service.state(run) == "Completed")
    assert marks <= held.marks()
