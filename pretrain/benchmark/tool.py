"""Tool ``xlmr pretrain benchmark``: how fast the training is, where its time goes, and Hugging Face's loop beside it.

Random tokens stand in for a corpus: they go through the stream, the masking and the engine as they do in a training.
Rounds of ours, of theirs and of a plain matrix product take turns, so that a disturbed moment hits all of them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from pipeline.options import Settings
from pretrain.benchmark.options import Options

if TYPE_CHECKING:
    from pretrain.benchmark.rounds import Result


def benchmark(
    config: Path | None = None,
    *settings: Settings,
    options: Annotated[Options, Parameter(name="*")] | None = None,
    output: Path = Path("pretrain-benchmark.json"),
) -> None:
    """Measure tokens per second, the share of the peak, memory and the parts of a step, Hugging Face's loop beside.

    Prints a table in Markdown and writes the same and more in JSON. Under torchrun, on several ranks, ours alone.

    Parameters
    ----------
    config
        YAML file of a run, whose model and training are measured; without it, --size.
    output
        Where to write the JSON.
    """
    asked = options or Options()
    work = asked.workload(config, settings)
    from pretrain.benchmark.rounds import MeasurePlan, measure

    result = measure(work, MeasurePlan(asked.steps, asked.rounds, not asked.alone, asked.compile_theirs))
    if result is not None:  # rank 0 has it
        print(table(result))
        output.write_text(json.dumps(result.as_json(), indent=1) + "\n", encoding="utf-8")
        print(f"\n{output}", file=sys.stderr)


def table(result: Result) -> str:
    """The figures as Markdown."""
    sides = [side for side in (result.ours, result.theirs) if side is not None]
    rows: list[tuple[str, list[str]]] = [
        ("tokens per second", [f"{side.tokens_per_second:,.0f}" for side in sides]),
        ("step, ms", [f"{side.step_seconds * 1e3:,.1f}" for side in sides]),
        ("share of the peak (MFU)", [f"{result.share_of_peak(side):.1%}" for side in sides]),
        ("GFLOP a token, done by it", [f"{side.flops_per_token / 1e9:.3f}" for side in sides]),
        ("memory, GB", [f"{side.bytes_held / 1e9:.2f} + {side.bytes_added / 1e9:.2f}" for side in sides]),
        ("sequences at once", [str(side.micro_batch) for side in sides]),
    ]
    for part in ("data", "forward", "backward", "optimiser"):
        rows.append((f"{part}, ms", [f"{side.parts.get(part, 0.0) * 1e3:,.1f}" for side in sides]))
    header = ["", *("ours", "Hugging Face")[: len(sides)]]
    lines = [result.heading(), "", f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    lines += [f"| {name} | {' | '.join(values)} |" for name, values in rows]
    lines += [
        "",
        f"the loader alone: {result.loader:,.0f} tokens per second, {result.loader_ratio:,.0f} × what is taken",
    ]
    if result.theirs is not None:
        low, middle, high = result.ratios()
        lines += ["", f"ours / Hugging Face: {middle:.2f} (rounds from {low:.2f} to {high:.2f})"]
    elif result.why_not:
        lines += ["", f"Hugging Face's loop was not measured: {result.why_not}"]
    return "\n".join(lines)
