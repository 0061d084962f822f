"""What a study would run, said before anything does: stages, what is shared, what training takes, the time left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.dag import Dag
from pipeline.errors import XlmrError
from pipeline.formatting import duration
from pipeline.plan import make_plan
from pipeline.study.cost import Estimate, TimesTaken, estimates_of
from pipeline.study.study_file import StudyFile
from pipeline.study.variants import StudyVariant, identities


@dataclass
class StudyPlan:
    """The stages of all variants; ``lines`` says them."""

    dag: Dag
    study: StudyFile
    variants: Sequence[StudyVariant]
    gpus: int
    _first: dict[str, str] = field(default_factory=dict)
    _times: TimesTaken = field(default_factory=TimesTaken)
    _left: list[tuple[str, Estimate | None]] = field(default_factory=list)
    _trainings: list[Estimate] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """A few lines for each variant, then the sums."""
        yield f"{self.study.title}: {self.study.of}, {self.study.size} size"
        yield f"{len(self.variants)} variants, all up to {', '.join(self.study.measured_stages)}"
        slots = 0
        for variant in self.variants:
            own = identities(self.dag, variant.config, self.study.measured_stages)
            slots += len(own)
            yield ""
            yield variant.name
            yield from self._of_variant(variant, own)
        yield ""
        yield f"{slots} stages in all, {len(self._first)} of them different: each of these runs once"
        yield from self._sums()

    def _of_variant(self, variant: StudyVariant, own: Mapping[str, str]) -> Iterator[str]:
        estimates = estimates_of(self.dag, variant.config, self.gpus)
        there = self._there(variant)
        new = [name for name, one in own.items() if one not in self._first]
        shared = dict.fromkeys(self._first[one] for one in own.values() if one in self._first)
        for name in new:
            self._first[own[name]] = variant.name
            if name in there:
                self._times.add(name, there[name], estimates.get(name))
            else:
                self._left.append((name, estimates.get(name)))
        yield f"  runs    {', '.join(name + ' (is there)' * (name in there) for name in new) or 'nothing of its own'}"
        if shared:
            yield f"  shares  {len(own) - len(new)} stages with {'; '.join(shared)}"
        for name, estimate in estimates.items():
            if name in new:
                self._trainings.append(estimate)
                yield f"  takes   {name}: {estimate.words}"

    def _there(self, variant: StudyVariant) -> dict[str, float]:
        """Stage -> seconds that it took, of those whose output is there; none where files from outside are not."""
        left_out: dict[str, XlmrError] = {}
        plan = make_plan(self.dag, variant.config, only=list(self.study.measured_stages), left_out=left_out)
        return {name: one.manifest.seconds for name, one in plan.items() if one.fresh and one.manifest}

    def _sums(self) -> Iterator[str]:
        seconds = sum(estimate.seconds for estimate in self._trainings)
        if (days := seconds * self.gpus / 86400) >= 1:
            amount = f"{duration(seconds)} on {self.gpus} GPUs, {days:,.0f} GPU-days"
            count = len(self._trainings)
            yield f"{count} trainings, one after the other: {amount}, at the speed that xlmr pretrain plan assumes"
        expected = [self._times.expect(name, estimate) for name, estimate in self._left]
        known = [seconds for seconds in expected if seconds is not None]
        if known:
            unknown = f", and {expected.count(None)} stages of which none has run" * (None in expected)
            yield f"left on this machine, by the stages that have run: about {duration(sum(known))}{unknown}"
