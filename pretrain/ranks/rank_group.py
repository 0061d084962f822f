"""The ranks of one launch, and what they tell each other outside training: what to do, who failed, who is gone.

It all goes through the small key-value store that the launcher's address names (``MASTER_ADDR``, ``MASTER_PORT``).
Each rank has a heartbeat. Nobody waits longer than ``EXPIRY_SECONDS`` for one that has stopped, for the store that does
not answer, or for a training that stands still (``pulse``): every rank then ends, whatever it waits for.
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
from datetime import timedelta
from typing import Any, NoReturn

from torch.distributed.distributed_c10d import Store
from torch.distributed.rendezvous import rendezvous

from pipeline.errors import XlmrError
from pipeline.lease import birth_of_process, process_space, release_held
from pretrain.ranks.pulse import AwakeClock, PulseWatch, stalled_rank
from pretrain.ranks.store_calls import StoreCalls, StoreLostError

BEAT_SECONDS = 5.0
EXPIRY_SECONDS = 60.0
"""A rank that has not beaten for so long is taken for dead. One of this machine whose process has ended is seen so."""

JOIN_MINUTES = 10.0
"""Ranks that have not come after so long are not waited for."""

LOOK_SECONDS = 0.5
GRACE_SECONDS = 10.0
"""A collective may wait for ever for a rank that is gone: who has not come back from it by then is ended."""

AGAIN = "the same command resumes from the last checkpoint"


class RankGroup:
    """This rank among all of a launch. Errors in reaching the store mean that the launcher or rank 0 is gone."""

    def __init__(self, rank: int, world: int, store: Store) -> None:
        self.rank, self.world = rank, world
        self._calls, self._holds, self._left = StoreCalls(store), store, threading.Event()
        self._others = [other for other in range(world) if other != rank]
        self._own: dict[str, Any] = {"host": socket.gethostname(), "space": process_space(), "pid": os.getpid()}
        self._own["born"] = birth_of_process(os.getpid())
        self._who: dict[int, dict[str, Any]] = {}
        self._clock, self._pulse = AwakeClock(), PulseWatch()
        self._beats: dict[int, tuple[dict[str, Any], float]] = {}
        self._stage, self._spoke = "waiting for work", False
        self._beat(0)
        self._tell(f"who/{rank}", self._own)
        threading.Thread(target=self._keep_beating, daemon=True, name="heartbeat").start()

    @classmethod
    def join(cls) -> RankGroup:
        """Meet the others at the address that the launcher put into the environment. Errors: XlmrError."""
        address = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        try:
            store, rank, world = next(rendezvous("env://", timeout=timedelta(minutes=JOIN_MINUTES)))
        except RuntimeError as error:
            line = str(error).splitlines()[0][:160]
            raise XlmrError(
                f"the ranks do not meet at {address} ({line})", "check MASTER_ADDR and MASTER_PORT"
            ) from None
        rank_group = cls(rank, world, store.clone())  # a connection of our own: nobody blocks it
        rank_group._holds = store  # where there is no agent, rank 0's is the store itself
        return rank_group

    def send(self, number: int, work: dict[str, Any]) -> None:
        """Rank 0: job ``number``, for the others."""
        self._tell(f"work/{number}", work)

    def receive(self, number: int) -> dict[str, Any] | None:
        """The others: wait for job ``number``; None when there is no more, or nobody to give it."""
        try:
            while not self._ask("over"):
                self._look()
                if line := self._why_gone(0):
                    self._speak_first(line)
                    return None
                work: dict[str, Any] | None = self._ask(f"work/{number}")
                if work is not None:
                    return work
                time.sleep(LOOK_SECONDS)
        except StoreLostError as error:
            self._speak_first(f"{error}; {AGAIN}")
        except RuntimeError:
            pass  # the store went with the one that held it, who says why
        return None

    def leave(self, code: int) -> None:
        """Rank 0: say that the command has ended, with this exit code."""
        self._left.set()
        with suppress(RuntimeError):  # the store may be gone
            self._tell("over", [code])

    def code_of_rank_0(self) -> list[int] | None:
        """[exit code] when rank 0 has ended."""
        try:
            code: list[int] | None = self._ask("over")
        except RuntimeError:
            return [1]  # the store went with the one that held it
        return code

    def failed(self, line: str, *, lost: bool) -> None:
        """Say that this rank failed; ``lost`` when it was for another's being gone. Then wait until rank 0 has ended.

        Who leaves first has the launcher end the others, and the reason would be lost.
        """
        try:
            self._tell_failure(line, lost=lost)
        except StoreLostError as error:
            return self._speak_first(f"rank {self.rank}: {line}; {error}")
        except RuntimeError:
            return None  # the store went with rank 0, which says why
        deadline = time.monotonic() + 2 * GRACE_SECONDS
        while time.monotonic() < deadline and not self.code_of_rank_0():
            time.sleep(LOOK_SECONDS / 5)
        return None

    def trouble(self) -> str | None:
        """What is wrong with another rank, or None. Who is the cause comes before who suffers."""
        try:
            failures = self._failures()
            self._look()
        except StoreLostError as error:
            return f"{error}; {AGAIN}"
        except RuntimeError:
            return f"the launcher is gone; {AGAIN}"
        for rank, failure in failures.items():
            if not failure["lost"]:
                return f"rank {rank}: {failure['line']}"
        for rank in self._others:
            if line := self._why_gone(rank):
                return line
        return self._stall() or next((f"rank {rank}: {failure['line']}" for rank, failure in failures.items()), None)

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
        self._stage = stage
        watcher = threading.Thread(target=self._watch, args=[done], daemon=True, name="rank group")
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()

    def _watch(self, done: threading.Event) -> None:
        while not done.wait(LOOK_SECONDS):
            line = self.trouble()
            over = self.rank and line is None and self.code_of_rank_0()
            if not (line or over):
                continue
            speaks = self._speaks()  # before the others end
            if not done.wait(GRACE_SECONDS):
                if line and speaks and not (self.rank and self._is_over()):
                    self._speak(line)
                end_process(1)

    def _is_over(self) -> bool:
        try:
            return bool(self._ask("over"))
        except RuntimeError:
            return False

    def _speaks(self) -> bool:
        """Whether this is the first rank of its machine that lives: other machines may not be heard."""
        return all(not self._is_here(rank) or self._why_gone(rank) for rank in range(self.rank))

    def _speak_first(self, line: str) -> None:
        if self._speaks():
            self._speak(line)

    def _speak(self, line: str) -> None:
        if not self._spoke:
            self._spoke = True
            print(f"xlmr: {self._stage}: {line}", file=sys.stderr, flush=True)

    def _look(self) -> None:
        """Read from the store what the others have written."""
        now = self._clock()
        for rank in [rank for rank in self._others if rank not in self._who]:
            if who := self._ask(f"who/{rank}"):
                self._who[rank] = who
        if not self._who:
            return
        keys = [f"beat/{rank}" for rank in self._who]
        for rank, written in zip(self._who, self._calls(lambda store: store.multi_get(keys)), strict=True):
            beat = json.loads(written)
            if self._beats.get(rank, (None, 0.0))[0] != beat:
                self._beats[rank] = (beat, now)

    def _failures(self) -> dict[int, dict[str, Any]]:
        if not self._ask("failed"):
            return {}
        found = {rank: self._ask(f"failed/{rank}") for rank in self._others}
        return {rank: failure for rank, failure in found.items() if failure}

    def _why_gone(self, rank: int) -> str | None:
        """A line about a rank that does nothing more, or None."""
        who = self._who.get(rank)
        if who is None:
            if self._clock() < JOIN_MINUTES * 60:
                return None
            return f"rank {rank} has not come within {JOIN_MINUTES:g} minutes; start all hosts at about the same time"
        if not self._is_alive(rank):
            return f"{self._describe(rank)} is gone; {AGAIN}"
        if self._clock() - self._beats[rank][1] > EXPIRY_SECONDS:
            return f"{self._describe(rank)} has not been heard of for {EXPIRY_SECONDS:.0f} s; {AGAIN}"
        return None

    def _stall(self) -> str | None:
        records = {rank: beat for rank, (beat, _) in self._beats.items()}
        records[self.rank] = self._pulse.record(self._clock())
        rank = stalled_rank(records)
        if rank is None:
            return None
        who = self._own if rank == self.rank else self._who[rank]
        at, seconds = records[rank]["what"], records[rank]["stalled"]
        line = f"process {who['pid']} on {who['host']} has stood still for {seconds} s in {at}; {AGAIN}"
        if rank == self.rank:
            with suppress(RuntimeError):  # before it is gone, or that would be all that the others see
                self._tell_failure(line, lost=False)
        return f"rank {rank}: {line}"

    def _tell_failure(self, line: str, *, lost: bool) -> None:
        self._tell(f"failed/{self.rank}", {"line": line, "lost": lost})
        self._tell("failed", True)

    def _describe(self, rank: int) -> str:
        who = self._who[rank]
        return f"rank {rank} (process {who['pid']} on {who['host']})"

    def _is_here(self, rank: int) -> bool:
        who = self._who.get(rank)
        return who is not None and (who["host"], who["space"]) == (self._own["host"], self._own["space"])

    def _is_alive(self, rank: int) -> bool:
        """Whether its process is there, where that can be seen."""
        return not self._is_here(rank) or birth_of_process(self._who[rank]["pid"]) == self._who[rank]["born"]

    def _keep_beating(self) -> None:
        number = 0
        while not self._left.wait(BEAT_SECONDS):
            number += 1
            with suppress(RuntimeError):  # trouble says so
                self._beat(number)

    def _beat(self, number: int) -> None:
        record = self._pulse.record(self._clock())
        self._tell(f"beat/{self.rank}", {"number": number, **record})

    def _tell(self, key: str, value: Any) -> None:
        text = json.dumps(value)
        self._calls(lambda store: store.set(key, text))

    def _ask(self, key: str) -> Any:
        text = self._calls(lambda store: store.get(key) if store.check([key]) else None)
        return None if text is None else json.loads(text)


def end_process(code: int) -> NoReturn:
    """End at once: what is left of a collective waits for ranks that are gone, and lets nothing else through."""
    with suppress(OSError):
        release_held()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
