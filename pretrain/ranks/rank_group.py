"""The ranks of one launch, and what they tell each other outside training: what to do, who failed, who is gone.

It all goes through the small key-value store that the launcher's address names (``MASTER_ADDR``, ``MASTER_PORT``).
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from torch.distributed.distributed_c10d import Store
from torch.distributed.rendezvous import rendezvous

from pipeline.lease import birth_of_process, process_space

BEAT_SECONDS = 5.0
EXPIRY_SECONDS = 60.0
"""A rank on another machine that has not beaten for so long is taken for dead. On this one its process is looked at."""

LOOK_SECONDS = 0.5
GRACE_SECONDS = 10.0
"""A collective may wait for ever for a rank that is gone: who has not come back from it by then is ended."""

AGAIN = "the same command resumes from the last checkpoint"


class RankGroup:
    """This rank among all of a launch. Errors in reaching the store mean that the launcher or rank 0 is gone."""

    def __init__(self, rank: int, world: int, store: Store) -> None:
        self.rank, self.world = rank, world
        self._store, self._lock, self._holds = store, threading.Lock(), store
        self._own: dict[str, Any] = {"host": socket.gethostname(), "space": process_space(), "pid": os.getpid()}
        self._own["born"] = birth_of_process(os.getpid())
        self._who: dict[int, dict[str, Any]] = {}
        self._beats: dict[int, tuple[str, float]] = {}
        self._tell(f"who/{rank}", self._own)

    @classmethod
    def join(cls) -> RankGroup:
        """Meet the others at the address that the launcher put into the environment."""
        store, rank, world = next(rendezvous("env://"))
        rank_group = cls(rank, world, store.clone())  # a connection of our own: nobody blocks it
        rank_group._holds = store  # where there is no agent, rank 0's is the store itself
        return rank_group

    def send(self, number: int, work: dict[str, Any]) -> None:
        """Rank 0: job ``number``, for the others."""
        self._tell(f"work/{number}", work)

    def receive(self, number: int) -> dict[str, Any] | None:
        """The others: wait for job ``number``; None when there is no more, or nobody to give it."""
        while not self.code_of_rank_0() and not self._is_gone(0):
            work = self._ask(f"work/{number}")
            if work is not None:
                return work
            time.sleep(LOOK_SECONDS)
        return None

    def leave(self, code: int) -> None:
        """Rank 0: say that the command has ended, with this exit code."""
        self._tell("over", [code])

    def code_of_rank_0(self) -> list[int] | None:
        """[exit code] when rank 0 has ended."""
        try:
            return self._ask("over")
        except RuntimeError:
            return [1]  # the store went with the one that held it

    def failed(self, line: str, *, lost: bool) -> None:
        """Say that this rank failed; ``lost`` when it was for another's being gone. Then wait until rank 0 has ended.

        Who leaves first has the launcher end the others, and the reason would be lost.
        """
        self._tell(f"failed/{self.rank}", {"line": line, "lost": lost})
        deadline = time.monotonic() + 2 * GRACE_SECONDS
        while time.monotonic() < deadline and not self.code_of_rank_0():
            time.sleep(LOOK_SECONDS / 5)

    def trouble(self) -> str | None:
        """What is wrong with another rank, or None. Who is the cause comes before who suffers."""
        try:
            failures = {rank: self._ask(f"failed/{rank}") for rank in range(self.world) if rank != self.rank}
        except RuntimeError:
            return f"the launcher is gone; {AGAIN}"
        for rank, failure in failures.items():
            if failure and not failure["lost"]:
                return f"rank {rank}: {failure['line']}"
        for rank in range(self.world):
            if rank != self.rank and self._is_gone(rank):
                who = self._who[rank]
                return f"rank {rank} (process {who['pid']} on {who['host']}) is gone; {AGAIN}"
        return next((f"rank {rank}: {failure['line']}" for rank, failure in failures.items() if failure), None)

    def first_trouble(self) -> str | None:
        """What is wrong with another rank, if it shows soon."""
        deadline = time.monotonic() + GRACE_SECONDS / 2
        while (line := self.trouble()) is None and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS / 5)
        return line

    @contextmanager
    def watch(self, stage: str) -> Iterator[None]:
        """Look after the other ranks while the block runs: where one is gone and a collective does not notice, end.

        ``stage`` is what they work on, for the line that says so.
        """
        done = threading.Event()
        watcher = threading.Thread(target=self._watch, args=[stage, done], daemon=True, name="rank group")
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()

    def _watch(self, stage: str, done: threading.Event) -> None:
        beat = 0.0
        while not done.wait(LOOK_SECONDS):
            if time.monotonic() - beat > BEAT_SECONDS:
                beat = time.monotonic()
                with suppress(RuntimeError):  # trouble says so
                    self._tell(f"beat/{self.rank}", beat)
            line = self.trouble()
            over = self.rank and self.code_of_rank_0()
            if (line or over) and not done.wait(GRACE_SECONDS):
                if line and not over and self._speaks():
                    print(f"xlmr: {stage}: {line}", file=sys.stderr, flush=True)
                os._exit(1)

    def _speaks(self) -> bool:
        """Whether this is the first rank that is there."""
        return all(self._is_gone(rank) for rank in range(self.rank))

    def _is_gone(self, rank: int) -> bool:
        try:
            who = self._who.get(rank) or self._ask(f"who/{rank}")
            if who is None:
                return False  # not there yet
            self._who[rank] = who
            if (who["host"], who["space"]) == (self._own["host"], self._own["space"]):
                return birth_of_process(who["pid"]) != who["born"]
            beat, seen = str(self._ask(f"beat/{rank}")), time.monotonic()
        except RuntimeError:
            return True
        if self._beats.get(rank, ("", 0.0))[0] != beat:
            self._beats[rank] = (beat, seen)
        return beat != "None" and seen - self._beats[rank][1] > EXPIRY_SECONDS

    def _tell(self, key: str, value: Any) -> None:
        with self._lock:
            self._store.set(key, json.dumps(value))

    def _ask(self, key: str) -> Any:
        with self._lock:
            return json.loads(self._store.get(key)) if self._store.check([key]) else None
