"""Several tasks at one stage, on a file system that they share: an array job, or the same command on some machines.

Task r of n does partition r: the shards r::n. What keeps the tasks apart:

``<output>.lease``                           the stage lock. Its holder makes the output ready or finishes the stage. A
                                             run by itself holds it all the time.
``<output>.partition-r-of-n.lease``          partition r is being done.
``<output>.partition-r-of-n.chunk-c.lease``  chunk c of it is being done, by its task or by one that had nothing to do.
``.running/absent-r-of-n``                   the task of partition r did not come or died: nobody waits for it in later
                                             stages. It removes the file when it comes.

A task that finds all shards complete takes the stage lock, and if no other has finished the stage, does so. A task that
is done early waits (``sharing.py``). Shards are written in workspaces of their own and are the same bytes whoever makes
them, so a task that was wrongly taken for dead spoils nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UsageError, XlmrError
from pipeline.lease import describe_owner, live_owner

if TYPE_CHECKING:
    from pipeline.run_settings import RunConfig

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

    def of(self, names: Iterable[str]) -> Sequence[str]:
        """The names that are this partition's."""
        return list(islice(names, self.number, None, self.world))

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


def chunk_path(output: Path, partition: Partition, chunk: int) -> Path:
    """The lease of one chunk of a partition."""
    return output.with_name(f"{output.name}.partition-{partition.number}-of-{partition.world}.chunk-{chunk}.lease")


def absence_path(output: Path, partition: Partition) -> Path:
    """The file that says, for all stages of the project, that the task of a partition has not come or has died."""
    return output.parent.parent / ".running" / f"absent-{partition.number}-of-{partition.world}"


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
