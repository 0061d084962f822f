"""Server, pools, deployments and workers as `make ui` starts them, on a free port; runs go through a real worker."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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
        self.go = folder / "go"
        (folder / "configs").mkdir()
        numbers = {"count": 4, "free": 2, "go_file": str(self.go)}
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


def started(service: Service) -> bool:
    """Whether the two shards that wait for nothing are complete."""
    return len(list((service.folder / "runs").rglob("number-*.json"))) >= 2


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


def test_second_run_waits_and_cancel_ends_the_first_with_its_processes(service: Service) -> None:
    first = service.submit(stages=["toy.write"])
    wait_for(lambda: started(service))
    second = service.submit(stages=["toy.write"])
    wait_for(lambda: service.state(second) == "AwaitingConcurrencySlot")
    body = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    service.ask("POST", f"/flow_runs/{first}/set_state", body)
    service.ended_as(first, "Cancelled")
    service.go.touch()
    service.ended_as(second, "Completed")  # it resumes after the shards of the first
