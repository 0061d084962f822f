"""The servers that Beam's portable path needs: a pool of workers, and Beam's own job service or that of Flink.

Flink's is a jar of some 400 MB that Maven has and Debian has not, as
``org.apache.beam:beam-runners-flink-1.19-job-server``: XLMR_TEST_FLINK_JOB_SERVER names it.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from test_faults import wait_for

FLINK_JAR = "XLMR_TEST_FLINK_JOB_SERVER"
PROGRAMS = Path(sys.executable).parent
"""Where the pool finds the ``python`` of its workers: it starts them by that name alone."""


def why_no_flink() -> str:
    """Why Flink cannot be tried here; '' where it can."""
    if not Path(os.environ.get(FLINK_JAR, "")).is_file():
        return f"{FLINK_JAR} names no jar of Beam's job server for Flink"
    return "" if shutil.which("java") else "no Java"


@pytest.fixture
def worker_pool() -> Iterator[tuple[str, ...]]:
    """A pool of Beam's workers, as beside a cluster; gives Beam's options."""
    with _server("apache_beam.runners.worker.worker_pool_main", "--service_port") as port:
        yield "--environment_type=EXTERNAL", f"--environment_config=localhost:{port}"


@pytest.fixture
def portable(worker_pool: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The pool, and Beam's own job service beside it; gives Beam's options."""
    with _server("apache_beam.runners.portability.local_job_service_main", "--port") as port:
        yield f"--job_endpoint=localhost:{port}", *worker_pool


@pytest.fixture
def flink(worker_pool: tuple[str, ...]) -> tuple[str, ...]:
    """The pool, and a Flink in one process, which Beam starts by its job server; gives Beam's options."""
    return f"--flink_job_server_jar={os.environ[FLINK_JAR]}", "--parallelism=2", *worker_pool


@contextmanager
def _server(module: str, option: str) -> Iterator[int]:
    """A module of Beam as a server at a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment["PATH"] = os.pathsep.join([str(PROGRAMS), os.environ["PATH"]])
    started = subprocess.Popen(
        [sys.executable, "-m", module, option, str(port)], env=environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for(lambda: _listens(port))
    yield port
    os.killpg(started.pid, signal.SIGKILL)
    started.wait()


def _listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0
