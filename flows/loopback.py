"""``python -m flows.loopback up|down``: server, work pools, deployments, workers and reports on this machine.

``down`` ends runs, then workers, then the server: a run that it ends is Crashed, and Retry resumes it.
``XLMR_PREFECT_HOME`` names another folder than ``.cache/prefect``, ``PREFECT_PORT`` another port than 4200.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from urllib.error import URLError

import psutil

from pipeline.cli import exit_code_of
from pipeline.errors import UsageError, XlmrError
from pipeline.lease import birth_of_process
from pipeline.serve.command import REPORTS_URL, RUNS_FOLDER

LAST_PORT = 65535
POOLS = ("xlmr-cpu", "xlmr-gpu")
START_SECONDS = 300
"""For a server or worker to begin; a busy machine takes its time."""
DRAIN_SECONDS = 10
END_SECONDS = 40


class Loopback:
    """One server and its workers: their folder, port and processes."""

    def __init__(self, home: Path, port: int) -> None:
        self.home, self.port = home, port
        self.processes = home / "processes.json"

    @property
    def address(self) -> str:
        """Of the UI."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def reports(self) -> str:
        """Where ``xlmr serve`` shows the runs."""
        return f"http://127.0.0.1:{self.port + 1}"

    @property
    def runs(self) -> Path:
        """The folder of all runs."""
        return Path(os.environ.get(RUNS_FOLDER, "runs")).resolve()

    def environment(self) -> dict[str, str]:
        """Of every process: this server, nothing sent to others, and cancelling that survives the server's restart.

        Prefect's settings that the environment has are left as they are, but for those of this server's place.
        """
        database = f"sqlite+aiosqlite:///{(self.home / 'prefect.db').resolve()}"
        defaults = {
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": database,
            # In memory, as by default, the slots of deployments are lost with the server.
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
            "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
            # A run whose cancelling nobody ends is Cancelled then; by default after 300 seconds.
            "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_CANCELLING_TIMEOUT_SECONDS": "90",
            "PREFECT_WORKER_CANCELLATION_POLL_SECONDS": "15",
            "PREFECT_WORKER_QUERY_SECONDS": "3",
            REPORTS_URL: self.reports,
        }
        return {
            **defaults,
            **os.environ,
            "PREFECT_API_URL": f"{self.address}/api",
            RUNS_FOLDER: str(self.runs),
            "PREFECT_HOME": str(self.home.resolve()),
            "PREFECT_SERVER_UI_API_URL": "/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_WORKER_ENABLE_CANCELLATION": "true",
            "DO_NOT_TRACK": "1",
        }

    def up(self) -> None:
        """Start what is not running; say what was done."""
        self.home.mkdir(parents=True, exist_ok=True)
        started = [name for name in self._start_server() if name]
        _command(self.environment(), "flows.deployments")
        for pool in POOLS:
            words = ["prefect", "worker", "start", "--pool", pool, "--name", f"{pool}-loopback"]
            started += self._start(pool, words)
        started += self._start_reports()
        print(f"started: {', '.join(started) or 'nothing, all of it is running'}")
        print(f"Prefect's UI is on {self.address}, reports are on {self.reports}; `make down` ends both")

    def _start_reports(self) -> list[str]:
        """Start ``xlmr serve``; its port is the one after Prefect's."""
        self.runs.mkdir(parents=True, exist_ok=True)
        started = self._start("reports", ["pipeline", "serve", str(self.runs), "--port", str(self.port + 1)])
        end = time.monotonic() + START_SECONDS
        while not _answers(self.reports):
            if "reports" not in self.alive() or time.monotonic() > end:
                raise XlmrError(f"{self.reports} does not answer", f"see {self.home / 'reports.log'}")
            time.sleep(0.3)
        return started

    def _start_server(self) -> list[str]:
        alive = self.alive()
        if self.is_healthy() and "server" not in alive:
            raise XlmrError(f"{self.address} is in use by another server", "end it, or set PREFECT_PORT")
        if "server" in alive and (port := _port_of(alive["server"][0])) != self.port:
            fix = f"set PREFECT_PORT={port}, or `make down` first"
            raise XlmrError(f"the server of {self.home} runs already, on port {port} and not {self.port}", fix)
        words = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port)]
        started = self._start("server", words)
        end = time.monotonic() + START_SECONDS
        while not self.is_healthy():
            if "server" not in self.alive():
                raise XlmrError("the server has ended", f"see {self.home / 'server.log'}")
            if time.monotonic() > end:
                raise XlmrError(
                    f"the server does not answer after {START_SECONDS} s", f"see {self.home / 'server.log'}"
                )
            time.sleep(0.3)
        return started

    def _start(self, name: str, words: list[str]) -> list[str]:
        alive = self.alive()
        if name in alive:
            return []
        with (self.home / f"{name}.log").open("ab") as log:
            # In a session of its own: Ctrl-C in this terminal does not reach it.
            process = subprocess.Popen(
                [sys.executable, "-m", *words],
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        alive[name] = (process.pid, birth_of_process(process.pid))
        self.processes.write_text(json.dumps(alive))
        return [name]

    def alive(self) -> dict[str, tuple[int, float | None]]:
        """The processes that ``up`` started and that still run: name -> (process, its birth)."""
        try:
            noted = json.loads(self.processes.read_text())
        except FileNotFoundError:
            return {}
        return {name: (pid, born) for name, (pid, born) in noted.items() if birth_of_process(pid) == born}

    def is_healthy(self) -> bool:
        """Whether a server answers at the address."""
        return _answers(f"{self.address}/api/health")

    def down(self) -> None:
        """End all of it, workers and their runs first; say what was done."""
        alive = self.alive()
        workers = {name: alive[name] for name in alive if name != "server"}
        _end_runs([pid for pid, _ in workers.values()])
        _end([pid for pid, _ in workers.values()])
        if "server" in alive:
            _end([alive["server"][0]])
        self.processes.unlink(missing_ok=True)
        print(f"ended: {', '.join(alive) or 'nothing, none of it was running'}")


def _port_of(server: int) -> int:
    """The port that the server was started with."""
    words = psutil.Process(server).cmdline()
    return int(words[words.index("--port") + 1])


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def _end_runs(workers: list[int]) -> None:
    """End what the workers run by SIGTERM, which runs report to the server. A worker that ends kills its runs."""
    below = [child for pid in workers for child in psutil.Process(pid).children(recursive=True)]
    engines = [process for process in below if _is_engine(process)]
    for process in engines:
        _signal(process, kill=False)
    psutil.wait_procs(engines, END_SECONDS)


def _is_engine(process: psutil.Process) -> bool:
    try:
        return "prefect.engine" in process.cmdline()
    except psutil.Error:
        return False


def _end(pids: list[int]) -> None:
    """End these processes and all that they started, first by SIGTERM."""
    roots = [psutil.Process(pid) for pid in pids]
    below = [child for root in roots for child in root.children(recursive=True)]
    for process in roots:
        _signal(process, kill=False)
    _, running = psutil.wait_procs([*roots, *below], DRAIN_SECONDS)
    for process in running:
        if process not in roots:
            _signal(process, kill=False)
    _, running = psutil.wait_procs(running, END_SECONDS)
    for process in running:
        _signal(process, kill=True)
    psutil.wait_procs(running, DRAIN_SECONDS)


def _signal(process: psutil.Process, *, kill: bool) -> None:
    try:
        if kill:
            process.kill()
        else:
            process.terminate()
    except psutil.NoSuchProcess:
        pass


def _command(environment: Mapping[str, str], module: str) -> None:
    # A process of its own: Prefect reads its settings once, when it is imported.
    done = subprocess.run([sys.executable, "-m", module], env=environment, check=False)
    if done.returncode:
        raise XlmrError(f"{module} has failed", "its lines above say why")


def _port() -> int:
    """PREFECT_PORT. Errors: UsageError for what is no port, or has no port after it for the reports."""
    given = os.environ.get("PREFECT_PORT", "4200")
    if not given.isdecimal() or not 0 < int(given) < LAST_PORT:
        raise UsageError(f"PREFECT_PORT={given}: no port", "give a number, as 4300")
    return int(given)


def main(words: list[str] | None = None) -> int:
    """Exit codes: 0 done, 1 failed, 2 bad usage."""
    words = sys.argv[1:] if words is None else words

    def work() -> int:
        home = Path(os.environ.get("XLMR_PREFECT_HOME", ".cache/prefect"))
        loopback = Loopback(home, _port())
        if words not in (["up"], ["down"]):
            raise UsageError(f"{' '.join(words) or 'no word'}: not understood", "say up or down")
        loopback.up() if words == ["up"] else loopback.down()
        return 0

    return exit_code_of(work, "docs/flows.md")


if __name__ == "__main__":
    sys.exit(main())
