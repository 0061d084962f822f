"""What the stages of a study will take: by what packages say of their work, and by what like stages took before.

``Package.estimate`` -> Estimate of a stage; finished stages of the study -> seconds of those that are left.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.config import Section
from pipeline.dag import Dag
from pipeline.stage import load_object


@dataclass(frozen=True)
class Estimate:
    """What a stage will take.

    ``work``     in any unit that two outputs of the same stage have in common, as operations.
    ``words``    the same for people, in one line.
    ``seconds``  on the machines that were asked about.
    """

    work: float
    words: str
    seconds: float


def estimates_of(dag: Dag, config: Section, gpus: int) -> dict[str, Estimate]:
    """Stage -> estimate, for the stages whose package has one. Errors: UsageError where the GPUs cannot be used so."""
    found: dict[str, Estimate] = {}
    for package in dag.packages:
        if package.estimate:
            found |= load_object(package.estimate)(config, gpus)
    return found


@dataclass
class TimesTaken:
    """Seconds that stages took, and how much work that was."""

    _seconds: dict[str, list[float]] = field(default_factory=dict)
    _work: dict[str, list[float]] = field(default_factory=dict)

    def add(self, stage: str, seconds: float, estimate: Estimate | None) -> None:
        """A stage has finished."""
        self._seconds.setdefault(stage, []).append(seconds)
        self._work.setdefault(stage, []).append(estimate.work if estimate else 1.0)

    def expect(self, stage: str, estimate: Estimate | None) -> float | None:
        """Seconds that an output of ``stage`` will take, in proportion to its work; None before one has finished."""
        done = sum(self._work.get(stage, ()))
        return sum(self._seconds[stage]) / done * (estimate.work if estimate else 1.0) if done else None
