"""What Beam's workers call. The only module that has to import Beam to be imported."""

from __future__ import annotations

from collections.abc import Iterable

import apache_beam as beam

from pipeline.executors.bundles import do_shards
from pipeline.shards import Shard, ShardWork


class DoShards(beam.DoFn):
    """``folder`` is where the run was started; ``workers`` is how many shards go at once in one worker of Beam."""

    def __init__(self, work: ShardWork, folder: str, workers: int) -> None:
        self._work, self._folder, self._workers = work, folder, workers
        self._shards: list[Shard] = []

    def start_bundle(self) -> None:
        """A new bundle begins."""
        self._shards = []

    def process(self, element: Shard) -> Iterable[str]:
        """Take a shard; it is done when the bundle is complete."""
        self._shards.append(element)
        return ()

    def finish_bundle(self) -> None:
        """Do the shards of the bundle."""
        do_shards(self._work, self._shards, self._folder, self._workers)
