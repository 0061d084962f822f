"""Shards through Apache Beam: any of its runners. Elements are references to shards; text never crosses Beam.

The pipeline is started in a process of its own, because Beam's local runner waits for ever for a worker that was
killed: this side sees it and begins anew with what is not complete. What is done it learns from the marks. A pipeline
that fails is run again with what is missing; the job of a remote runner is cancelled when the run stops.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError
from pipeline.executors import ATTEMPTS
from pipeline.executors.deaths import describe_death, kills_for_memory
from pipeline.executors.local import too_often
from pipeline.executors.silence import Silence
from pipeline.executors.threads import one_thread
from pipeline.executors.worker_folders import failures_of
from pipeline.interrupts import start_held, take_interrupts
from pipeline.shards import Outcome, Shard, ShardFailure, ShardMark, ShardWork
from pipeline.shards.notes import say
from pipeline.storage import read_json, remove_tree

LOOK_SECONDS, LONGEST_LOOK_SECONDS = 0.25, 5.0
"""Between two looks at the marks: longer and longer while none is new."""
CANCEL_SECONDS = 20.0
"""What a remote runner is given to cancel its job."""
LOG, DEATH = "log", "death"
"""In a folder on this machine: what Beam printed, and how a worker of its local runner died."""
LAST_LINES = 3

_LOST, _REFUSED = 70, 71
"""Exit codes of the pipeline's process: a worker of Beam's local runner died; the pipeline cannot be made."""

RUNNERS = {
    "local": "FnApiRunner",  # DirectRunner would look for a program to download first
    "dask": "apache_beam.runners.dask.dask_runner.DaskRunner",
    "portable": "PortableRunner",
    "flink": "FlinkRunner",
    "spark": "SparkRunner",
    "dataflow": "DataflowRunner",
}
_PROCESSES_OF_ITS_OWN = ("local", "dask")
"""Runners that have as many workers as are wanted; in each worker of the others several shards go at once."""


@dataclass(frozen=True)
class BeamExecutor:
    """``options`` are those of the runner; what they do not say is set for one machine."""

    workers: int
    options: tuple[str, ...] = ()
    runner: str = "local"
    silence_minutes: float = 10.0

    def __post_init__(self) -> None:
        beam_options(self.options, self.workers, self.runner)

    def at_most(self, workers: int) -> BeamExecutor:
        """See ``Executor``. How many workers a cluster has, its own options say."""
        return replace(self, workers=min(self.workers, workers))

    def run(self, work: ShardWork, shards: Sequence[Shard]) -> Iterator[tuple[str, Outcome]]:
        """See ``Executor``."""
        waiting = {shard.name: shard for shard in shards}
        deaths: dict[str, list[str]] = {}
        workers, tries = self.workers, 0
        while waiting:
            pipeline = _Pipeline(work, list(waiting.values()), self, workers)
            try:
                for name, outcome in pipeline.outcomes(Silence(self.silence_minutes, pipeline.describe)):
                    del waiting[name]
                    yield name, outcome
            finally:
                pipeline.stop()
            if waiting and pipeline.problem:
                tries += 1
                if pipeline.refused or tries == ATTEMPTS:
                    yield from ((name, ShardFailure(pipeline.problem, pipeline.trace)) for name in waiting)
                    return
                say(f"{pipeline.problem}; running it again with {len(waiting)} shards, try {tries + 1} of {ATTEMPTS}")
                continue
            for name in pipeline.under_way(waiting):
                deaths.setdefault(name, []).append(pipeline.death)
                if len(deaths[name]) == ATTEMPTS:
                    del waiting[name]
                    yield name, too_often(deaths[name])
            workers = 1  # which shard kills its worker is seen where one runs at a time


def beam_options(given: Sequence[str], workers: int, runner: str = "local", shards: int = 1) -> list[str]:
    """The options of the pipeline. Errors: UsageError for the running mode that loses elements."""
    text = " ".join(given).replace("=", " ")
    if "multi_threading" in text:
        raise UsageError(
            "run.beam.options: direct_running_mode multi_threading loses elements", "use in_memory or multi_processing"
        )
    if "--runner" in text.split():
        raise UsageError("run.beam.options: --runner is not among them", "name it by run.beam.runner")
    options = [*given, f"--runner={RUNNERS.get(runner, runner)}"]
    if runner == "local":
        if "--direct_running_mode" not in text:
            options.append(f"--direct_running_mode={'multi_processing' if workers > 1 else 'in_memory'}")
        if "--direct_num_workers" not in text and "in_memory" not in text:
            options.append(f"--direct_num_workers={workers}")
        if workers == 1:
            options = [f"{o.partition('=')[0]}=1" if o.startswith("--direct_num_workers=") else o for o in options]
    elif runner == "dask" and "--dask_npartitions" not in text and "--dask_partition_size" not in text:
        options.append(f"--dask_npartitions={min(shards, 10_000)}")  # a shard each, so that a free worker takes one
    if "--default_sdk_harness_log_level" not in text:
        options.append("--default_sdk_harness_log_level=WARNING")
    return options


class _Pipeline:
    """One Beam pipeline under way, in a process and process group of its own."""

    def __init__(self, work: ShardWork, shards: Sequence[Shard], executor: BeamExecutor, workers: int) -> None:
        self._work, self._shards = work, {shard.name: shard for shard in shards}
        self._killed_before = kills_for_memory()
        self.problem = self.trace = ""
        self.refused = False
        self.death = "was lost"
        self._notes = Path(tempfile.mkdtemp(prefix="xlmr-beam-"))  # not in the output: its disk may be full
        self._remove_workspaces()
        failures_of(work).mkdir(parents=True)
        for name in work.folder.named() & self._shards.keys():
            work.folder.path(name).unlink(missing_ok=True)  # a mark that is not whole may not be taken for a new one
        options = beam_options(executor.options, workers, executor.runner, len(shards))
        in_each = 1 if executor.runner in _PROCESSES_OF_ITS_OWN else workers
        context = multiprocessing.get_context("spawn")
        self._control, theirs = context.Pipe()
        given = (work, list(shards), options, in_each, self._notes, theirs)
        self._process = context.Process(target=_run_pipeline, args=given)
        with one_thread():
            start_held(self._process)
        theirs.close()

    def outcomes(self, silence: Silence) -> Iterator[tuple[str, Outcome]]:
        """What became of each shard, as it is seen, until the pipeline has ended."""
        reported: set[str] = set()
        ended, seconds = False, LOOK_SECONDS
        while not ended:
            ended = bool(wait([self._process.sentinel], seconds))
            seconds = min(2 * seconds, LONGEST_LOOK_SECONDS)
            for name, outcome in self._new(reported):
                reported.add(name)
                silence.broken()
                seconds = LOOK_SECONDS
                yield name, outcome
            silence.look()
        self._process.join()
        self._learn_how_it_ended()

    def _new(self, reported: set[str]) -> Iterator[tuple[str, Outcome]]:
        for name in self._work.folder.named() & self._shards.keys() - reported:
            mark = ShardMark.read(self._work.folder.path(name))
            if mark is not None:
                yield name, mark
        for path in failures_of(self._work).glob("*.json"):
            if path.stem in self._shards.keys() - reported:
                yield path.stem, ShardFailure(**read_json(path))

    def _learn_how_it_ended(self) -> None:
        code = self._process.exitcode
        if code == _LOST:
            code = int((self._notes / DEATH).read_text(encoding="ascii"))
        elif code in (1, _REFUSED):
            self.refused = code == _REFUSED
            self.problem = f"the Beam pipeline failed: {self._last_lines(1)}"
            self.trace = self._printed()
        if code:
            self.death = describe_death(code, self._killed_before)

    def under_way(self, waiting: dict[str, Shard]) -> list[str]:
        """Those of ``waiting`` that were being done when a worker died; all of them where none was begun."""
        found = [path.name for path in self._workspaces() for path in path.iterdir()]
        return [name for name in waiting if name in found] or list(waiting)

    def describe(self) -> str:
        """What the runner printed last."""
        return f"the last lines of Beam's runner: {self._last_lines(LAST_LINES)}"

    def _printed(self) -> str:
        with suppress(OSError):
            return (self._notes / LOG).read_text(encoding="utf-8", errors="replace")
        return ""

    def _last_lines(self, count: int) -> str:
        lines = [line for line in self._printed().splitlines() if line.strip() and not line.startswith(" ")]
        return " | ".join(lines[-count:]) if lines else "it printed nothing"

    def _workspaces(self) -> list[Path]:
        """Those of the bundles under way."""
        own = self._work.workspaces
        return list(own.parent.glob(f"{own.name}-*"))

    def _remove_workspaces(self) -> None:
        for path in (self._work.workspaces, *self._workspaces()):
            shutil.rmtree(path, ignore_errors=True)
        remove_tree(failures_of(self._work))

    def stop(self) -> None:
        """End whatever still runs of it."""
        self._control.close()  # it cancels a remote job then
        self._process.join(CANCEL_SECONDS + 5)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid or 0, signal.SIGKILL)
        self._process.kill()
        self._process.join()
        shutil.rmtree(self._notes, ignore_errors=True)


def _run_pipeline(
    work: ShardWork, shards: list[Shard], options: list[str], in_each: int, notes: Path, control: Connection
) -> None:
    """The other process: what Beam and its workers print goes to a file, and they all die with the run."""
    os.setpgid(0, 0)
    log = os.open(notes / LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    take_interrupts(silently=True)
    tempfile.tempdir = str(notes)  # Beam's own folder too: it is left behind where this process is killed
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)  # Beam starts its workers as plain programs
    jobs: list[Any] = []
    threading.Thread(target=_end_with_the_run, args=(control, jobs), daemon=True).start()
    threading.excepthook = lambda error: _worker_died(notes, error.exc_value)
    logging.basicConfig(level=logging.INFO)  # what a remote runner says of its job is of this level
    try:
        pipeline = _make_pipeline(work, shards, options, in_each)
    except Exception as error:
        sys.excepthook(type(error), error, error.__traceback__)
        sys.exit(_REFUSED)
    jobs.append(pipeline.run())
    jobs[0].wait_until_finish()


def _make_pipeline(work: ShardWork, shards: list[Shard], options: list[str], in_each: int) -> Any:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

    from pipeline.executors.beam_worker import DoShards

    parsed = PipelineOptions(options)  # a list always: without one it reads this program's own arguments
    pipeline = beam.Pipeline(parsed.view_as(StandardOptions).runner, options=parsed)
    do_shards = DoShards(work, str(Path.cwd()), in_each)
    # Create's own reshuffle hands single elements to whoever is free.
    _ = pipeline | "shards" >> beam.Create(shards, reshuffle=True) | "do" >> beam.ParDo(do_shards)
    return pipeline


def _end_with_the_run(control: Connection, jobs: Sequence[Any]) -> None:
    """When the run stops or dies: cancel the job of a remote runner, and end everything that was started here."""
    wait([control])
    if jobs:
        cancelling = threading.Thread(target=jobs[0].cancel, daemon=True)
        cancelling.start()
        cancelling.join(CANCEL_SECONDS)
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
