"""Running a study: variant by variant, stage by stage; what variants have in common is done once, by the stages' keys.

All variants live in one project, so that equal keys are one output. A run that was killed resumes: finished stages are
fresh. A variant that fails does not stop those that have nothing of the failed stage.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.config import Section
from pipeline.dag import Dag
from pipeline.errors import XlmrError, explain_os_error
from pipeline.formatting import duration
from pipeline.lease import describe_owner, live_owner
from pipeline.plan import Plan, make_plan
from pipeline.runner import Selection, check_stages, run
from pipeline.shards.partitions import stage_lock_path
from pipeline.study.cost import Estimate, TimesTaken
from pipeline.study.variants import StudyVariant, identities

LOOK_SECONDS = 0.5


@dataclass
class GridRun:
    """One run of a whole grid. ``say`` gets a line for each step; ``failures`` has variant -> why, afterwards."""

    dag: Dag
    variants: Sequence[StudyVariant]
    targets: Sequence[str]
    estimates: Sequence[Mapping[str, Estimate]]
    say: Callable[[str], None]
    failures: dict[str, str] = field(default_factory=dict)
    ran: list[tuple[str, str]] = field(default_factory=list)
    """(variant, stage) of each stage that this run ran."""

    def __post_init__(self) -> None:
        self._identities = [identities(self.dag, variant.config, self.targets) for variant in self.variants]
        self._times = TimesTaken()
        self._done: set[str] = set()
        self._failed: dict[str, tuple[str, str]] = {}
        self._started = time.monotonic()

    def run(self) -> None:
        """Run what is not there. Errors of variants are kept in ``failures``; others go through."""
        plans = [self._plan(variant.config) for variant in self.variants]
        for number, plan in enumerate(plans):
            for name, stage in (plan or {}).items():
                if stage.fresh:
                    self._finish(number, name, stage.manifest.seconds if stage.manifest else 0.0)
        for number, variant in enumerate(self.variants):
            try:
                self._run_variant(number)
            except Exception as error:
                self.failures[variant.name] = problem_of(error)
                self.say(f"  {variant.name} failed: {self.failures[variant.name]}")

    def _plan(self, config: Section) -> Plan | None:
        """How the stages stand; None where that cannot be known, which its variant then says."""
        try:
            return make_plan(self.dag, config, only=list(self.targets))
        except XlmrError:
            return None

    def _run_variant(self, number: int) -> None:
        variant, own = self.variants[number], self._identities[number]
        shared = next((self._failed[one] for one in own.values() if one in self._failed), None)
        if shared:
            raise XlmrError(f"it needs {shared[1]} of {shared[0]}, which failed")
        plan = make_plan(self.dag, variant.config, only=list(self.targets))
        waiting = [name for name, stage in plan.items() if not stage.fresh]
        if not waiting:
            self.say(f"{self._place(number)}: all {len(plan)} stages are there")
            return
        check_stages(plan, waiting, variant.config)
        for name in waiting:
            self.say(f"{self._place(number)}: {name} · {self._left(number)}")
            self._wait_for_others(plan[name].output)
            try:
                after = run(self.dag, variant.config, Selection(only=name), say=self._say_outcome)
            except Exception:
                self._failed[own[name]] = (variant.name, name)
                raise
            manifest = after[name].manifest
            if manifest is not None:
                self.ran.append((variant.name, name))
                self._finish(number, name, manifest.seconds)

    def _wait_for_others(self, output: Path) -> None:
        """Wait while another run makes this output, as another study of the project does: then it is there."""
        path, said = stage_lock_path(output), False
        while (owner := live_owner(path)) is not None:
            if not said:
                self.say(f"  {output} is being written by {describe_owner(owner)}; waiting for it")
                said = True
            time.sleep(LOOK_SECONDS)

    def _say_outcome(self, line: str) -> None:
        """Of what the runner says, what became of the stage: its beginning has been said."""
        if line.startswith("  "):
            self.say(line)

    def _finish(self, number: int, name: str, seconds: float) -> None:
        own = self._identities[number][name]
        if own not in self._done:
            self._done.add(own)
            self._times.add(name, seconds, self.estimates[number].get(name))

    def _place(self, number: int) -> str:
        return f"[variant {number + 1} of {len(self.variants)}] {self.variants[number].name}"

    def _left(self, number: int) -> str:
        """How many stages of the whole grid are left, since when it runs, and how long it will."""
        stages: dict[str, tuple[str, Estimate | None]] = {}
        total = len({one for own in self._identities for one in own.values()})
        for later in range(number, len(self.variants)):
            own = self._identities[later]
            if any(one in self._failed for one in own.values()):
                continue
            for name, one in own.items():
                if one not in self._done:
                    stages.setdefault(one, (name, self.estimates[later].get(name)))
        expected = [self._times.expect(name, estimate) for name, estimate in stages.values()]
        known = sum(seconds for seconds in expected if seconds is not None)
        left = f"about {duration(known)} left" if known else "time left not known yet"
        left += f" and {expected.count(None)} stages of unknown time" if known and None in expected else ""
        passed = duration(time.monotonic() - self._started)
        return f"stage {total - len(stages) + 1} of {total} of the study · {passed} so far · {left}"


def problem_of(error: Exception) -> str:
    """The error in one line."""
    line = error if isinstance(error, XlmrError) else explain_os_error(error) if isinstance(error, OSError) else None
    return line.problem if line else f"{type(error).__name__}: {error}"
