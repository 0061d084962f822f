"""What a running stage is given: shards, progress, the log."""

from __future__ import annotations

import os
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.counts import Counts
from pipeline.errors import XlmrError
from pipeline.executors import Executor
from pipeline.executors.local import LocalExecutor
from pipeline.log import EventLog
from pipeline.manifest import FileRecord, record_files
from pipeline.progress import ProgressBar
from pipeline.secrets import redact
from pipeline.shards import (
    WORKSPACES,
    PackedMarks,
    Shard,
    ShardCounts,
    ShardFailure,
    ShardFolder,
    ShardFunction,
    ShardMark,
    ShardWork,
    as_one_error,
)
from pipeline.shards.mark_summary import MarkSummary, SummaryLine
from pipeline.shards.notes import notes_to
from pipeline.shards.partitions import FinishedByOtherError
from pipeline.shards.reuse import reuse_shards
from pipeline.shards.sharing import Pause, Sharing
from pipeline.store.output import StoredOutput
from pipeline.store.saver import Saver
from pipeline.terminal import say


class Context:
    """The core's side of a running stage.

    ``identity_of`` completes what a shard's files depend on: (shard's name, what the stage says of it) -> identity.
    ``sharing`` is there when other tasks work on the same stage.
    ``stored`` is where the output is kept if that is at object storage; ``output`` is its copy then.
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
        stored: StoredOutput | None = None,
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
        self._stored = stored
        self._calls = 0
        if stored is not None:
            stored.saver.warn = self.warn

    def progress(self, label: str, total: float | None = None, unit: str = "") -> ProgressBar:
        """A progress bar: ``with context.progress("scoring", 10, "documents") as bar: bar.advance(1)``."""
        return ProgressBar(f"{self.stage} {label}".strip(), total, unit, self.log)

    def warn(self, line: str) -> None:
        """Tell the person something that does not stop the run; kept in the log and the manifest."""
        line = redact(line)
        self.warnings.append(line)
        self.log.event("warning", stage=self.stage, line=line)

    def map_shards(
        self,
        function: ShardFunction,
        shards: Mapping[str, Any],
        identity: Mapping[str, str] | None = None,
        at_once: int | None = None,
        read_back: bool = True,
    ) -> ShardCounts:
        """Run ``function(shard, workspace)`` over shards by the executor; give each shard's counts, by name.

        Shards that an earlier run completed are not done again. ``identity`` says what each shard's files depend on
        besides the stage's settings and the shard's name (checksums of what it reads): then neither are those that
        another output of this stage has, made from the same. Where several tasks share the stage, its last shared call
        returns in the one task that finishes it. ``at_once`` is the most that go at once here, where that is less than
        the run's workers: what they share may not suffice for more. ``read_back`` is False where the stage does not
        read the files afterwards, nor do later shards: those that other machines have made are not fetched from object
        storage then.
        Errors: XlmrError that lists the failed shards.
        """
        self._calls += 1
        executor = self._executor if at_once is None else self._executor.at_most(at_once)
        tasks = [
            Shard(name, value, self._identity_of(name, identity[name]) if identity and self._identity_of else None)
            for name, value in shards.items()
        ]
        kept = self._stored.path_of(self.output) if self._stored else self.output
        workspaces = self.output / WORKSPACES / _own_name()
        work = ShardWork(function, ShardFolder(kept, self._calls), workspaces, self.output if self._stored else None)
        shared = self._sharing if self._sharing is not None and self._sharing.calls_left else None
        if shared is None:
            work.folder.forget_others(shards)
        with self.progress(total=len(tasks), label="", unit="shards") as bar:
            doing = _Shards(self, work, tasks, bar)
            try:
                if shared is not None:
                    doing.share(shared, executor)
                    work.folder.forget_others(shards)
                else:
                    doing.look_for_what_is_there(doing.missing)
                    doing.do(doing.missing, executor)
            finally:
                shutil.rmtree(work.workspaces, ignore_errors=True)
                with suppress(OSError):  # other tasks have theirs beside it
                    work.workspaces.parent.rmdir()
        files, warnings = dict[str, FileRecord](), list[str]()
        for name in shards:
            mark = doing.marks[name]
            files |= mark.files
            warnings += mark.report.warnings
        if self._stored is not None:
            self._take_back(self._stored, files, read_back=read_back)
        self.shard_files.update(files)
        for line in warnings:
            self.warn(line)
        return ShardCounts(doing.marks, list(shards))

    @property
    def saver(self) -> Saver | None:
        """What saves folders at object storage while the stage runs; None where its output is on this machine."""
        return self._stored.saver if self._stored else None

    def finish_saving(self) -> None:
        """Wait for what is being saved at object storage: where the stage has failed, nobody else would."""
        if self._stored is not None:
            self._stored.saver.finish()

    def complete_files(self) -> dict[str, FileRecord]:
        """A record of every file of the output, once the stage is through; at object storage all are there then."""
        files = record_files(self.output, self.shard_files)
        return self._stored.complete(files, self.shard_files) if self._stored else files

    def work_for(self, executor: Executor, work: ShardWork, marks: Mapping[str, ShardMark]) -> ShardWork:
        """The work as the executor's workers get it: those that may be on other machines fetch copies for themselves.

        ``marks`` are those of the shards that are complete: their files are the stage's result, and no shard's input.
        """
        if self._stored is None or isinstance(executor, LocalExecutor):
            return work
        stored = self._stored

        def files_of_shards() -> Collection[str]:
            files = self.shard_files | {file: record for mark in marks.values() for file, record in mark.files.items()}
            return stored.inside(self.output, files)

        return replace(work, needed=stored.needed_copies(work.workspaces.name, files_of_shards))

    def _take_back(self, stored: StoredOutput, files: Mapping[str, FileRecord], *, read_back: bool) -> None:
        """Let the stage find the files of shards in the copy, or note that it does not need them.

        Errors: FinishedByOtherError where another task finished the stage and removed them.
        """
        if not read_back:
            stored.elsewhere.update(files)
            return
        try:
            stored.fetch(self.output, files)
        except XlmrError:
            if self._sharing is not None and self._sharing.is_finished():
                raise FinishedByOtherError from None
            raise


def _own_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


class _Shards:
    """One ``map_shards`` under way: which shards are complete, and the bar that shows it."""

    def __init__(self, context: Context, work: ShardWork, tasks: Sequence[Shard], bar: ProgressBar) -> None:
        self._context, self._work, self._bar = context, work, bar
        self._tasks = {task.name: task for task in tasks}
        self.marks = PackedMarks()
        self._documents = 0

    @property
    def missing(self) -> list[str]:
        """The names of the shards that are not complete, in order."""
        return [name for name in self._tasks if name not in self.marks]

    def look_for_what_is_there(self, names: Sequence[str]) -> list[str]:
        """Shards of these that are complete, and those that a sibling output has; give their names."""
        tasks = [self._tasks[name] for name in names]
        kept = self._work.folder.complete(tasks)
        reused = reuse_shards(self._work, [task for task in tasks if task.name not in kept])
        self.marks.join(kept)
        self.marks.join(reused)
        notes = [f"{len(kept)} were complete"] if kept else []
        notes += [f"{len(reused)} taken over from an earlier output"] if reused else []
        if notes:
            self._bar.begin_at(len(kept) + len(reused), ", ".join(notes))
        self._context.log.event(
            "shards", stage=self._context.stage, total=len(tasks), kept=len(kept), reused=sorted(reused)
        )
        return [*kept, *reused]

    def do(self, names: Iterable[str], executor: Executor) -> None:
        """Do these shards. Errors: XlmrError at the end, listing those that failed; the others are kept."""
        failures = self._try(names, executor)
        if failures:
            raise as_one_error(failures, len(self._tasks))

    def _try(self, names: Iterable[str], executor: Executor) -> dict[str, ShardFailure]:
        failures: dict[str, ShardFailure] = {}
        with notes_to(lambda line: self._bar.advance(0, line), self._say):
            work = self._context.work_for(executor, self._work, self.marks)
            for name, outcome in executor.run(work, [self._tasks[name] for name in names]):
                if isinstance(outcome, ShardFailure):
                    failures[name] = outcome
                    self._log("shard_failed", name, problem=outcome.problem, trace=outcome.trace)
                else:
                    self._done(name, outcome)
        return failures

    def share(self, sharing: Sharing, executor: Executor) -> None:
        """Do this task's partition, and see to it that the others are done."""
        summary = MarkSummary(self._work.folder)
        failures: dict[str, ShardFailure] = {}
        places = {name: place for place, name in enumerate(self._tasks)}
        for step in sharing.steps(places, lambda: self._missing_now(summary, sharing)):
            if isinstance(step, Pause):
                time.sleep(step.seconds)
                continue
            try:
                failures |= self._do_chunk(step.names, executor, summary)
                if failures and not step.names:
                    raise as_one_error(failures, len(self._tasks))
            except Exception as error:
                # Or the stage is finished: then what became of this partition does not matter.
                sharing.failed(str(error))
                raise

    def _do_chunk(self, names: Sequence[str], executor: Executor, summary: MarkSummary) -> dict[str, ShardFailure]:
        """Do those of a chunk that have no mark, and put all into the summary that it lacks; give the failures."""
        self._read_summary(summary)
        unknown = [name for name in names if name not in self.marks]
        self.look_for_what_is_there(unknown)  # a task that died may have done them and not said so
        failures = self._try([name for name in unknown if name not in self.marks], executor)
        done = (name for name in unknown if name in self.marks)
        summary.append(SummaryLine(name, self._tasks[name].identity, self.marks.packed(name)) for name in done)
        return failures

    def _read_summary(self, summary: MarkSummary) -> None:
        """Learn which shards other tasks have completed since."""
        before = len(self.marks)
        for line in summary.new():
            task = self._tasks.get(line.name)
            if task is not None and task.identity in (None, line.identity):
                self.marks.take(line.name, line.packed)
        if len(self.marks) > before:
            self._bar.begin_at(len(self.marks) - before, "")

    def _missing_now(self, summary: MarkSummary, sharing: Sharing) -> set[str]:
        """The shards that are not complete; who is to finish the stage looks at every file of the others."""
        self._read_summary(summary)
        if sharing.holds_stage_lock():
            for name in self._work.folder.damaged(self.marks):
                del self.marks[name]
        return set(self.missing)

    def _done(self, name: str, mark: ShardMark) -> None:
        self.marks[name] = mark
        self._log("shard", name, seconds=mark.seconds, counts=mark.report.counts)
        self._documents += documents_in(mark.report.counts)
        note = f"{self._documents:,} documents, {self._bar.rate_of(self._documents):,.0f}/s" if self._documents else ""
        self._bar.advance(1, note)

    def _say(self, line: str) -> None:
        self._context.log.event("executor", stage=self._context.stage, line=line)
        say(f"  {self._context.stage}: {line}")

    def _log(self, event: str, name: str, **fields: Any) -> None:
        self._context.log.event(event, stage=self._context.stage, shard=name, **fields)


def documents_in(counts: Counts) -> int:
    """The documents that a shard says it has gone through; 0 where it does not say."""
    documents = counts.get("documents", 0)
    if isinstance(documents, Mapping):
        documents = documents.get("read", 0)
    return documents if isinstance(documents, int) else 0
