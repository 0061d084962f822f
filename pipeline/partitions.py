"""Several tasks at one stage, on a file system that they share: an array job, or the same command on some machines.

Task r of n does partition r: the shards r::n. What keeps the tasks apart:

``<output>.lease``                   the stage lock. Its holder makes the output ready, takes a partition, or
                                     finishes the stage. A run by itself holds it all the time.
``<output>.partition-r-of-n.lease``  partition r is being done. It is taken while the task holds the stage lock, and
                                     released when the partition is done.

A task that finds all shards complete takes the stage lock, and if no other has finished the stage, does so. A task that
is done early waits; it takes over a partition that nobody does (its task has died, or has not begun after a while).
Shards are written in workspaces of their own and are the same bytes whoever makes them, so a task that was wrongly
taken for dead spoils nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError, XlmrError
from pipeline.lease import Lease, describe_owner, live_owner, time_of_folder
from pipeline.storage import read_json, write_json

if TYPE_CHECKING:
    from pipeline.run_settings import RunConfig

LOOK_SECONDS = 2.0
"""How often a waiting task looks."""

LATE_SECONDS = 60.0
"""A partition whose task has not begun after so long is taken over by one that waits."""

SAY_SECONDS = 30.0

FAILURES = ".failed-*.json"


class LeftToOthersError(Exception):
    """This task has done its partition and does not wait; other tasks finish the stage. Not a failure."""


class FinishedByOtherError(Exception):
    """Another task has finished the stage while this one was at it."""


@dataclass(frozen=True)
class Partition:
    """Partition ``number`` of ``world``: the shards number::world."""

    number: int
    world: int

    def of(self, names: Sequence[str]) -> Sequence[str]:
        """The names that are this partition's."""
        return names[self.number :: self.world]

    def __str__(self) -> str:
        return f"{self.number}/{self.world}"


def partition_of(settings: RunConfig, environment: Mapping[str, str] = os.environ) -> Partition | None:
    """Which partition of each stage this task does; None where it does all. Errors: UsageError."""
    if settings.partition is not None:
        partition = Partition(*map(int, settings.partition.split("/")))
        if partition.number >= partition.world:
            raise UsageError(
                f"run.partition: {partition} is no partition",
                f"partitions of {partition.world} are 0 to {partition.world - 1}",
            )
    elif settings.executor == "slurm":
        partition = _partition_of_array(environment)
    else:
        return None
    return partition if partition.world > 1 else None


def _partition_of_array(environment: Mapping[str, str]) -> Partition:
    try:
        task = int(environment["SLURM_ARRAY_TASK_ID"])
        world = int(environment["SLURM_ARRAY_TASK_COUNT"])
    except (KeyError, ValueError):
        raise UsageError(
            "run.executor is slurm, but this is not a task of an array job",
            "submit infra/slurm/corpus.sbatch with --array, or give run.partition",
        ) from None
    first = int(environment.get("SLURM_ARRAY_TASK_MIN", "0"))
    step = int(environment.get("SLURM_ARRAY_TASK_STEP", "1"))
    number, rest = divmod(task - first, step)
    if rest or not 0 <= number < world:
        raise UsageError(
            f"array task {task} is not one of {world} in a row", "submit --array=0-15, or give run.partition"
        )
    return Partition(number, world)


def stage_lock_path(output: Path) -> Path:
    """The lease of the whole output."""
    return output.with_name(f"{output.name}.lease")


def partition_path(output: Path, partition: Partition) -> Path:
    """The lease of one partition of it."""
    return output.with_name(f"{output.name}.partition-{partition.number}-of-{partition.world}.lease")


def refuse_while_partitions_are_done(output: Path) -> None:
    """Errors: XlmrError when another task does a partition of ``output``. Call it while holding the stage lock."""
    for path in sorted(output.parent.glob(f"{output.name}.partition-*.lease")):
        owner = live_owner(path)
        if owner is not None:
            raise XlmrError(
                f"a partition of {output} is being written by {describe_owner(owner)}",
                "wait for it to end, or stop it and run the same command again",
            )
        path.unlink(missing_ok=True)


class Sharing:
    """One task's side of one stage that several do. Close it when the stage is left, whatever happened.

    ``calls``        how many calls of ``map_shards`` are shared.
    ``is_finished``  whether the manifest is there; an XlmrError where the output is no longer made from the inputs that
                     this task began with.
    """

    def __init__(
        self,
        output: Path,
        partition: Partition,
        calls: int,
        *,
        wait: bool,
        is_finished: Callable[[], bool],
        say: Callable[[str], None],
    ) -> None:
        self.output, self.partition, self.calls_left, self._wait = output, partition, calls, wait
        self._is_finished, self._say = is_finished, say
        self._stage_lock: Lease | None = None
        self._held: tuple[Partition, Lease] | None = None
        self._said = 0.0
        self._calls_begun = 0
        output.parent.mkdir(parents=True, exist_ok=True)
        self._began = time_of_folder(output.parent)

    def close(self) -> None:
        """Release whatever is held."""
        self._release_partition()
        self.release_stage_lock()

    def take_stage_lock(self, *, wait: bool = True) -> Lease:
        """Take the stage lock when nobody else is at it. Errors: LeftToOthersError, without ``wait``, if another is."""
        while True:
            stage_lock = Lease(stage_lock_path(self.output))
            owner = stage_lock.take()
            if owner is None:
                self._stage_lock = stage_lock
                return stage_lock
            if not wait:
                raise LeftToOthersError(f"{describe_owner(owner)} is at it")
            self._pause(f"{describe_owner(owner)} is at it")

    def holds_stage_lock(self) -> bool:
        """Whether the stage lock is ours, and nobody has taken us for dead."""
        return self._stage_lock is not None and self._stage_lock.is_held()

    def release_stage_lock(self) -> None:
        """Release the stage lock."""
        if self._stage_lock is not None:
            self._stage_lock.release()
            self._stage_lock = None

    def begin_partition(self, partition: Partition) -> bool:
        """Take a partition, while holding the stage lock; False where another task has it."""
        assert self._stage_lock is not None, "partitions are taken at the stage lock"
        lease = Lease(partition_path(self.output, partition))
        if lease.take() is not None:
            return False
        self._failure_path(partition).unlink(missing_ok=True)
        self._held = (partition, lease)
        return True

    def partitions(self, names: Sequence[str], missing: Callable[[], set[str]]) -> Iterator[Sequence[str]]:
        """The names of the shards to do, partition after partition, until none is ``missing``.

        After the last shared call the stage lock is ours then.
        Errors: FinishedByOtherError; LeftToOthersError; XlmrError where a partition has failed in another task.
        """
        late = time.monotonic() + (LATE_SECONDS if self._wait else 0)
        after_others = self._calls_begun > 0
        self._calls_begun += 1
        self.calls_left -= 1
        while True:
            if self._held is not None:
                yield self._held[0].of(names)
                self._release_partition()
            left = missing()
            if not left and not self.calls_left:
                self.take_stage_lock(wait=self._wait)
            if self._is_finished():
                raise FinishedByOtherError
            if not left:
                return
            if self._wait or after_others:  # those who left after an earlier call do no part of this one
                self._take_over(names, left, late=time.monotonic() >= late)
            if self._held is not None:
                continue
            if not self._wait:
                raise LeftToOthersError(
                    f"partition {self.partition} is done, {len(left)} of {len(names)} shards are not: "
                    "the last task to be done finishes the stage"
                )
            self._pause(f"{len(names) - len(left)} of {len(names)} shards are complete")

    def failed(self, problem: str) -> None:
        """Tell the others that the partition in hand failed, so that none waits for it."""
        if self._is_finished():
            raise FinishedByOtherError
        if self._held is not None:
            write_json(self._failure_path(self._held[0]), {"problem": problem})

    def _take_over(self, names: Sequence[str], left: set[str], *, late: bool) -> None:
        """Take a partition that is not done and that nobody does, if there is one."""
        partitions = [Partition(number, self.partition.world) for number in range(self.partition.world)]
        undone = [partition for partition in partitions if left.intersection(partition.of(names))]
        free = [partition for partition in undone if live_owner(partition_path(self.output, partition)) is None]
        failures = {partition: problem for partition in free if (problem := self._failure(partition))}
        if failures and len(failures) == len(undone):
            partition, problem = next(iter(failures.items()))
            raise XlmrError(
                f"partition {partition} failed in another task: {problem}", "fix the cause and start it again"
            )
        for partition in free:
            begun = partition_path(self.output, partition).exists()  # by a task that has died
            if partition not in failures and (begun or late or partition == self.partition):
                self.take_stage_lock()
                try:
                    if not self._is_finished() and self.begin_partition(partition):
                        self._say(f"  taking over partition {partition}: nobody is at it")
                        return
                finally:
                    self.release_stage_lock()

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

    def _release_partition(self) -> None:
        if self._held is not None:
            self._held[1].release()
            self._held = None

    def _pause(self, line: str) -> None:
        if time.monotonic() - self._said > SAY_SECONDS or not self._said:
            self._said = time.monotonic()
            self._say(f"  partition {self.partition} waits: {line}")
        time.sleep(LOOK_SECONDS)
