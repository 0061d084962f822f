"""What a run came to, as numbers with names: each package offers those of its stages, comparisons read them.

Outputs of stages -> measures, by their full names as ``pretrain.train.validation_loss``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import XlmrError
from pipeline.stage import Package, load_object


@dataclass(frozen=True)
class Measure:
    """What one stage's output comes to in one respect.

    ``stage``, ``name``  together its full name, which no other measure has.
    ``title``   what it is, with its unit, for people.
    ``value``   over everything; None where only the parts have one.
    ``by``      language -> value, where it is known of each language.
    ``spread``  standard deviation over seeds; None where there is one seed or none.
    ``curve``   (step, value) in the order of time, where it was measured on the way.
    """

    stage: str
    name: str
    title: str
    value: float | None
    by: Mapping[str, float] = field(default_factory=dict)
    spread: float | None = None
    curve: Sequence[tuple[float, float]] = ()

    @property
    def full_name(self) -> str:
        """The stage's name and its own."""
        return f"{self.stage}.{self.name}"


def measures_of(packages: Iterable[Package], outputs: Mapping[str, Path]) -> tuple[dict[str, Measure], dict[str, str]]:
    """The measures of ``outputs`` (stage -> complete output) by full name; package -> why its own cannot be read."""
    found: dict[str, Measure] = {}
    problems: dict[str, str] = {}
    for package in packages:
        if not package.measures:
            continue
        try:
            of_package: list[Measure] = load_object(package.measures)(outputs)
        except (XlmrError, OSError, LookupError, TypeError, ValueError) as error:
            problems[package.name] = (
                error.problem if isinstance(error, XlmrError) else f"{type(error).__name__}: {error}"
            )
            continue
        found |= {measure.full_name: measure for measure in of_package}
    return found, problems
