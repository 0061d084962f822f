"""Shards: pure functions from one shard to files, mapped by worker processes, each marked complete when it is.

A shard writes into a workspace of its own. When it returns, its files are moved into the output one by one, and then
the mark is written with their checksums. A rerun does the shards that have no whole mark, whatever the workers' number.
"""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from pipeline.counts import Counts
from pipeline.errors import XlmrError, explain_os_error
from pipeline.manifest import FileRecord, list_files
from pipeline.storage import publish, read_json, write_json

MARKS = ".shards"
WORKSPACES = ".work"
ATTEMPTS = 3
"""How often a shard whose worker was killed (by the system, for memory) is tried in all."""


@dataclass(frozen=True)
class ShardReport:
    """What a shard function returns: its counts, and a line for everything that the person should know of."""

    counts: Counts
    warnings: list[str] = field(default_factory=list)


ShardFunction = Callable[[Any, Path], ShardReport]
"""(shard, workspace) -> report. Picklable, and deterministic: the same shard gives the same bytes."""


@dataclass(frozen=True)
class ShardMark:
    """The mark of a complete shard: what it counted and the files it made."""

    report: ShardReport
    files: dict[str, FileRecord]

    def write(self, path: Path) -> None:
        """Put the mark in its place, atomically."""
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> ShardMark | None:
        """The mark at ``path``; None where there is none, or none that can be read."""
        try:
            values = read_json(path)
            files = {name: FileRecord(**record) for name, record in values["files"].items()}
            return cls(ShardReport(**values["report"]), files)
        except (FileNotFoundError, KeyError, TypeError, XlmrError):
            return None

    def is_whole(self, output: Path) -> bool:
        """Whether every file that it names is there as it was written."""
        return not any(record.fault(output / name) for name, record in self.files.items())


@dataclass(frozen=True)
class _Failure:
    """What went wrong with a shard, in words, because not every exception survives the way between processes."""

    problem: str
    trace: str


def complete_shards(output: Path, names: Mapping[str, Any]) -> dict[str, ShardMark]:
    """The shards of ``names`` that are complete and whole."""
    marks = {name: ShardMark.read(_mark_path(output, name)) for name in names}
    return {name: mark for name, mark in marks.items() if mark is not None and mark.is_whole(output)}


def map_shards(
    function: ShardFunction, shards: Mapping[str, Any], output: Path, workers: int
) -> Iterator[tuple[str, ShardReport]]:
    """Run ``function`` over the shards that are not complete, and yield (name, report) as each becomes so.

    ``shards`` maps a name (a plain file name, unique) to what the function takes.
    Errors: XlmrError at the end, listing the shards that failed; the others are kept.
    """
    shutil.rmtree(output / WORKSPACES, ignore_errors=True)
    _forget_others(output, shards)
    done = complete_shards(output, shards)
    waiting = {name: shard for name, shard in shards.items() if name not in done}
    failures: dict[str, _Failure] = {}
    runner = _in_this_process if workers == 1 or len(waiting) <= 1 else _in_processes
    for name, outcome in runner(function, waiting, output, workers):
        if isinstance(outcome, _Failure):
            failures[name] = outcome
        else:
            yield name, outcome
    shutil.rmtree(output / WORKSPACES, ignore_errors=True)
    if failures:
        raise _as_one_error(failures, len(shards))


def _forget_others(output: Path, shards: Mapping[str, Any]) -> None:
    """Remove what an interrupted run left of shards that are no longer asked for (they were cut otherwise then)."""
    for path in (output / MARKS).glob("*.json"):
        if path.stem not in shards:
            mark = ShardMark.read(path)
            for name in mark.files if mark else ():
                (output / name).unlink(missing_ok=True)
            path.unlink()


def _in_this_process(
    function: ShardFunction, shards: Mapping[str, Any], output: Path, workers: int
) -> Iterator[tuple[str, ShardReport | _Failure]]:
    del workers
    for name, shard in shards.items():
        yield name, _do_shard(function, name, shard, output)


def _in_processes(
    function: ShardFunction, shards: Mapping[str, Any], output: Path, workers: int
) -> Iterator[tuple[str, ShardReport | _Failure]]:
    attempts = dict.fromkeys(shards, 0)
    waiting = dict(shards)
    alone = False
    while waiting:
        finished = yield from _one_pool(function, waiting, output, 1 if alone else workers)
        for name in finished:
            del waiting[name]
        # A worker was killed. Which shard it had is known only where one runs at a time, in order: so do from now on.
        for name in list(waiting)[: 1 if alone else None]:
            attempts[name] += 1
            if attempts[name] == ATTEMPTS:
                del waiting[name]
                yield name, _Failure(f"its worker was killed {ATTEMPTS} times, probably for want of memory", "")
        alone = True


def _one_pool(
    function: ShardFunction, shards: Mapping[str, Any], output: Path, workers: int
) -> Generator[tuple[str, ShardReport | _Failure], None, set[str]]:
    """Run until all is done or the pool breaks; return the names of the shards that were answered."""
    finished: set[str] = set()
    with ProcessPoolExecutor(min(workers, len(shards)), mp_context=get_context("spawn")) as pool:
        names: dict[Future[ShardReport | _Failure], str] = {}
        with suppress(BrokenProcessPool):  # the pool may break while shards are still handed in
            for name, shard in shards.items():
                names[pool.submit(_do_shard, function, name, shard, output)] = name
        for future in as_completed(names):  # when the pool breaks, those that have no answer complete too
            if not isinstance(future.exception(), BrokenProcessPool):
                finished.add(names[future])
                yield names[future], future.result()
    return finished


def _do_shard(function: ShardFunction, name: str, shard: Any, output: Path) -> ShardReport | _Failure:
    workspace = output / WORKSPACES / name
    try:
        shutil.rmtree(workspace, ignore_errors=True)
        workspace.mkdir(parents=True)
        report = function(shard, workspace)
        files = {}
        for path in list(list_files(workspace)):
            relative = path.relative_to(workspace)
            record = FileRecord.of(path)
            publish(path, output / relative)
            files[relative.as_posix()] = record
        ShardMark(report, files).write(_mark_path(output, name))
        shutil.rmtree(workspace, ignore_errors=True)
    except XlmrError as error:
        return _Failure(str(error), traceback.format_exc())
    except OSError as error:
        return _Failure(str(explain_os_error(error) or error), traceback.format_exc())
    except Exception as error:
        return _Failure(f"{type(error).__name__}: {error}", traceback.format_exc())
    return report


def _mark_path(output: Path, name: str) -> Path:
    if Path(name).name != name or name.startswith("."):
        raise ValueError(f"not a shard's name: {name!r}")
    return output / MARKS / f"{name}.json"


def _as_one_error(failures: Mapping[str, _Failure], total: int) -> XlmrError:
    listed = "; ".join(f"{name}: {failure.problem}" for name, failure in sorted(failures.items())[:5])
    more = f"; and {len(failures) - 5} more" if len(failures) > 5 else ""
    error = XlmrError(
        f"{len(failures)} of {total} shards failed: {listed}{more}",
        "mend the cause and run the same command: the other shards are kept",
    )
    for failure in failures.values():
        error.add_note(failure.trace)
    return error
