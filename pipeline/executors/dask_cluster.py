"""Which cluster of Dask a run uses: one that it starts, or one whose scheduler runs already.

A cluster is kept for the whole run, because that of a batch system waits in a queue. It ends with the process, or
before (``disconnect``).
"""

from __future__ import annotations

import logging
import socket
import sys
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.errors import UnreachableError, XlmrError
from pipeline.executors.threads import one_thread
from pipeline.interrupts import interrupts_held
from pipeline.plug_ins import calling
from pipeline.run_settings import CLUSTERS, DaskConfig
from pipeline.shards.notes import say

CONNECT_SECONDS = 30.0
DEFAULTS = {
    "distributed": {
        # Memory above 64 KiB would go back to the system at once, and be asked for again: ten times the page faults.
        "nanny": {"pre-spawn-environ": {"MALLOC_TRIM_THRESHOLD_": None}},
        "worker": {"profile": {"enabled": False}},  # a look at the stack every 10 ms
        "admin": {"tick": {"interval": "1s"}, "system-monitor": {"interval": "10s", "disk": False}},
    }
}
"""In place of Dask's own, for processes that are started here. What a person's configuration of Dask changes stays."""
DASHBOARD = "127.0.0.1:8787"
"""Of a local cluster; where the port is taken, Dask finds another. On this machine only: it asks nobody who he is."""


@dataclass(frozen=True)
class DaskCluster:
    """A client of a scheduler, and what a run knows about it.

    ``is_here``  whether its workers are processes of this machine.
    ``most``     how many workers were asked for.
    """

    client: Any
    is_here: bool
    most: int

    def threads(self) -> Mapping[str, int]:
        """Address of each worker that is there -> the tasks that it does at once."""
        found: dict[str, int] = self.client.nthreads()
        return found

    def describe(self) -> str:
        """How many workers there are and what they do, for a person who waits."""
        workers = self.threads()
        if not workers:
            return f"no worker is connected to {self.client.scheduler.address}"
        at = {worker: keys for worker, keys in self.client.processing().items() if keys}
        named = f": {', '.join(sorted(at)[:5])}{', …' if len(at) > 5 else ''}" if at else ""
        return f"{len(workers)} workers are connected, {len(at)} have work{named}"


_connected: dict[tuple[DaskConfig, int], DaskCluster] = {}


def connect(settings: DaskConfig, workers: int) -> DaskCluster:
    """The cluster that the settings name, the same each time. Errors: XlmrError in one line."""
    if (settings, workers) not in _connected:
        _connected[settings, workers] = _connect(settings, workers)
    return _connected[settings, workers]


def disconnect(settings: DaskConfig, workers: int) -> None:
    """Let go of a scheduler of others; end a cluster that was started here, and wait for its processes."""
    cluster = _connected.pop((settings, workers), None)
    if cluster is not None:
        own = cluster.client.cluster  # None where the scheduler is that of others
        cluster.client.close()
        if own is not None:
            own.close()


def _connect(settings: DaskConfig, workers: int) -> DaskCluster:
    from distributed import Client

    most = settings.workers or workers
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters of it is said by this project
    with _quiet(), interrupts_held():  # its threads, and the workers that these start, take no ctrl-C
        client: Any = _client_of(settings.scheduler) if settings.scheduler else Client(_start(settings, most))
    say(f"Dask: scheduler {client.scheduler.address}, dashboard {client.dashboard_link or '(none)'}")
    return DaskCluster(client, not settings.scheduler and settings.cluster == "local", most)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Dask's warnings, as that a port is taken."""
    resource_tracker.ensure_running()  # else it is started in the block, with the interrupt held back
    with warnings.catch_warnings(), one_thread():
        warnings.simplefilter("ignore")
        yield


def _client_of(scheduler: str) -> Any:
    from distributed import Client

    is_file = "://" not in scheduler
    if is_file and not Path(scheduler).exists():
        raise XlmrError(
            f"run.dask.scheduler: {scheduler}: no such file", "give the address, as tcp://host:8786, or the file"
        )
    try:
        given = {"scheduler_file": scheduler} if is_file else {"address": scheduler}
        return Client(**given, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        problem = f"run.dask.scheduler: no scheduler answers at {scheduler} ({type(error).__name__}: {error})"
        kind = XlmrError if isinstance(error, ValueError) else UnreachableError
        raise kind(problem, "start one by `dask scheduler`, or correct the address") from error


def _start(settings: DaskConfig, workers: int) -> Any:
    import dask
    import distributed  # noqa: F401 - whose defaults these replace

    string, is_local = CLUSTERS.import_string(settings.cluster), settings.cluster == "local"
    dask.config.update_defaults(DEFAULTS)
    # A shard whose worker died comes back at once: when it is tried again, the executor decides.
    dask.config.set({"distributed.scheduler.allowed-failures": 0})
    with calling(string):
        make = CLUSTERS.load(settings.cluster)
        cluster = make(workers if settings.minimum is None else settings.minimum) if is_local else make()
        if settings.minimum is not None:
            cluster.adapt(minimum=settings.minimum, maximum=workers)
        elif not is_local:
            cluster.scale(workers)
    return cluster


def local_cluster(workers: int) -> Any:
    """Processes of this machine, one shard at a time each."""
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=workers, threads_per_worker=1, processes=True, memory_limit=0, dashboard_address=DASHBOARD,
        silence_logs=logging.CRITICAL,
    )  # fmt: skip


def check_packages(cluster: DaskCluster, modules: Collection[str]) -> None:
    """Errors: XlmrError where the scheduler or a worker that is there cannot import what it will be sent."""
    probe = _probe()
    answers = dict(cluster.client.run(probe, tuple(modules)))
    answers["the scheduler"] = cluster.client.run_on_scheduler(probe, tuple(modules))
    for place, (host, python, missing, version) in answers.items():
        at = f"Dask: {place} on {host} ({python})"
        if missing:
            raise XlmrError(f"{at} has no package {', '.join(sorted(missing))}", _same_packages())
        if version != list(sys.version_info[:2]):
            raise XlmrError(f"{at} is Python {version[0]}.{version[1]}", _same_packages())


def _same_packages() -> str:
    here = f"Python {sys.version_info[0]}.{sys.version_info[1]}, xlmr-pipeline {__version__}"
    return f"install there what {socket.gethostname()} has ({here}, and your own packages), and start it again"


def _probe() -> Callable[[tuple[str, ...]], tuple[str, str, list[str], list[int]]]:
    """A function that is sent as its code, not by its name: it works where this package is not."""

    def probe(modules: tuple[str, ...]) -> tuple[str, str, list[str], list[int]]:
        import importlib.util
        import socket
        import sys

        def is_missing(module: str) -> bool:
            try:
                return importlib.util.find_spec(module) is None
            except ImportError:
                return True

        return socket.gethostname(), sys.executable, [m for m in modules if is_missing(m)], list(sys.version_info[:2])

    return probe


def modules_of(function: Any) -> set[str]:
    """The modules that a worker has to import for a shard function."""
    while isinstance(function, partial):
        function = function.func
    return {"pipeline", function.__module__}
