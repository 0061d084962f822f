"""Server, pools, deployments and workers as `make ui` starts them, on a free port, and runs that wait half done."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

ROOT = Path(__file__).parents[2]
PATIENCE = 300
"""Seconds for what takes some seconds on a quiet machine."""
GRACE = 60
"""Seconds between SIGTERM and SIGKILL, as in infra/compose.yaml."""
BESIDE = "beside"
"""A second deployment of `full`, any number of whose runs may run at once."""
ON_CPU = "cpu"
"""The same for the other worker."""
QUICK = {
    "XLMR_LOST_SECONDS": "40",  # more than the 30 s between two heartbeats
    "XLMR_BEGIN_SECONDS": "45",
    "XLMR_RETRY_SECONDS": "10",
    "XLMR_WATCH_SECONDS": "2",
    "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_CANCELLING_TIMEOUT_SECONDS": "30",
    "PREFECT_WORKER_CANCELLATION_POLL_SECONDS": "3",
    "PREFECT_WORKER_QUERY_SECONDS": "1",
    "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "2",
}
"""Waits of server and workers, shorter than those of `make ui`."""


def free_ports() -> int:
    """The first of two ports that nobody uses: the server's, and that of the reports."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port


class PrefectService:
    """`python -m flows.loopback` in a folder that has prefect.yaml and one configuration, of toy stages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "configs").mkdir()
        numbers = {"count": 4, "free": 2}
        config = {"run": {"directory": str(folder / "runs"), "workers": 1}, "toy": {"numbers": numbers}}
        (folder / "configs" / "demo.yaml").write_text(json.dumps(config))
        prefect = yaml.safe_load((ROOT / "prefect.yaml").read_text())
        (full,) = [one for one in prefect["deployments"] if one["entrypoint"] == "flows.packages.full"]
        beside = {name: value for name, value in full.items() if name != "concurrency_limit"}
        prefect["deployments"].append({**beside, "name": BESIDE})
        prefect["deployments"].append(
            {**beside, "name": ON_CPU, "work_pool": {**full["work_pool"], "name": "xlmr-cpu"}}
        )
        for deployment in prefect["deployments"]:
            deployment["parameters"]["configuration"] = "demo"
        (folder / "prefect.yaml").write_text(yaml.safe_dump(prefect))
        self.port = free_ports()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
            **QUICK,
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

    @contextmanager
    def running(self) -> Iterator[str]:
        """What `up` has said; at the end of the block all of it is gone."""
        try:
            yield self.command("up")
        finally:
            self.command("down")
        assert self.processes() == []

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        # 503: SQLite had another writer between this request's reading and writing. Prefect's client tries again, too.
        while True:
            answer = httpx.request(method, f"{self.api}{path}", json=body, timeout=60)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            time.sleep(0.5)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    @property
    def ui(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def api(self) -> str:
        return f"{self.ui}/api"

    @property
    def reports(self) -> str:
        """Where `xlmr serve` shows the runs."""
        return f"http://127.0.0.1:{self.port + 1}"

    def submit(self, name: str = "demo", job_variables: dict[str, Any] | None = None, **parameters: Any) -> str:
        deployment = self.ask("GET", f"/deployments/name/full/{name}")
        body = {"parameters": parameters, "state": {"type": "SCHEDULED"}, "job_variables": job_variables or {}}
        return str(self.ask("POST", f"/deployments/{deployment['id']}/create_flow_run", body)["id"])

    def state(self, run: str) -> str:
        return str(self.ask("GET", f"/flow_runs/{run}")["state"]["name"])

    def ended_as(self, run: str, state: str, but: tuple[str, ...] = ()) -> None:
        """Wait for the end of a run; ends named in ``but`` are not yet its end."""
        ends = {"Completed", "Failed", "Crashed", "Cancelled"} - set(but)
        wait_for(lambda: self.state(run) in ends, lambda: self.story(run))
        found = self.ask("GET", f"/flow_runs/{run}")["state"]
        assert found["name"] == state, self.story(run)

    def set_state(self, run: str, kind: str, name: str | None = None) -> None:
        body = {"state": {"type": kind, "name": name or kind.capitalize()}}
        assert self.ask("POST", f"/flow_runs/{run}/set_state", body)["status"] == "ACCEPT"

    def tasks(self, run: str) -> dict[str, str]:
        """The tasks of a run, each with the name of its state."""
        found = self.ask("POST", "/task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}})
        return {one["name"].rpartition("-")[0]: one["state"]["name"] for one in found}

    def message(self, run: str) -> str:
        return str(self.ask("GET", f"/flow_runs/{run}")["state"]["message"])

    def states(self, run: str) -> list[str]:
        """The names of all states that the run has had."""
        return [state["name"] for state in self.ask("GET", f"/flow_run_states/?flow_run_id={run}")]

    def story(self, run: str) -> str:
        """All states that the run has had, with their messages, and what it has logged."""
        states = self.ask("GET", f"/flow_run_states/?flow_run_id={run}")
        lines = [f"{one['timestamp']} {one['name']}: {one['message']}" for one in states]
        return "\n".join([*lines, *self.log(run)])

    def log(self, run: str) -> list[str]:
        flows = {"flow_run_id": {"any_": [run]}}
        return [line["message"] for line in self.ask("POST", "/logs/filter", {"logs": flows, "sort": "TIMESTAMP_ASC"})]

    def process(self, name: str) -> psutil.Process:
        """One of the processes that `up` has started."""
        return psutil.Process(json.loads((self.folder / "home" / "processes.json").read_text())[name][0])

    def engine(self, run: str) -> psutil.Process:
        """The process that does a run."""
        (found,) = [p for p in self.processes() if p.environ().get("PREFECT__FLOW_RUN_ID") == run and _is_engine(p)]
        return found

    def kill(self, name: str) -> None:
        """SIGKILL one of the processes that `up` has started, and what it has started, at once."""
        _kill([self.process(name)])

    def stop(self, name: str) -> None:
        """End one of the processes that `up` has started as `docker compose stop` does.

        SIGTERM first, on which Prefect's worker kills what it runs. After `stop_grace_period` all of a container is
        killed, whatever its worker has missed.
        """
        family = _family(self.process(name))
        family[0].terminate()
        _, left = psutil.wait_procs(family, GRACE)
        _kill(left)

    def has_only_services(self) -> None:
        """Wait until no process of a run is left."""
        noted = json.loads((self.folder / "home" / "processes.json").read_text())
        services = {pid for pid, _ in noted.values()}

        def others() -> list[psutil.Process]:
            return [process for process in self.processes() if process.pid not in services]

        wait_for(lambda: not others(), lambda: "\n".join(f"{one} {one.ppid()} {one.cmdline()}" for one in others()))

    def processes(self) -> list[psutil.Process]:
        mine = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("PREFECT_PORT") == str(self.port):
                    mine.append(process)
            except psutil.Error:
                continue
        return mine


def _is_engine(process: psutil.Process) -> bool:
    parent = process.parent()
    return parent is None or "PREFECT__FLOW_RUN_ID" not in parent.environ()


def _family(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _kill(roots: list[psutil.Process]) -> None:
    doomed: set[psutil.Process] = set()
    # Stopped first, until nobody is left who could start another between our look and our kill.
    while found := {one for root in roots for one in _family(root)} - doomed:
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        doomed |= found
    for process in doomed:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(doomed, PATIENCE)


def wait_for(event: Callable[[], object], story: Callable[[], str] = str) -> None:
    """Wait for an event; ``story`` says what has happened instead."""
    end = time.monotonic() + PATIENCE
    while not event():
        assert time.monotonic() < end, f"it has not happened\n{story()}"
        time.sleep(0.2)


@dataclass
class Held:
    """A run whose last two shards wait for a file; a project of its own."""

    service: PrefectService
    project: str
    deployment: str = BESIDE

    @property
    def go(self) -> Path:
        return self.service.folder / f"{self.project}.go"

    def submit(self) -> str:
        override = f"toy.numbers.go_file={self.go}"
        return self.service.submit(self.deployment, stages=["toy.write"], project=self.project, overrides=[override])

    def marks(self) -> set[tuple[str, int]]:
        """The complete shards with the time of their mark; folders may go away meanwhile, which a walk bears."""
        found = set()
        for folder, _, names in os.walk(self.service.folder / "runs" / self.project):
            for mark in (Path(folder, name) for name in names if fnmatch(name, "number-*.json")):
                with suppress(FileNotFoundError):
                    found.add((mark.name, mark.stat().st_mtime_ns))
        return found

    def begun(self) -> str:
        """A run that has done its first two shards."""
        return begun(self)[0]


def begun(*held: Held) -> list[str]:
    """Runs that have done their first two shards each."""
    runs = [one.submit() for one in held]
    wait_for(
        lambda: all(len(one.marks()) >= 2 for one in held),
        lambda: "\n".join(one.service.story(run) for one, run in zip(held, runs, strict=True)),
    )
    return runs
