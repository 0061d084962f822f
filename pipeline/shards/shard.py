"""Shards: pure functions from one shard to files, each shard marked complete when all its files are in their place.

A shard writes into a workspace of its own. When it returns, its files are moved into the output one by one, and then
the mark is written with their checksums. A rerun does the shards that have no whole mark, whatever did the others.
Where the output lies at object storage, files are put there and moved into its copy on this machine.
"""

from __future__ import annotations

import re
import shutil
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import UnreachableError, XlmrError, explain_os_error
from pipeline.manifest import FileRecord, list_files
from pipeline.shards.mark import Outcome, PackedMarks, ShardFailure, ShardMark, ShardReport
from pipeline.storage import publish, write_json
from pipeline.store.objects import at_once
from pipeline.store.path import is_stored

if TYPE_CHECKING:
    from pipeline.store.needed_copies import NeededCopies

MARKS = ".shards"
WORKSPACES = ".work"
NAMED_AT_MOST = 3
"""Shards that one line names for one cause; the log has them all."""
FEW = 200
"""Shards whose marks are looked up one by one; for more, folders are listed."""


ShardFunction = Callable[[Any, Path], ShardReport]
"""(shard, workspace) -> report. Picklable, and deterministic: the same shard gives the same bytes."""


@dataclass(frozen=True)
class Shard:
    """One shard: a name (a plain file name, unique), what the function takes, and what its files depend on.

    ``identity`` is None where the stage does not tell; such a shard is good for its own output only.
    """

    name: str
    value: Any
    identity: str | None = None


class ShardFolder:
    """The shards of one ``map_shards`` of one output: which are complete, and what they left.

    ``call`` is 1 for the first of a stage, 2 for the second …, so that they do not take each other's shards for old.
    """

    def __init__(self, output: Path, call: int = 1) -> None:
        self.output = output
        self.marks = output / MARKS if call == 1 else output / MARKS / str(call)

    @classmethod
    def at(cls, output: Path, inside: Path) -> ShardFolder:
        """The shards whose marks lie at ``output / inside``."""
        folder = cls(output)
        folder.marks = output / inside
        return folder

    def path(self, name: str) -> Path:
        """Where the mark of a shard lies. Errors: ValueError for a name that would lead elsewhere."""
        if Path(name).name != name or name.startswith("."):
            raise ValueError(f"not a shard's name: {name!r}")
        return self.marks / f"{name}.json"

    def named(self) -> set[str]:
        """The names of all shards that have a mark, whole or not: one listing, no file is opened."""
        try:
            there = [path.name for path in self.marks.iterdir()]
        except FileNotFoundError:
            return set()
        return {name.removesuffix(".json") for name in there if _is_mark(name)}

    def complete(self, shards: Iterable[Shard]) -> PackedMarks:
        """The marks of those of ``shards`` that are complete, whole, and made from what they are made from now."""
        if is_stored(self.output):
            return self._complete_stored(list(shards))
        there = self.named()
        found = PackedMarks()
        for shard in shards:
            path = self.path(shard.name)
            mark = ShardMark.read(path) if shard.name in there else None
            if mark is not None and shard.identity in (None, mark.identity) and mark.is_whole(self.output):
                found[shard.name] = mark
        return found

    def _complete_stored(self, shards: Sequence[Shard]) -> PackedMarks:
        """The same with several requests at once; of many shards, the folders are listed first."""
        if len(shards) > FEW:
            there = self.named()
            shards = [shard for shard in shards if shard.name in there]
        found = PackedMarks()

        def look(shard: Shard) -> None:
            mark = self.read(shard.name)
            if mark is not None and shard.identity in (None, mark.identity):
                found[shard.name] = mark

        at_once(look, shards)
        for name in self.damaged(found):
            del found[name]
        return found

    def read(self, name: str) -> ShardMark | None:
        """The mark of a shard; None where there is none, or none that can be read."""
        return ShardMark.read(self.path(name))

    def damaged(self, marks: Mapping[str, ShardMark]) -> list[str]:
        """Those of these complete shards whose files are not there as they were written."""
        if not is_stored(self.output):
            return [name for name, mark in marks.items() if not mark.is_whole(self.output)]
        if len(marks) <= FEW:
            whole = at_once(lambda name: marks[name].is_whole(self.output), marks)
            return [name for name, is_whole in zip(marks, whole, strict=True) if not is_whole]
        sizes = self.output.sizes()
        return [
            name
            for name, mark in marks.items()
            if any(record.wrong_size(sizes.get(file)) for file, record in mark.files.items())
        ]

    def keep(self, name: str, mark: ShardMark) -> None:
        """Mark a shard as complete; its files are in their place."""
        write_json(self.path(name), asdict(mark))

    def forget_others(self, names: Iterable[str]) -> None:
        """Remove what an interrupted run left of shards that are no longer asked for (they were cut otherwise then)."""
        for name in self.named().difference(names):
            self.forget(name)

    def unmark(self, name: str) -> None:
        """Remove a shard's mark; its files stay."""
        self.path(name).unlink(missing_ok=True)

    def forget(self, name: str) -> None:
        """Remove a shard's files and its mark."""
        mark = self.read(name)
        for file in mark.files if mark else ():
            (self.output / file).unlink(missing_ok=True)
        self.unmark(name)


def _is_mark(name: str) -> bool:
    return name.endswith(".json") and not name.startswith(".")


@dataclass(frozen=True)
class ShardWork:
    """What is done with each shard and where: an executor takes it to its workers. Picklable.

    ``workspaces`` belongs to this run alone: what another run left or still writes can never get into its shards.
    ``copy`` is the output's copy on this machine where the output itself is stored elsewhere; ``needed`` is what a
    worker has to bring there first, where it may be on another machine.
    """

    function: ShardFunction
    folder: ShardFolder
    workspaces: Path
    copy: Path | None = None
    needed: NeededCopies | None = None

    def do(self, shard: Shard) -> Outcome:
        """Run the function, put the files in their place, mark the shard. Never raises but for what ends a process."""
        workspace = self.workspaces / shard.name
        begun = time.monotonic()
        try:
            if self.needed is not None:
                self.needed.bring()
            shutil.rmtree(workspace, ignore_errors=True)
            workspace.mkdir(parents=True)
            report = self.function(shard.value, workspace)
            paths = {path.relative_to(workspace).as_posix(): path for path in list_files(workspace)}
            files = {name: FileRecord.of(path) for name, path in paths.items()}
            self._place(paths)
            mark = ShardMark(report, files, shard.identity, round(time.monotonic() - begun, 3))
            self.folder.keep(shard.name, mark)
        except XlmrError as error:
            passing = isinstance(error, UnreachableError)
            return ShardFailure(self._plain(str(error), shard), traceback.format_exc(), passing)
        except OSError as error:
            return ShardFailure(self._plain(str(explain_os_error(error) or error), shard), traceback.format_exc())
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
            return ShardFailure(self._plain(problem, shard), traceback.format_exc())
        finally:
            shutil.rmtree(workspace, ignore_errors=True)
        return mark

    def _place(self, paths: Mapping[str, Path]) -> None:
        """Put finished files in their place, by their name in the output."""
        output = self.folder.output
        if not is_stored(output):
            for name, path in paths.items():
                publish(path, output / name)
            return
        assert self.copy is not None, "a stored output has a copy here"
        at_once(lambda name: (output / name).put(paths[name]), paths)
        for name, path in paths.items():
            (self.copy / name).parent.mkdir(parents=True, exist_ok=True)
            path.replace(self.copy / name)

    def _plain(self, problem: str, shard: Shard) -> str:
        """The problem as it would read in the output, not in a workspace that is gone by then."""
        return problem.replace(str(self.workspaces / shard.name), str(self.folder.output))


def as_one_error(failures: Mapping[str, ShardFailure], total: int) -> XlmrError:
    """One line about all shards that failed, one cause once; each one's trace as a note.

    An UnreachableError if a later try can do them all.
    """
    causes: dict[str, list[str]] = {}
    alike = Counter(failure.problem for failure in failures.values())
    for name, failure in sorted(failures.items()):
        cause = failure.problem if alike[failure.problem] > 1 else _without_name(failure.problem, name)
        causes.setdefault(cause, []).append(name)
    reported = sorted(causes.items(), key=lambda cause: (-len(cause[1]), cause[1]))
    listed = [_cause(problem, names, failures, alone=len(reported) == 1) for problem, names in reported[:5]]
    more = f"; and {len(reported) - 5} other causes" if len(reported) > 5 else ""
    passing = all(failure.passing for failure in failures.values())
    error = (UnreachableError if passing else XlmrError)(
        f"{len(failures)} of {total} shards failed{'' if len(reported) == 1 else ': '}{'; '.join(listed)}{more}",
        "fix the cause and run the same command: the other shards are kept",
    )
    for trace in dict.fromkeys(failure.trace for failure in failures.values()):
        error.add_note(trace)
    return error


def _without_name(problem: str, name: str) -> str:
    """The same text for the same problem of other shards, whose lines name other files."""
    return re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", "*", problem)


def _cause(problem: str, names: Sequence[str], failures: Mapping[str, ShardFailure], *, alone: bool) -> str:
    if len(names) == 1:
        problem = failures[names[0]].problem
    listed = ", ".join([*names[:NAMED_AT_MOST], *(["…"] if len(names) > NAMED_AT_MOST else [])])
    return f" ({listed}): {problem}" if alone else f"{len(names)} ({listed}): {problem}"
