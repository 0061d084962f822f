"""Shards in processes of this machine. Each worker does one shard at a time, so that who dies names what killed it.

A shard whose worker died waits until the others are through and is then tried alone, so that one which needs too much
memory dies alone and ends no other.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from pipeline.executors import ATTEMPTS
from pipeline.executors.deaths import describe_death, kills_for_memory
from pipeline.executors.threads import one_thread
from pipeline.interrupts import start_held, take_interrupts
from pipeline.shards import Outcome, Shard, ShardFailure, ShardWork
from pipeline.shards.notes import note, notes_to

WORKER = "XLMR_WORKER"
"""Environment of a worker: its number from 0 among those that work at once, by which it takes a GPU, say."""

_SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class _Note:
    """What a worker says of the shard that it is at."""

    line: str


@dataclass(frozen=True)
class LocalExecutor:
    """``workers`` processes; none but this one where one is enough."""

    workers: int

    def at_most(self, workers: int) -> LocalExecutor:
        """See ``Executor``."""
        return LocalExecutor(min(self.workers, workers))

    def run(self, work: ShardWork, shards: Sequence[Shard]) -> Iterator[tuple[str, Outcome]]:
        """See ``Executor``."""
        if self.workers == 1 or len(shards) <= 1:
            yield from ((shard.name, work.do(shard)) for shard in shards)
            return
        deaths_of: dict[str, list[str]] = {}
        again = yield from _in_workers(work, shards, min(self.workers, len(shards)), deaths_of)
        while again:
            again = yield from _in_workers(work, again, 1, deaths_of)


def _in_workers(
    work: ShardWork, shards: Sequence[Shard], workers: int, deaths_of: dict[str, list[str]]
) -> Iterator[tuple[str, Outcome]] | Any:
    """Do the shards; return those whose worker died and that may be tried again. ``deaths_of``: name -> its deaths."""
    waiting, again = deque(shards), list[Shard]()
    team: list[_Worker] = []
    try:
        team += [_Worker(work, number) for number in range(workers)]
        busy = [worker for worker in team if worker.take(waiting)]
        while busy:
            for worker in _ready(busy):
                shard = worker.shard
                assert shard is not None, "a busy worker has a shard"
                outcome = worker.outcome()
                if isinstance(outcome, _Note):
                    note(outcome.line)
                    continue
                if isinstance(outcome, str):
                    deaths = deaths_of.setdefault(shard.name, [])
                    deaths.append(outcome)
                    if len(deaths) < ATTEMPTS:
                        again.append(shard)
                    else:
                        yield shard.name, too_often(deaths)
                    team.remove(worker)
                    busy.remove(worker)
                    if waiting:
                        team.append(_Worker(work, worker.number))
                        busy += [team[-1]] if team[-1].take(waiting) else []
                    continue
                if not worker.take(waiting):
                    busy.remove(worker)
                yield shard.name, outcome
    finally:
        for worker in team:
            worker.stop()
    return again


def too_often(deaths: Sequence[str]) -> ShardFailure:
    """The failure of a shard whose worker died each time that it was tried."""
    return ShardFailure(f"its worker {deaths[-1]}, {len(deaths)} times")


def _ready(busy: Sequence[_Worker]) -> list[_Worker]:
    """The workers that have answered or died; waits for the first."""
    signs = {sign: worker for worker in busy for sign in (worker.pipe, worker.process.sentinel)}
    ready = {id(signs[sign]): signs[sign] for sign in wait(list(signs))}  # type: ignore[index]
    return list(ready.values())


class _Worker:
    """A process that does shards as they come through a pipe, until the pipe is closed."""

    def __init__(self, work: ShardWork, number: int) -> None:
        self._killed_before = kills_for_memory()
        self.number = number
        self.shard: Shard | None = None
        self.pipe, theirs = _SPAWN.Pipe()
        self.process: BaseProcess = _SPAWN.Process(target=_serve, args=(theirs, work, number), daemon=False)
        with one_thread():
            start_held(self.process)
        theirs.close()

    def take(self, waiting: deque[Shard]) -> bool:
        """Begin the next shard; False where there is none. A worker that is dead is found so by ``outcome``."""
        self.shard = waiting.popleft() if waiting else None
        if self.shard is None:
            return False
        with suppress(OSError):  # it died between two shards: its sentinel says so
            self.pipe.send(self.shard)
        return True

    def outcome(self) -> Outcome | _Note | str:
        """What became of its shard, how far it is, or how the worker died."""
        try:
            if self.pipe.poll():
                answer: Outcome | _Note = self.pipe.recv()
                return answer
        except (EOFError, OSError):
            pass
        self.process.join()
        self.pipe.close()
        return describe_death(self.process.exitcode, self._killed_before)

    def stop(self) -> None:
        """End it: at once where it is idle, by a signal where it is at work."""
        if self.shard is not None:
            self.process.terminate()
        self.pipe.close()
        self.process.join(10)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _serve(pipe: Connection, work: ShardWork, number: int) -> None:
    os.environ[WORKER] = str(number)
    take_interrupts(silently=True)
    threading.Thread(target=_die_with_the_run, daemon=True).start()
    while True:
        try:
            shard = pipe.recv()
        except EOFError:
            return
        with notes_to(lambda line: pipe.send(_Note(line))):
            outcome = work.do(shard)
        pipe.send(outcome)


def _die_with_the_run() -> None:
    """A worker whose run was killed must not continue to write."""
    run = multiprocessing.parent_process()
    if run is not None:
        wait([run.sentinel])
        os._exit(1)
