"""What a running stage is given: workers, shards, progress, the log."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.counts import Counts
from pipeline.log import EventLog
from pipeline.manifest import FileRecord
from pipeline.progress import Progress
from pipeline.shards import ShardFunction, complete_shards, map_shards


class Context:
    """The spine's side of a running stage."""

    def __init__(self, stage: str, output: Path, workers: int, log: EventLog) -> None:
        self.stage = stage
        self.output = output
        self.workers = workers
        self.log = log
        self.warnings: list[str] = []
        self.shard_files: dict[str, FileRecord] = {}

    def progress(self, label: str, total: float | None = None, unit: str = "") -> Progress:
        """A progress bar: ``with context.progress("scoring", 10, "documents") as bar: bar.advance(1)``."""
        return Progress(f"{self.stage} {label}".strip(), total, unit, self.log)

    def warn(self, line: str) -> None:
        """Tell the person something that does not stop the run; kept in the log and the manifest."""
        self.warnings.append(line)
        self.log.event("warning", stage=self.stage, line=line)

    def map_shards(self, function: ShardFunction, shards: Mapping[str, Any]) -> dict[str, Counts]:
        """Run ``function(shard, workspace)`` over shards in worker processes; give each shard's counts, by name.

        Shards that an earlier run completed are not done again. Errors: XlmrError that lists the failed shards.
        """
        with self.progress(total=len(shards), label="", unit="shards") as bar:
            kept = complete_shards(self.output, shards)
            if kept:
                bar.advance(len(kept), f"{len(kept)} were complete")
            self.log.event("shards", stage=self.stage, total=len(shards), kept=len(kept))
            for name, report in map_shards(function, shards, self.output, self.workers):
                self.log.event("shard", stage=self.stage, shard=name, counts=report.counts)
                bar.advance(1)
        return self._collect(shards)

    def _collect(self, shards: Mapping[str, Any]) -> dict[str, Counts]:
        marks = complete_shards(self.output, shards)
        for name in shards:
            self.shard_files.update(marks[name].files)
            for line in marks[name].report.warnings:
                self.warn(line)
        return {name: marks[name].report.counts for name in shards}
