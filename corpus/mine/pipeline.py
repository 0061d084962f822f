"""The steps that a shard is mined by: a batch of rows goes through one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from corpus.mine.own_step import load_own_step
from corpus.mine.rows import MinedRow
from corpus.mine.settings import STEPS
from corpus.mine.steps import MiningStep, StepContext
from pipeline.counts import Counts, sum_counts


@dataclass(frozen=True)
class MiningPipeline:
    """A list of steps. Each takes the rows that the one before it returned."""

    steps: Sequence[MiningStep]

    def __call__(self, rows: Sequence[MinedRow]) -> None:
        """Take one batch through all steps."""
        for step in self.steps:
            if not rows:
                return
            rows = step(rows)

    def counts(self) -> Counts:
        """What all steps counted."""
        return sum_counts([step.counts.plain() for step in self.steps])


def make_pipeline(context: StepContext) -> MiningPipeline:
    """The steps of the settings, for one shard. Errors: UsageError for a step of the user's that cannot be loaded."""
    return MiningPipeline([_make_step(name, context) for name in context.config.mine.steps])


def _make_step(name: str, context: StepContext) -> MiningStep:
    if STEPS.is_own(name):
        step: MiningStep = STEPS.load(name)(context)
        return step
    return load_own_step(STEPS.import_string(name), context.dropped)
