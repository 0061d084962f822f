"""Shards through Apache Beam: any of its runners. Elements are references to shards; text never crosses Beam.

The pipeline is started in a process of its own, because Beam's local runner waits for ever for a worker that was
killed: this side sees it and begins anew with what is not complete. What is done it learns from the marks.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError
from pipeline.executors import ATTEMPTS
from pipeline.executors.deaths import describe_death, kills_for_memory
from pipeline.executors.local import too_often
from pipeline.executors.threads import one_thread
from pipeline.interrupts import start_held, take_interrupts
from pipeline.shards import Outcome, Shard, ShardFailure, ShardMark, ShardWork
from pipeline.storage import read_json, write_json

LOOK_SECONDS = 0.25
FAILED = ".failed"
"""Beside the workspaces: a file for each shard that failed."""

SPACE_SECONDS = tuple(0.1 * 2**n for n in range(9))
"""Waits between the attempts to write down a failure on a full disk; 51 s in all."""

LOG, DEATH = "log", "death"
"""In a folder on this machine: what Beam printed, and how a worker of its local runner died."""

_LOST = 70
"""Exit code of the pipeline's process when a worker of Beam's local runner died."""


@dataclass(frozen=True)
class BeamExecutor:
    """``options`` are Beam's own, as ``--runner=FlinkRunner``; what they do not say is set for one machine."""

    workers: int
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        beam_options(self.options, self.workers)

    def at_most(self, workers: int) -> BeamExecutor:
        """See ``Executor``. How many workers a cluster has, its own options say."""
        return BeamExecutor(min(self.workers, workers), self.options)

    def run(self, work: ShardWork, shards: Sequence[Shard]) -> Iterator[tuple[str, Outcome]]:
        """See ``Executor``."""
        waiting = {shard.name: shard for shard in shards}
        deaths: dict[str, list[str]] = {}
        workers = self.workers
        while waiting:
            pipeline = _Pipeline(work, list(waiting.values()), beam_options(self.options, workers))
            try:
                for name, outcome in pipeline.outcomes():
                    del waiting[name]
                    yield name, outcome
            finally:
                pipeline.stop()
            if waiting and pipeline.problem:
                yield from ((name, ShardFailure(pipeline.problem, pipeline.trace)) for name in waiting)
                return
            for name in pipeline.under_way(waiting):
                deaths.setdefault(name, []).append(pipeline.death)
                if len(deaths[name]) == ATTEMPTS:
                    del waiting[name]
                    yield name, too_often(deaths[name])
            workers = 1  # which shard kills its worker is seen where one runs at a time


def beam_options(given: Sequence[str], workers: int) -> list[str]:
    """The options of the pipeline. Errors: UsageError for the running mode that loses elements."""
    text = " ".join(given).replace("=", " ")
    if "multi_threading" in text:
        raise UsageError(
            "run.beam: direct_running_mode multi_threading loses elements", "use in_memory or multi_processing"
        )
    options = list(given)
    if "--runner" not in text:
        options.append("--runner=FnApiRunner")  # DirectRunner would look for a program to download first
    if "--runner FnApiRunner" in " ".join(options).replace("=", " "):
        if "--direct_running_mode" not in text:
            options.append(f"--direct_running_mode={'multi_processing' if workers > 1 else 'in_memory'}")
        if "--direct_num_workers" not in text and "in_memory" not in text:
            options.append(f"--direct_num_workers={workers}")
        if workers == 1:
            options = [f"{o.partition('=')[0]}=1" if o.startswith("--direct_num_workers=") else o for o in options]
    if "--default_sdk_harness_log_level" not in text:
        options.append("--default_sdk_harness_log_level=WARNING")
    return options


class _Pipeline:
    """One Beam pipeline under way, in a process and process group of its own."""

    def __init__(self, work: ShardWork, shards: Sequence[Shard], options: list[str]) -> None:
        self._work, self._shards = work, {shard.name: shard for shard in shards}
        self._killed_before = kills_for_memory()
        self.problem = self.trace = ""
        self.death = "was lost"
        self._notes = Path(tempfile.mkdtemp(prefix="xlmr-beam-"))  # not in the output: its disk may be full
        shutil.rmtree(work.workspaces / FAILED, ignore_errors=True)
        (work.workspaces / FAILED).mkdir(parents=True)
        for name in self._shards:  # neither a mark that is not whole nor a workspace may be taken for this pipeline's
            work.folder.path(name).unlink(missing_ok=True)
            shutil.rmtree(work.workspaces / name, ignore_errors=True)
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(target=_run_pipeline, args=(work, list(shards), options, self._notes))
        with one_thread():
            start_held(self._process)

    def outcomes(self) -> Iterator[tuple[str, Outcome]]:
        """What became of each shard, as it is seen, until the pipeline has ended."""
        reported: set[str] = set()
        ended = False
        while not ended:
            ended = bool(wait([self._process.sentinel], LOOK_SECONDS))
            for name, outcome in self._new(reported):
                reported.add(name)
                yield name, outcome
        self._process.join()
        self._learn_how_it_ended()

    def _new(self, reported: set[str]) -> Iterator[tuple[str, Outcome]]:
        for name in self._work.folder.named() & self._shards.keys() - reported:
            mark = ShardMark.read(self._work.folder.path(name))
            if mark is not None:
                yield name, mark
        for path in (self._work.workspaces / FAILED).glob("*.json"):
            if path.stem in self._shards.keys() - reported:
                yield path.stem, ShardFailure(**read_json(path))

    def _learn_how_it_ended(self) -> None:
        code = self._process.exitcode
        if code == _LOST:
            code = int((self._notes / DEATH).read_text(encoding="ascii"))
        elif code == 1:
            self.problem = f"the Beam pipeline failed: {self._last_line()}"
            self.trace = self._printed()
        if code:
            self.death = describe_death(code, self._killed_before)

    def under_way(self, waiting: dict[str, Shard]) -> list[str]:
        """Those of ``waiting`` that were being done when a worker died; all of them where none was begun."""
        return [name for name in waiting if (self._work.workspaces / name).exists()] or list(waiting)

    def _printed(self) -> str:
        with suppress(OSError):
            return (self._notes / LOG).read_text(encoding="utf-8", errors="replace")
        return ""

    def _last_line(self) -> str:
        lines = [line for line in self._printed().splitlines() if line.strip() and not line.startswith(" ")]
        return lines[-1] if lines else "it printed nothing"

    def stop(self) -> None:
        """End whatever still runs of it."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid or 0, signal.SIGKILL)
        self._process.kill()
        self._process.join()
        shutil.rmtree(self._notes, ignore_errors=True)


def _run_pipeline(work: ShardWork, shards: list[Shard], options: list[str], notes: Path) -> None:
    """The other process: what Beam and its workers print goes to a file, and they all die with the run."""
    os.setpgid(0, 0)
    log = os.open(notes / LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    take_interrupts(silently=True)
    tempfile.tempdir = str(notes)  # Beam's own folder too: it is left behind where this process is killed
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)  # Beam starts its workers as plain programs
    run = multiprocessing.parent_process()
    assert run is not None, "this is a child"
    threading.Thread(target=_kill_group_with, args=(run.sentinel,), daemon=True).start()
    threading.excepthook = lambda error: _worker_died(notes, error.exc_value)

    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

    parsed = PipelineOptions(options)  # a list always: without one it reads this program's own arguments
    do_shard = _do_shard_function(work, str(Path.cwd()))
    with beam.Pipeline(parsed.view_as(StandardOptions).runner, options=parsed) as pipeline:
        # Create's own reshuffle hands single elements to whoever is free.
        _ = pipeline | "shards" >> beam.Create(shards, reshuffle=True) | "do" >> beam.Map(do_shard)


def _kill_group_with(sentinel: int) -> None:
    wait([sentinel])
    os.killpg(0, signal.SIGKILL)


def _worker_died(notes: Path, error: BaseException | None) -> None:
    """Beam's thread that watches a worker has raised; the pipeline would wait for ever now."""
    words = str(error).split()
    if str(error).startswith("Worker subprocess exited with return code"):
        # Several may die together: another one's thread may end this process while this one writes.
        draft = notes / f"{DEATH}.{threading.get_ident()}"
        draft.write_text(words[-1], encoding="ascii")
        draft.replace(notes / DEATH)
        os._exit(_LOST)
    if error is not None:
        sys.excepthook(type(error), error, error.__traceback__)


def _do_shard_function(work: ShardWork, folder: str) -> Any:
    return _DoShard(work, folder)


_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class _DoShard:
    """What a Beam worker calls. One shard at a time in a process: shard functions know of no threads."""

    work: ShardWork
    folder: str

    def __call__(self, shard: Shard) -> str:
        with _ONE_AT_A_TIME:
            os.chdir(self.folder)  # paths in a configuration are relative to where the run was started
            outcome = self.work.do(shard)
            if isinstance(outcome, ShardFailure):
                self._write_down(shard.name, outcome)
        return shard.name

    def _write_down(self, name: str, failure: ShardFailure) -> None:
        """Where the disk is full, others may have taken all the space that this one gave back: until they fail too."""
        values = {"problem": failure.problem, "trace": failure.trace}
        for seconds in (*SPACE_SECONDS, None):
            try:
                write_json(self.work.workspaces / FAILED / f"{name}.json", values)
                return
            except OSError as error:
                if seconds is None or error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                time.sleep(seconds)
