"""One task's side of a stage that several tasks share: what it does next, and how long it waits.

A task does its partition in chunks, each under a lease of its own. When it is done it looks, less and less often, for
what nobody does: partitions whose task died or never came, and at the end chunks of those that are still under way.
The costs of a look do not grow with the number of tasks: one reading of what is new in the summary of marks, one
listing of the leases, and questions about a few of them.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import XlmrError
from pipeline.lease import FolderClock, Lease, describe_owner, live_owner, time_of_folder
from pipeline.shards.partitions import (
    FinishedByOtherError,
    LeftToOthersError,
    Partition,
    absence_path,
    chunk_path,
    partition_path,
    stage_lock_path,
)
from pipeline.storage import read_json, write_json

LOOK_SECONDS, LONGEST_LOOK_SECONDS = 2.0, 60.0
"""How often a waiting task looks: first and, as it waits longer, last."""

LATE_SECONDS = 60.0
"""A partition whose task has not begun after so long is taken over by one that waits."""

SAY_SECONDS = 30.0

CHUNKS = 16
"""A partition is done in so many chunks, or in fewer, so that each keeps all workers of a task busy for a while."""
A_WORKER = 2
"""The least shards of a chunk for each worker of a task."""

QUESTIONS = 16
"""Partitions that one look asks about at most, and so many partitions are the last ones, which are split."""


@dataclass(frozen=True)
class Pause:
    """The task has nothing to do for so long."""

    seconds: float


@dataclass(frozen=True)
class ShardChunk:
    """Shards to do next; none of them: the partition is through."""

    names: Sequence[str]


class Sharing:
    """Close it when the stage is left, whatever happened.

    ``calls``        how many calls of ``map_shards`` are shared.
    ``workers``      shards that each task does at once; the same for all tasks.
    ``is_finished``  whether the manifest is there; an XlmrError where the output is no longer made from the inputs that
                     this task began with.
    """

    def __init__(
        self,
        output: Path,
        partition: Partition,
        calls: int,
        *,
        workers: int,
        wait: bool,
        is_finished: Callable[[], bool],
        say: Callable[[str], None],
    ) -> None:
        self.output, self.partition, self.calls_left, self._wait = output, partition, calls, wait
        self._workers, self.is_finished, self._say = workers, is_finished, say
        self._stage_lock: Lease | None = None
        self._held: tuple[Partition, Lease] | None = None
        self._chunk: Lease | None = None
        self._at = partition
        self._said = 0.0
        self._waits_since: float | None = None
        self._calls_begun = 0
        output.parent.mkdir(parents=True, exist_ok=True)
        self._began = time_of_folder(output.parent)

    def close(self) -> None:
        """Release whatever is held."""
        self._release_chunk()
        self._release_partition()
        self.release_stage_lock()

    def take_stage_lock(self, *, wait: bool = True) -> Lease:
        """Take the stage lock when nobody else is at it. Errors: LeftToOthersError, without ``wait``, if another is."""
        for pause in self._locking(wait=wait):
            time.sleep(pause.seconds)
        assert self._stage_lock is not None, "it was taken"
        return self._stage_lock

    def _locking(self, *, wait: bool) -> Iterator[Pause]:
        while (owner := self._try_stage_lock()) is not None:
            if not wait:
                raise LeftToOthersError(f"{describe_owner(owner)} is at it")
            yield self._pause(f"{describe_owner(owner)} is at it")

    def _try_stage_lock(self) -> dict[str, Any] | None:
        """Take the stage lock; give its owner where it is another."""
        stage_lock = Lease(stage_lock_path(self.output))
        owner = stage_lock.take()
        if owner is None:
            self._stage_lock = stage_lock
            self._waits_since = None
        return owner

    def holds_stage_lock(self) -> bool:
        """Whether the stage lock is ours, and nobody has taken us for dead."""
        return self._stage_lock is not None and self._stage_lock.is_held()

    def release_stage_lock(self) -> None:
        """Release the stage lock."""
        if self._stage_lock is not None:
            self._stage_lock.release()
            self._stage_lock = None

    def enter(self, is_begun: Callable[[], bool], *, wait: bool) -> bool:
        """Begin our partition beside the others, or take the stage lock; whether the stage is one that others began.

        Where the output is ready, nobody waits for the stage lock: a run by itself looks for partitions after it has
        taken the lock, and we look for the lock after we have taken a partition, so one of us sees the other.
        Errors: LeftToOthersError, without ``wait``, if another is at it.
        """
        absence_path(self.output, self.partition).unlink(missing_ok=True)
        while True:
            if is_begun() and self.begin_partition(self.partition):
                if live_owner(stage_lock_path(self.output)) is None and is_begun():
                    return True
                self._release_partition()
            owner = self._try_stage_lock()
            if owner is None:
                return False
            if not wait:
                raise LeftToOthersError(f"{describe_owner(owner)} is at it")
            time.sleep(self._pause(f"{describe_owner(owner)} is at it").seconds)

    def begin_partition(self, partition: Partition) -> bool:
        """Take a partition; False where another task has it."""
        lease = Lease(partition_path(self.output, partition))
        if lease.take() is not None:
            return False
        self._failure_path(partition).unlink(missing_ok=True)
        self._held = (partition, lease)
        return True

    def steps(self, names: Mapping[str, int], missing: Callable[[], set[str]]) -> Iterator[ShardChunk | Pause]:
        """Chunks of shards to do and pauses, until none is ``missing``. ``names``: each shard's place in their order.

        After the last shared call the stage lock is ours then.
        Errors: FinishedByOtherError; LeftToOthersError; XlmrError where a partition has failed in another task.
        """
        late = time.monotonic() + (LATE_SECONDS if self._wait else 0)
        after_others = self._calls_begun > 0
        self._calls_begun += 1
        self.calls_left -= 1
        while True:
            if self._held is not None:
                yield from self._chunks_of_held(names)
            left = missing()
            if not left and not self.calls_left:
                yield from self._locking(wait=self._wait)
            if self.is_finished():
                raise FinishedByOtherError
            if not left and not (left := missing()):  # a look at the files may have shown that some are gone
                return
            self.release_stage_lock()
            if self._wait or after_others:  # those who left after an earlier call do no part of this one
                look = _Look(self, names, left, self._workers)
                if self._take_over(look, late=time.monotonic() >= late):
                    continue
                if chunk := self._split(look):
                    yield chunk
                    yield ShardChunk(())
                    self._release_chunk()
                    continue
            if not self._wait:
                raise LeftToOthersError(
                    f"partition {self.partition} is done, {len(left)} of {len(names)} shards are not: "
                    "the last task to be done finishes the stage"
                )
            yield self._pause(f"{len(names) - len(left)} of {len(names)} shards are complete")

    def failed(self, problem: str) -> None:
        """Tell the others that what we did last failed, so that none waits for it."""
        if self.is_finished():
            raise FinishedByOtherError
        write_json(self._failure_path(self._at), {"problem": problem})

    def _chunks_of_held(self, names: Mapping[str, int]) -> Iterator[ShardChunk]:
        assert self._held is not None, "a partition is held"
        self._at = self._held[0]
        self._waits_since = None
        for number, chunk in enumerate(chunks_of(self._at.of(names), self._workers)):
            if self._take_chunk(self._at, number):  # else one that waited does it
                yield ShardChunk(chunk)
                self._release_chunk()
        yield ShardChunk(())
        self._release_partition()

    def _take_chunk(self, partition: Partition, number: int) -> bool:
        lease = Lease(chunk_path(self.output, partition, number))
        if lease.take() is not None:
            return False
        self._chunk = lease
        return True

    def _take_over(self, look: _Look, *, late: bool) -> bool:
        """Take a partition that is not done and that nobody does, if there is one."""
        free = [partition for partition in look.asked if look.is_free(partition)]
        failures = {partition: problem for partition in free if (problem := self._failure(partition))}
        if failures and all(partition in failures or self._failure(partition) for partition in look.undone):
            partition, problem = next(iter(failures.items()))
            raise XlmrError(
                f"partition {partition} failed in another task: {problem}", "fix the cause and start it again"
            )
        for partition in free:
            if partition in failures or not (late or self._need_not_wait_for(partition, look)):
                continue
            if live_owner(stage_lock_path(self.output)) is None and self.begin_partition(partition):
                if partition != self.partition:
                    self._remember_absence(partition)
                    self._say(f"  taking over partition {partition}: nobody is at it")
                return True
        return False

    def _need_not_wait_for(self, partition: Partition, look: _Look) -> bool:
        """Whether its task has died, is this one, or did not come to earlier stages either."""
        begun = look.is_begun(partition)
        return begun or partition == self.partition or absence_path(self.output, partition).exists()

    def _remember_absence(self, partition: Partition) -> None:
        """So that in later stages nobody waits for its task, until that comes."""
        path = absence_path(self.output, partition)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def _split(self, look: _Look) -> ShardChunk | None:
        """A chunk of one of the last partitions, which are all under way: its last one that nobody has begun."""
        if len(look.undone) > max(QUESTIONS, self.partition.world // 4):
            return None
        for partition in look.asked:
            if not look.is_live(partition_path(self.output, partition)) or self._failure(partition):
                continue
            for number, chunk in reversed(list(enumerate(chunks_of(partition.of(look.names), self._workers)))):
                is_untouched = number > 0 and look.left.issuperset(chunk)
                if is_untouched and not look.is_taken(partition, number) and self._take_chunk(partition, number):
                    self._at = partition
                    self._waits_since = None
                    self._say(f"  taking {len(chunk)} shards of partition {partition}, which is under way")
                    return ShardChunk(chunk)
        return None

    def _failure_path(self, partition: Partition) -> Path:
        return self.output / f".failed-{partition.number}-of-{partition.world}.json"

    def _failure(self, partition: Partition) -> str | None:
        """What a task that began no earlier than this one wrote of its failure."""
        path = self._failure_path(partition)
        try:
            if path.stat().st_mtime < self._began:
                return None
            reported: dict[str, Any] = read_json(path)
        except FileNotFoundError:
            return None
        return str(reported["problem"])

    def _release_chunk(self) -> None:
        if self._chunk is not None:
            self._chunk.release()
            self._chunk = None

    def _release_partition(self) -> None:
        if self._held is not None:
            self._held[1].release()
            self._held = None

    def _pause(self, line: str) -> Pause:
        """As long as a quarter of what was waited already, so that few looks are made and none is much too late."""
        now = time.monotonic()
        if self._waits_since is None:
            self._waits_since = now
        if now - self._said > SAY_SECONDS or not self._said:
            self._said = now
            self._say(f"  partition {self.partition} waits: {line}")
        seconds = min(max((now - self._waits_since) / 4, LOOK_SECONDS), LONGEST_LOOK_SECONDS)
        return Pause(seconds * random.uniform(0.75, 1.25))  # tasks that began together do not look together


class _Look:
    """One look at the partitions that are not done, and at a few of their leases.

    The more tasks wait, the fewer each asks about: the leases of the last partitions are not asked for by all.
    """

    def __init__(self, sharing: Sharing, names: Mapping[str, int], left: set[str], workers: int) -> None:
        self._output, self.names, self.left, self._workers = sharing.output, names, left, workers
        own, world = sharing.partition, sharing.partition.world
        numbers = {names[name] % world for name in left}
        self.undone = [Partition(number, world) for number in sorted(numbers)]
        waiting = max(world - len(self.undone), 1)
        asks = min(max(math.ceil(4 * len(self.undone) / waiting), 2), QUESTIONS, len(self.undone))
        self.asked = random.sample(self.undone, asks)
        if own in self.undone and own not in self.asked:
            self.asked.append(own)
        self._there = {path.name for path in self._output.parent.glob(f"{self._output.name}.partition-*.lease")}
        self._clock = FolderClock(self._output.parent)
        self._live: dict[Path, bool] = {}

    def is_begun(self, partition: Partition) -> bool:
        """Whether there is a lease of it, of a live task or a dead one."""
        return partition_path(self._output, partition).name in self._there

    def is_free(self, partition: Partition) -> bool:
        """Whether nobody is at it, and one of the chunks that are left is free."""
        if self.is_live(partition_path(self._output, partition)):
            return False
        chunks = enumerate(chunks_of(partition.of(self.names), self._workers))
        return any(self.left.intersection(chunk) and not self.is_taken(partition, number) for number, chunk in chunks)

    def is_taken(self, partition: Partition, number: int) -> bool:
        """Whether somebody does the chunk."""
        return self.is_live(chunk_path(self._output, partition, number))

    def is_live(self, path: Path) -> bool:
        """Whether the lease at ``path`` has a live owner."""
        if path not in self._live:
            self._live[path] = path.name in self._there and live_owner(path, self._clock) is not None
        return self._live[path]


def chunks_of(names: Sequence[str], workers: int) -> list[Sequence[str]]:
    """The chunks of a partition; tasks with as many workers cut them in the same way."""
    size = max(math.ceil(len(names) / CHUNKS), A_WORKER * workers)
    return [names[start : start + size] for start in range(0, len(names), size)]
