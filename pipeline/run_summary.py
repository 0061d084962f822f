"""What is said at the end of a run: how much was done, and a command that is sensible next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.formatting import counted, duration
from pipeline.plan import StagePlan


def done_line(plan: Mapping[str, StagePlan], ran: Sequence[str], chosen: Sequence[str], seconds: float) -> str:
    """``done: 3 of 17 stages ran in 1 min 05 s, 14 were fresh; 2 warnings, see above``."""
    fresh = len(chosen) - len(ran)
    others = f", {fresh} {'was' if fresh == 1 else 'were'} fresh" if fresh else ""
    manifests = [plan[name].manifest for name in ran]
    warnings = sum(len(manifest.warnings) for manifest in manifests if manifest is not None)
    count = f"; {counted(warnings, 'warning')}, see above" if warnings else ""
    return f"done: {len(ran)} of {len(chosen)} stages ran in {duration(seconds)}{others}{count}"


def next_command(
    plan: Mapping[str, StagePlan], chosen: Sequence[str], config: Path, settings: Sequence[str] = ()
) -> str:
    """What to do with what the last of the chosen stages wrote: its package's own command, or the report."""
    last = plan[chosen[-1]]
    if last.stage.name == "report":
        return f"open {last.output / 'report.html'} in a browser"
    for name in (name for name in reversed(chosen) if name in plan):  # the plan lacks what the settings leave out
        stage = plan[name].stage
        if stage.package == last.stage.package and stage.then:
            return stage.then.format(output=shlex.quote(str(plan[name].output)))
    return shlex.join(["xlmr", "report", str(config), *settings])
