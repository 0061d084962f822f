"""Executors: what takes shards to processes or machines. The functions that do a shard do not know which it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from pipeline.errors import UsageError, XlmrError
from pipeline.plug_ins import calling
from pipeline.run_settings import EXECUTORS
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
    """The executor that the configuration names. Errors: XlmrError for one that cannot be made or used."""
    _check_memory(settings)
    if settings.executor == "beam":
        from pipeline.executors.beam import BeamExecutor
        from pipeline.extras import check_extra

        check_extra("beam", "run.executor: beam")
        beam = settings.beam
        return BeamExecutor(settings.workers, beam.options, beam.runner, settings.silence_minutes)
    if settings.executor == "dask":
        from pipeline.executors.dask import DaskExecutor
        from pipeline.extras import check_extra

        check_extra("dask", "run.executor: dask")
        return DaskExecutor(settings.workers, settings.dask, settings.silence_minutes)
    with calling(string := EXECUTORS.import_string(settings.executor)):
        executor: Executor = EXECUTORS.load(settings.executor)(settings.workers)
    if not (hasattr(executor, "run") and hasattr(executor, "at_most")):
        raise XlmrError(f"run.executor: {string} makes no executor", "give it the methods run and at_most")
    return executor


def _check_memory(settings: RunConfig) -> None:
    """Errors: UsageError where runs are kept in the memory of this process, and other processes would do the shards."""
    if not str(settings.directory).startswith("memory://"):
        return
    if settings.workers > 1 or settings.executor in ("dask", "beam", "slurm"):
        raise UsageError(
            f"run.directory: {settings.directory} is the memory of one process, which workers do not share",
            "use --run.executor local --run.workers 1, or name a folder or a bucket",
        )
