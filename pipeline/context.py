"""What a running stage is given: shards, progress, the log."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.counts import Counts
from pipeline.executors import Executor
from pipeline.executors.local import LocalExecutor
from pipeline.log import EventLog
from pipeline.manifest import FileRecord
from pipeline.partitions import Sharing
from pipeline.progress import ProgressBar
from pipeline.shard_notes import notes_to
from pipeline.shard_reuse import reuse_shards
from pipeline.shards import (
    WORKSPACES,
    Shard,
    ShardFailure,
    ShardFolder,
    ShardFunction,
    ShardMark,
    ShardWork,
    as_one_error,
)


class Context:
    """The core's side of a running stage.

    ``identity_of`` completes what a shard's files depend on: (shard's name, what the stage says of it) -> identity.
    ``sharing`` is there when other tasks work on the same stage.
    """

    def __init__(
        self,
        stage: str,
        output: Path,
        workers: int,
        log: EventLog,
        executor: Executor | None = None,
        identity_of: Callable[[str, str], str] | None = None,
        sharing: Sharing | None = None,
    ) -> None:
        self.stage = stage
        self.output = output
        self.workers = workers
        self.log = log
        self.warnings: list[str] = []
        self.shard_files: dict[str, FileRecord] = {}
        self._executor = executor or LocalExecutor(workers)
        self._identity_of = identity_of
        self._sharing = sharing
        self._calls = 0

    def progress(self, label: str, total: float | None = None, unit: str = "") -> ProgressBar:
        """A progress bar: ``with context.progress("scoring", 10, "documents") as bar: bar.advance(1)``."""
        return ProgressBar(f"{self.stage} {label}".strip(), total, unit, self.log)

    def warn(self, line: str) -> None:
        """Tell the person something that does not stop the run; kept in the log and the manifest."""
        self.warnings.append(line)
        self.log.event("warning", stage=self.stage, line=line)

    def map_shards(
        self,
        function: ShardFunction,
        shards: Mapping[str, Any],
        identity: Mapping[str, str] | None = None,
        at_once: int | None = None,
    ) -> dict[str, Counts]:
        """Run ``function(shard, workspace)`` over shards by the executor; give each shard's counts, by name.

        Shards that an earlier run completed are not done again. ``identity`` says what each shard's files depend on
        besides the stage's settings and the shard's name (checksums of what it reads): then neither are those that
        another output of this stage has, made from the same. Where several tasks share the stage, its last shared call
        returns in the one task that finishes it. ``at_once`` is the most that go at once here, where that is less than
        the run's workers: what they share may not suffice for more.
        Errors: XlmrError that lists the failed shards.
        """
        self._calls += 1
        executor = self._executor if at_once is None else self._executor.at_most(at_once)
        tasks = [
            Shard(name, value, self._identity_of(name, identity[name]) if identity and self._identity_of else None)
            for name, value in shards.items()
        ]
        work = ShardWork(function, ShardFolder(self.output, self._calls), self.output / WORKSPACES / _own_name())
        work.folder.forget_others(shards)
        with self.progress(total=len(tasks), label="", unit="shards") as bar:
            doing = _Shards(self, work, tasks, bar)
            try:
                doing.look_for_what_is_there()
                if self._sharing is not None and self._sharing.calls_left:
                    doing.share(self._sharing, executor)
                else:
                    doing.do(doing.missing, executor)
            finally:
                shutil.rmtree(work.workspaces, ignore_errors=True)
                with suppress(OSError):  # other tasks have theirs beside it
                    work.workspaces.parent.rmdir()
        for name in shards:
            self.shard_files.update(doing.marks[name].files)
            for line in doing.marks[name].report.warnings:
                self.warn(line)
        return {name: doing.marks[name].report.counts for name in shards}


def _own_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


class _Shards:
    """One ``map_shards`` under way: which shards are complete, and the bar that shows it."""

    def __init__(self, context: Context, work: ShardWork, tasks: Sequence[Shard], bar: ProgressBar) -> None:
        self._context, self._work, self._bar = context, work, bar
        self._tasks = {task.name: task for task in tasks}
        self.marks: dict[str, ShardMark] = {}
        self._documents = 0

    @property
    def missing(self) -> list[str]:
        """The names of the shards that are not complete, in order."""
        return [name for name in self._tasks if name not in self.marks]

    def look_for_what_is_there(self) -> None:
        """Shards that are complete, and those that a sibling output has."""
        self.marks = self._work.folder.complete(self._tasks.values())
        kept = len(self.marks)
        reused = reuse_shards(self._work, [self._tasks[name] for name in self.missing])
        self.marks |= reused
        notes = [f"{kept} were complete"] if kept else []
        notes += [f"{len(reused)} taken over from an earlier output"] if reused else []
        if notes:
            self._bar.begin_at(len(self.marks), ", ".join(notes))
        self._context.log.event(
            "shards", stage=self._context.stage, total=len(self._tasks), kept=kept, reused=sorted(reused)
        )

    def do(self, names: Iterable[str], executor: Executor) -> None:
        """Do these shards. Errors: XlmrError at the end, listing those that failed; the others are kept."""
        failures: dict[str, ShardFailure] = {}
        with notes_to(lambda line: self._bar.advance(0, line), self._say):
            for name, outcome in executor.run(self._work, [self._tasks[name] for name in names]):
                if isinstance(outcome, ShardFailure):
                    failures[name] = outcome
                    self._log("shard_failed", name, problem=outcome.problem, trace=outcome.trace)
                else:
                    self._done(name, outcome)
        if failures:
            raise as_one_error(failures, len(self._tasks))

    def share(self, sharing: Sharing, executor: Executor) -> None:
        """Do this task's partition, and see to it that the others are done."""
        for names in sharing.partitions(list(self._tasks), self._missing_now):
            try:
                self.do([name for name in names if name not in self.marks], executor)
            except Exception as error:
                sharing.failed(
                    str(error)
                )  # or the stage is finished: then what became of this partition does not matter
                raise

    def _missing_now(self) -> set[str]:
        """Look for shards that other tasks have completed since."""
        there = self._work.folder.named()
        new = self._work.folder.complete(self._tasks[name] for name in self.missing if name in there)
        self.marks |= new
        if new:
            self._bar.begin_at(len(new), "")
        return set(self.missing)

    def _done(self, name: str, mark: ShardMark) -> None:
        self.marks[name] = mark
        self._log("shard", name, seconds=mark.seconds, counts=mark.report.counts)
        self._documents += documents_in(mark.report.counts)
        note = f"{self._documents:,} documents, {self._bar.rate_of(self._documents):,.0f}/s" if self._documents else ""
        self._bar.advance(1, note)

    def _say(self, line: str) -> None:
        self._context.log.event("executor", stage=self._context.stage, line=line)
        print(f"  {self._context.stage}: {line}", file=sys.stderr, flush=True)

    def _log(self, event: str, name: str, **fields: Any) -> None:
        self._context.log.event(event, stage=self._context.stage, shard=name, **fields)


def documents_in(counts: Counts) -> int:
    """The documents that a shard says it has gone through; 0 where it does not say."""
    documents = counts.get("documents", 0)
    if isinstance(documents, Mapping):
        documents = documents.get("read", 0)
    return documents if isinstance(documents, int) else 0
