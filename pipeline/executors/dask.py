"""Shards as futures on a cluster of Dask: processes here, jobs of a batch system, or any scheduler.

Dask gives each shard to a free worker, moves waiting ones from slow workers to idle ones, and tells when a worker has
died. A shard whose worker died is tried again beside the others, and the last time alone. Each try has a workspace of
its own: a worker that was taken for dead may still write.
"""

from __future__ import annotations

import os
import queue
import shutil
import signal
import socket
import threading
import uuid
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.errors import XlmrError
from pipeline.executors import ATTEMPTS
from pipeline.executors.dask_cluster import DaskCluster, check_packages, connect, modules_of
from pipeline.executors.deaths import describe_death, kills_for_memory
from pipeline.executors.local import WORKER, too_often
from pipeline.executors.silence import Silence
from pipeline.executors.worker_folders import enter
from pipeline.run_settings import DaskConfig
from pipeline.shards import Outcome, Shard, ShardFailure, ShardMark, ShardWork
from pipeline.shards.notes import note, notes_to, say

LOOK_SECONDS = 1.0
LEAST_AT_ONCE = 64
A_WORKER = 4
"""Shards that the scheduler knows at once, for each worker: enough that no worker waits for the driver."""
NOTES = "xlmr-notes"
_LOST = "the Dask scheduler was lost"


@dataclass(frozen=True)
class DaskExecutor:
    """``workers`` is how many are started where ``settings`` do not say; ``most`` is the most shards at once."""

    workers: int
    settings: DaskConfig = field(default_factory=DaskConfig)
    silence_minutes: float = 10.0
    most: int | None = None

    def at_most(self, workers: int) -> DaskExecutor:
        """See ``Executor``."""
        return replace(self, most=min(workers, self.most or workers))

    def run(self, work: ShardWork, shards: Sequence[Shard]) -> Iterator[tuple[str, Outcome]]:
        """See ``Executor``."""
        if not shards:
            return
        work.folder.output.mkdir(parents=True, exist_ok=True)  # a worker that does not see it has another disk
        cluster = connect(self.settings, self.workers)
        _wait_for_workers(cluster, self.silence_minutes)
        check_packages(cluster, modules_of(work.function))
        for name in work.folder.named() & {shard.name for shard in shards}:
            work.folder.path(name).unlink(missing_ok=True)  # a mark that is not whole
        deaths: dict[str, list[str]] = {}
        again, most = list(shards), self.most
        try:
            while again:
                silence = Silence(self.silence_minutes, cluster.describe)
                doing = _Futures(cluster, work, deque(again), most, silence)
                died = yield from doing.outcomes()
                again = []
                for shard, death in died:
                    deaths.setdefault(shard.name, []).append(death)
                    if len(deaths[shard.name]) < ATTEMPTS:
                        again.append(shard)
                    else:
                        yield shard.name, too_often(deaths[shard.name])
                if any(len(deaths[shard.name]) == ATTEMPTS - 1 for shard in again):
                    most = 1  # the last try is alone: one that needs too much memory dies alone
        finally:
            for left in work.workspaces.parent.glob(f"{work.workspaces.name}-*"):
                shutil.rmtree(left, ignore_errors=True)


def _wait_for_workers(cluster: DaskCluster, minutes: float) -> None:
    """Until one is there. A batch system may take hours for it, so it is said and not counted as an error."""
    silence = Silence(min(minutes, 1.0), lambda: f"{cluster.describe()}: waiting for the first")
    while not cluster.threads():
        silence.look()
        threading.Event().wait(0.2)
    if crowded := [worker for worker, threads in cluster.threads().items() if threads > 1]:
        say(
            f"{len(crowded)} workers have several threads ({crowded[0]}), and a process does one shard at a time: "
            "start them with --nthreads 1 --nworkers N"
        )


class _Futures:
    """Shards under way on a cluster: some at the scheduler, the rest waiting here."""

    def __init__(
        self, cluster: DaskCluster, work: ShardWork, waiting: deque[Shard], most: int | None, silence: Silence
    ) -> None:
        self._cluster, self._work, self._waiting, self._most, self._silence = cluster, work, waiting, most, silence
        self._running: dict[Any, Shard] = {}
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._token = uuid.uuid4().hex
        self._killed_before = kills_for_memory()

    def outcomes(self) -> Generator[tuple[str, Outcome], None, list[tuple[Shard, str]]]:
        """What became of each shard, as it comes; returns (shard, death) of those whose worker died."""
        died: list[tuple[Shard, str]] = []
        client = self._cluster.client
        client.subscribe_topic(NOTES, self._events.put)
        try:
            self._submit()
            while self._running:
                try:
                    event = self._events.get(timeout=LOOK_SECONDS)
                except queue.Empty:
                    self._silence.look()
                    self._submit()  # workers may have come
                    continue
                if isinstance(event, tuple):
                    note(str(event[1]))
                    continue
                shard = self._running.pop(event)
                outcome = self._outcome(event)
                if isinstance(outcome, str):
                    died.append((shard, outcome))
                else:
                    self._silence.broken()
                    yield shard.name, outcome
                del event
                self._submit()
        finally:
            with suppress(Exception):  # the scheduler may be gone
                client.unsubscribe_topic(NOTES)
                client.cancel(list(self._running), force=True)
        return died

    def _submit(self) -> None:
        """Give the scheduler as many as it should know."""
        at_once = self._most or max(LEAST_AT_ONCE, A_WORKER * max(len(self._cluster.threads()), self._cluster.most))
        stage = self._work.folder.output.parent.name
        while self._waiting and len(self._running) < at_once:
            shard = self._waiting.popleft()
            key = f"{stage}-{self._token}-{shard.name}"
            future = self._cluster.client.submit(
                do_shard, self._work, shard, str(Path.cwd()), key=(stage, key), pure=False
            )
            self._running[future] = shard
            future.add_done_callback(self._events.put)

    def _outcome(self, future: Any) -> Outcome | str:
        """What became of a shard, or how its worker died. Errors: XlmrError when the scheduler is gone."""
        from distributed.scheduler import KilledWorker

        if future.status == "lost" and self._cluster.client.status == "running":
            return "its worker died with its result"  # between the end of the shard and our look at it
        if future.status in ("cancelled", "lost"):
            raise XlmrError(_LOST, "start it again and run the same command: complete shards are kept")
        error = future.exception()
        if error is None:
            outcome: Outcome = future.result()
            return outcome
        if isinstance(error, KilledWorker):
            for_memory = self._cluster.is_here and kills_for_memory() > self._killed_before
            how = describe_death(-signal.SIGKILL if for_memory else None, self._killed_before)
            return f"{how} ({error.last_worker.address})"
        if isinstance(error, ModuleNotFoundError):
            problem = f"a worker of Dask cannot import what it was sent: {error}"
            return ShardFailure(f"{problem}; install the same packages on every worker")
        return ShardFailure(" ".join(f"{type(error).__name__}: {error}".split()))


_ONE_AT_A_TIME = threading.Lock()


def do_shard(work: ShardWork, shard: Shard, folder: str) -> Outcome:
    """Do a shard on a worker; one at a time in a process, for shard functions know of no threads."""
    from distributed import get_worker

    worker = get_worker()
    if isinstance(worker.name, int):
        os.environ[WORKER] = str(worker.name)
    with _ONE_AT_A_TIME:
        host = socket.gethostname()
        try:
            enter(folder, work)
        except OSError as error:
            return ShardFailure(f"{folder}: not there on {host} ({error.strerror}); share it with every worker")
        if work.copy is None and not work.folder.output.is_dir():
            return ShardFailure(f"{work.folder.output}: not there on {host}; share run.directory with every worker")
        mark = ShardMark.read(work.folder.path(shard.name))
        if mark is not None and mark.is_whole(work.folder.output):  # its worker died before it could tell
            return mark
        own = replace(work, workspaces=work.workspaces.with_name(f"{work.workspaces.name}-{uuid.uuid4().hex[:8]}"))
        try:
            with notes_to(lambda line: worker.log_event(NOTES, line)):
                return own.do(shard)
        finally:
            shutil.rmtree(own.workspaces, ignore_errors=True)
