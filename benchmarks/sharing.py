"""What a stage of many shards costs its file system when many tasks share it: a simulation with a clock of its own.

    python -m benchmarks.sharing --shards 90000 --workers 1000

The tasks are real (``pipeline.shards.sharing``); leases, marks and time are simulated, and every operation on the file
system is counted. Tasks come late, never come, die and are requeued, and some are slow, at the rates given below.
"""

from __future__ import annotations

import argparse
import heapq
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from pipeline.shards import sharing as module
from pipeline.shards.partitions import FinishedByOtherError, Partition, stage_lock_path
from pipeline.shards.sharing import Pause, ShardChunk, Sharing

EXPIRY_SECONDS = 120.0
NEVER, LATE, DIES, SLOW = 0.01, 0.05, 0.03, 0.02
"""Of all tasks: those that never come (a node that is down), come up to an hour late (a queue), die in each hour, and
need four times as long. A batch cluster loses about 1 % of its nodes a day; pre-emption takes most of the rest."""
SHARD_SECONDS = 40.0


@dataclass
class World:
    """The file system and the clock that all tasks share."""

    folder: Path
    names: dict[str, int]
    now: float = 0.0
    operations: Counter[str] = field(default_factory=Counter)
    marks: dict[str, int] = field(default_factory=dict)
    summary: list[str] = field(default_factory=list)
    owners: dict[Path, int] = field(default_factory=dict)
    died: dict[int, float] = field(default_factory=dict)
    task: int = -1
    finished: bool = False
    remembered: tuple[int, set[str]] = field(default_factory=lambda: (-1, set()))

    def is_alive(self, path: Path) -> bool:
        """Whether the owner of a lease lives, or has died so lately that nobody knows."""
        owner = self.owners.get(path)
        return owner is not None and self.now - self.died.get(owner, self.now) < EXPIRY_SECONDS

    def missing(self, known: int) -> set[str]:
        """What is not among the first ``known`` lines of the summary; remembered, for many ask at the same time."""
        if self.remembered[0] != known:
            self.remembered = known, set(self.names).difference(self.summary[:known])
        return self.remembered[1]


def simulated(world: World) -> Any:
    """The names of ``pipeline.shards.sharing`` that stand for the file system and the clock."""

    class Lease:
        def __init__(self, path: Path) -> None:
            self.path = path

        def take(self) -> dict[str, Any] | None:
            world.operations["lease"] += 5
            if world.is_alive(self.path):
                return {"pid": 0, "host": "node"}
            self.path.touch()
            world.owners[self.path] = world.task
            return None

        def release(self) -> None:
            world.operations["lease"] += 2
            self.path.unlink(missing_ok=True)
            world.owners.pop(self.path, None)

        def is_held(self) -> bool:
            return world.owners.get(self.path) == world.task

    def live_owner(path: Path, clock: Any = None) -> dict[str, Any] | None:
        world.operations["question"] += 2
        return {"pid": 0, "host": "node"} if world.is_alive(path) else None

    def clock_of(folder: Path) -> Any:
        world.operations["look"] += 5  # the listing, the clock's file, the summary
        return lambda: world.now

    return {
        "Lease": Lease, "live_owner": live_owner, "FolderClock": clock_of,
        "time_of_folder": lambda folder: time.time(),
        "time": SimpleNamespace(monotonic=lambda: world.now, sleep=lambda seconds: None),
    }  # fmt: skip


def task(world: World, number: int, workers: int, rng: random.Random, dies_after: float) -> Iterator[float]:
    """One task: yields how long it is busy or waits, until the stage is finished or it dies."""
    begun = world.now
    slow = 4.0 if rng.random() < SLOW else 1.0
    known = 0

    def missing() -> set[str]:
        nonlocal known
        world.operations["look"] += 2
        known = len(world.summary)
        return world.missing(known)

    sharing = Sharing(
        world.folder / "stage" / "0", Partition(number, workers), 1, workers=1, wait=True,
        is_finished=lambda: world.finished, say=lambda line: None,
    )  # fmt: skip
    sharing.enter(lambda: True, wait=True)
    for step in sharing.steps(world.names, missing):
        if isinstance(step, Pause):
            yield step.seconds
        else:
            yield from do_chunk(world, step, rng, slow, begun + dies_after)
        if world.now >= begun + dies_after:
            world.died[world.task] = world.now
            return
    world.finished = True
    sharing.close()


def do_chunk(world: World, chunk: ShardChunk, rng: random.Random, slow: float, dies_at: float) -> Iterator[float]:
    """Shard after shard; the summary is written at the end of the chunk, so a task that dies leaves marks only."""
    left = world.missing(len(world.summary))
    own = [name for name in chunk.names if name in left]
    for name in own:
        world.operations["mark"] += 1  # a task that died may have left one
        if name in world.marks:
            continue
        yield slow * rng.lognormvariate(0, 0.5) * SHARD_SECONDS
        if world.now >= dies_at:
            return
        world.operations["mark"] += 4
        world.marks[name] = world.marks.get(name, 0) + 1
    if own:
        world.operations["summary"] += 5
        world.summary += own


def simulate(shards: int, workers: int, seed: int = 0) -> World:
    """The stage from its first task to the last."""
    rng = random.Random(seed)
    random.seed(seed)
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder), {f"shard-{number:05}": number for number in range(shards)})
        (world.folder / "stage" / "0").mkdir(parents=True)
        with mock.patch.multiple(module, **simulated(world)):
            run_tasks(world, workers, rng)
        assert not world.owners.get(stage_lock_path(world.folder / "stage" / "0"))
    return world


def run_tasks(world: World, workers: int, rng: random.Random) -> None:
    """All tasks, each begun when it comes; one that died is requeued once, after ten minutes."""
    waiting: list[tuple[float, int, int]] = []
    running: dict[int, Iterator[float]] = {}
    for number in range(workers):
        if rng.random() >= NEVER:
            waiting.append((rng.uniform(0, 3600) if rng.random() < LATE else rng.uniform(0, 30), number, number))
    heapq.heapify(waiting)
    fresh = workers
    while waiting and not world.finished:
        world.now, identity, number = heapq.heappop(waiting)
        world.task = identity
        if identity not in running:
            dies_after = rng.expovariate(DIES / 3600)
            running[identity] = task(world, number, workers, rng, dies_after)
        try:
            heapq.heappush(waiting, (world.now + next(running[identity]), identity, number))
        except StopIteration:
            if identity in world.died:
                heapq.heappush(waiting, (world.now + 600, fresh, number))
                fresh += 1
        except FinishedByOtherError:
            continue


def report(world: World, shards: int, workers: int) -> str:
    """What it cost, in a line."""
    total = sum(world.operations.values())
    parts = ", ".join(f"{name} {count / shards:.2f}" for name, count in sorted(world.operations.items()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return (
        f"{shards:,} shards, {workers:,} workers: {total / shards:.1f} operations a shard ({parts}); "
        f"{world.now / 3600:.2f} h, ideal {shards * SHARD_SECONDS * 1.13 / workers / 3600:.2f} h; "
        f"{len(world.died)} tasks died; {sum(n > 1 for n in world.marks.values())} shards done twice, "
        f"{shards - len(world.marks)} lost; {peak:.2f} GB for all tasks in one process"
    )


def main(words: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=90_000)
    parser.add_argument("--workers", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(words)
    print(report(simulate(given.shards, given.workers, given.seed), given.shards, given.workers))
    return 0


if __name__ == "__main__":
    sys.exit(main())
