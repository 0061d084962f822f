"""Several tasks at one stage, on a file system that they share: an array job, or the same command on some machines.

Task r of n does the shards r::n. What keeps them apart:

``<output>.lease``              the gate. One task at a time goes through: to make the output ready, to take a part, to
                                finish the stage. A run by itself holds it all the time.
``<output>.part-r-of-n.lease``  part r is being done. Taken while holding the gate, let go when the part is through.

A task that finds all shards complete takes the gate, and if no other has finished the stage, does so. One that is
through early waits; a part that nobody does (its task has died, or has not begun after a while) it takes over. Shards
are written in workspaces of their own and are the same bytes whoever makes them, so even a task that was wrongly taken
for dead spoils nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError, XlmrError
from pipeline.lease import Lease, describe_owner, live_owner, time_of_folder
from pipeline.storage import read_json, write_json

if TYPE_CHECKING:
    from pipeline.run_settings import RunConfig

LOOK_SECONDS = 2.0
"""How often a waiting task looks."""

LATE_SECONDS = 60.0
"""A part whose task has not begun after so long is taken over by one that waits."""

SAY_SECONDS = 30.0

FAILURES = ".failed-*.json"


class LeftToOthersError(Exception):
    """This task has done its part and does not wait: other tasks go on. Not a failure."""


class FinishedByOtherError(Exception):
    """Another task has finished the stage while this one was at it."""


@dataclass(frozen=True)
class Part:
    """Part ``number`` of ``world``: the shards number::world."""

    number: int
    world: int

    def of(self, names: Sequence[str]) -> Sequence[str]:
        """The names that are this part's."""
        return names[self.number :: self.world]

    def __str__(self) -> str:
        return f"{self.number}/{self.world}"


def part_of(settings: RunConfig, environment: Mapping[str, str] = os.environ) -> Part | None:
    """Which part of each stage this task does; None where it does all. Errors: UsageError."""
    if settings.part is not None:
        part = Part(*map(int, settings.part.split("/")))
        if part.number >= part.world:
            raise UsageError(f"run.part: {part} is no part", f"parts of {part.world} are 0 to {part.world - 1}")
    elif settings.executor == "slurm":
        part = _part_of_array(environment)
    else:
        return None
    return part if part.world > 1 else None


def _part_of_array(environment: Mapping[str, str]) -> Part:
    try:
        task = int(environment["SLURM_ARRAY_TASK_ID"])
        world = int(environment["SLURM_ARRAY_TASK_COUNT"])
    except (KeyError, ValueError):
        raise UsageError(
            "run.executor is slurm, but this is not a task of an array job",
            "submit infra/slurm/corpus.sbatch with --array, or give run.part",
        ) from None
    first = int(environment.get("SLURM_ARRAY_TASK_MIN", "0"))
    step = int(environment.get("SLURM_ARRAY_TASK_STEP", "1"))
    number, rest = divmod(task - first, step)
    if rest or not 0 <= number < world:
        raise UsageError(f"array task {task} is not one of {world} in a row", "submit --array=0-15, or give run.part")
    return Part(number, world)


def gate_path(output: Path) -> Path:
    """The lease of the whole output."""
    return output.with_name(f"{output.name}.lease")


def part_path(output: Path, part: Part) -> Path:
    """The lease of one part of it."""
    return output.with_name(f"{output.name}.part-{part.number}-of-{part.world}.lease")


def refuse_while_parts_are_done(output: Path) -> None:
    """Errors: XlmrError when another task does a part of ``output``. To be asked while holding the gate."""
    for path in sorted(output.parent.glob(f"{output.name}.part-*.lease")):
        owner = live_owner(path)
        if owner is not None:
            raise XlmrError(
                f"a part of {output} is being written by {describe_owner(owner)}",
                "wait for it to end, or stop it and run the same command again",
            )
        path.unlink(missing_ok=True)


class Sharing:
    """One task's side of one stage that several do. Close it when the stage is left, whatever happened.

    ``calls``        how many calls of ``map_shards`` are shared.
    ``is_finished``  whether the manifest is there; an XlmrError where the output is no longer made from the inputs that
                     this task began with.
    """

    def __init__(
        self,
        output: Path,
        part: Part,
        calls: int,
        *,
        wait: bool,
        is_finished: Callable[[], bool],
        say: Callable[[str], None],
    ) -> None:
        self.output, self.part, self.calls_left, self._wait = output, part, calls, wait
        self._is_finished, self._say = is_finished, say
        self._gate: Lease | None = None
        self._held: tuple[Part, Lease] | None = None
        self._said = 0.0
        self._calls_begun = 0
        output.parent.mkdir(parents=True, exist_ok=True)
        self._began = time_of_folder(output.parent)

    def close(self) -> None:
        """Let go of whatever is held."""
        self._let_part_go()
        self.let_gate_go()

    def take_gate(self, *, wait: bool = True) -> Lease:
        """Take the gate when nobody else is at it. Errors: LeftToOthersError, without ``wait``, if another is."""
        while True:
            gate = Lease(gate_path(self.output))
            owner = gate.take()
            if owner is None:
                self._gate = gate
                return gate
            if not wait:
                raise LeftToOthersError(f"{describe_owner(owner)} is at it")
            self._pause(f"{describe_owner(owner)} is at it")

    def holds_gate(self) -> bool:
        """Whether the gate is ours, and nobody has taken us for dead."""
        return self._gate is not None and self._gate.is_held()

    def let_gate_go(self) -> None:
        """Let others through."""
        if self._gate is not None:
            self._gate.release()
            self._gate = None

    def begin_part(self, part: Part) -> bool:
        """Take a part, while holding the gate; False where another task has it."""
        assert self._gate is not None, "parts are taken at the gate"
        lease = Lease(part_path(self.output, part))
        if lease.take() is not None:
            return False
        self._failure_path(part).unlink(missing_ok=True)
        self._held = (part, lease)
        return True

    def parts(self, names: Sequence[str], missing: Callable[[], set[str]]) -> Iterator[Sequence[str]]:
        """The names of the shards to do, part after part, until none is ``missing``.

        After the last shared call the gate is ours then.
        Errors: FinishedByOtherError; LeftToOthersError; XlmrError where a part has failed in another task.
        """
        late = time.monotonic() + (LATE_SECONDS if self._wait else 0)
        after_others = self._calls_begun > 0
        self._calls_begun += 1
        self.calls_left -= 1
        while True:
            if self._held is not None:
                yield self._held[0].of(names)
                self._let_part_go()
            left = missing()
            if not left and not self.calls_left:
                self.take_gate(wait=self._wait)
            if self._is_finished():
                raise FinishedByOtherError
            if not left:
                return
            if self._wait or after_others:  # those who left after an earlier call do no part of this one
                self._take_over(names, left, late=time.monotonic() >= late)
            if self._held is not None:
                continue
            if not self._wait:
                raise LeftToOthersError(
                    f"part {self.part} is done, {len(left)} of {len(names)} shards are not: the last task to be done "
                    "finishes the stage"
                )
            self._pause(f"{len(names) - len(left)} of {len(names)} shards are complete")

    def failed(self, problem: str) -> None:
        """Tell the others that the part in hand failed, so that none waits for it."""
        if self._is_finished():
            raise FinishedByOtherError
        if self._held is not None:
            write_json(self._failure_path(self._held[0]), {"problem": problem})

    def _take_over(self, names: Sequence[str], left: set[str], *, late: bool) -> None:
        """Take a part that is not done and that nobody does, if there is one."""
        parts = [Part(number, self.part.world) for number in range(self.part.world)]
        undone = [part for part in parts if left.intersection(part.of(names))]
        free = [part for part in undone if live_owner(part_path(self.output, part)) is None]
        failures = {part: problem for part in free if (problem := self._failure(part))}
        if failures and len(failures) == len(undone):
            part, problem = next(iter(failures.items()))
            raise XlmrError(f"part {part} failed in another task: {problem}", "fix the cause and start it again")
        for part in free:
            begun = part_path(self.output, part).exists()  # by a task that has died
            if part not in failures and (begun or late or part == self.part):
                self.take_gate()
                try:
                    if not self._is_finished() and self.begin_part(part):
                        self._say(f"  taking over part {part}: nobody is at it")
                        return
                finally:
                    self.let_gate_go()

    def _failure_path(self, part: Part) -> Path:
        return self.output / f".failed-{part.number}-of-{part.world}.json"

    def _failure(self, part: Part) -> str | None:
        """What a task that began no earlier than this one wrote of its failure."""
        path = self._failure_path(part)
        try:
            if path.stat().st_mtime < self._began:
                return None
            told: dict[str, Any] = read_json(path)
        except FileNotFoundError:
            return None
        return str(told["problem"])

    def _let_part_go(self) -> None:
        if self._held is not None:
            self._held[1].release()
            self._held = None

    def _pause(self, line: str) -> None:
        if time.monotonic() - self._said > SAY_SECONDS or not self._said:
            self._said = time.monotonic()
            self._say(f"  part {self.part} waits: {line}")
        time.sleep(LOOK_SECONDS)
