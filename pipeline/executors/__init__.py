"""Executors: what takes shards to processes or machines. The functions that do a shard do not know which it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from pipeline.shards import Outcome, Shard, ShardWork

if TYPE_CHECKING:
    from pipeline.run_settings import RunConfig

ATTEMPTS = 3
"""How often a shard whose worker was killed is tried in all."""


class Executor(Protocol):
    """Does shards anywhere that sees the output folder."""

    def run(self, work: ShardWork, shards: Sequence[Shard]) -> Iterator[tuple[str, Outcome]]:
        """Do each of ``shards`` once, in any order, and yield (name, mark or failure) as each is done.

        A shard whose worker is killed is tried ``ATTEMPTS`` times, and does not take others with it.
        """
        ...

    def at_most(self, workers: int) -> Executor:
        """The same with no more than so many workers."""
        ...


def make_executor(settings: RunConfig) -> Executor:
    """The executor that the configuration names. A Slurm array is many tasks, each of which works locally."""
    if settings.executor == "beam":
        from pipeline.executors.beam import BeamExecutor
        from pipeline.extras import check_extra

        check_extra("beam", "run.executor: beam")
        return BeamExecutor(settings.workers, settings.beam)
    from pipeline.executors.local import LocalExecutor

    return LocalExecutor(settings.workers)
