"""Tool ``xlmr pretrain benchmark``: how fast the training is, where its time goes, and Hugging Face's loop beside it.

Random pieces stand in for a corpus: they go through the stream, the masking and the engine as they do in a training.
Rounds of ours, of theirs and of a plain matrix product take turns, so that a disturbed moment hits all of them.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from pipeline.errors import UsageError
from pretrain.cost.workload import DEMO, Workload, of_config, of_size

if TYPE_CHECKING:
    from pretrain.benchmark.rounds import Result

Flag = Annotated[bool, Parameter(negative="")]
Overrides = Annotated[str, Parameter(allow_leading_hyphen=True, show=False)]


def benchmark(  # noqa: PLR0913 - the flags of a command
    config: Path | None = None,
    *settings: Overrides,
    size: str = DEMO,
    length: int | None = None,
    batch: int | None = None,
    micro_batches: int = 1,
    updates: int = 8,
    rounds: int = 5,
    dtype: Literal["auto", "fp32", "bf16"] | None = None,
    zero_stage: Literal[0, 1, 2, 3] | None = None,
    tensor_parallel: int | None = None,
    head_chunk: int | None = None,
    compile_layers: Annotated[bool, Parameter(name="--compile", negative="")] = False,
    recompute: Flag = False,
    alone: Flag = False,
    compile_theirs: Flag = False,
    output: Path = Path("pretrain-benchmark.json"),
) -> None:
    """Measure pieces a second, the share of the peak, memory and the parts of an update, Hugging Face's loop beside.

    Prints a table in Markdown and writes the same and more in JSON. Under torchrun, on several ranks, ours alone.

    Parameters
    ----------
    config
        YAML file of a run, whose model and training are measured; without it, --size.
    size
        demo, base, large, xl, xxl or an ablation's size.
    length
        Pieces of a sample.
    batch
        Samples that go through the model at once on a rank.
    micro_batches
        How many of these make an update, on each rank.
    updates
        Updates of each round.
    rounds
        Rounds of which the median is taken, after one that is not counted.
    dtype
        Arithmetic of the matrix products; auto is bf16 where the processor has it.
    zero_stage
        DeepSpeed's ZeRO stage.
    tensor_parallel
        Ranks that share each matrix.
    head_chunk
        Masked positions whose scores are held at once; 0 is all.
    compile_layers
        torch.compile for our layers.
    recompute
        Recompute activations, in theirs too.
    alone
        Leave Hugging Face's loop out.
    compile_theirs
        torch.compile for their model too, which its loop does not do by itself.
    output
        Where to write the JSON.
    """
    given = of_config(config, settings) if config is not None else of_size(size)
    if settings and config is None:
        raise UsageError(f"{settings[0]}: not understood", "settings of a run need its YAML file before them")
    if (batch is not None and batch < 1) or micro_batches < 1 or updates < 1 or rounds < 1:
        raise UsageError("--batch, --micro-batches, --updates and --rounds are 1 at least", "give larger numbers")
    changes: dict[str, Any] = {
        "micro_batch": batch, "dtype": dtype, "zero_stage": zero_stage, "tensor_parallel": tensor_parallel,
        "head_chunk": head_chunk, "compile": compile_layers or None, "recompute": recompute or None,
    }  # fmt: skip
    work = with_settings(given, changes, micro_batches, length)
    from pretrain.benchmark.rounds import Plan, measure

    result = measure(work, Plan(updates, rounds, theirs=not alone, compile_theirs=compile_theirs))
    if result is not None:  # rank 0 has it
        print(table(result))
        output.write_text(json.dumps(result.as_json(), indent=1) + "\n", encoding="utf-8")
        print(f"\n{output}", file=sys.stderr)


def with_settings(work: Workload, changes: dict[str, Any], micro_batches: int, length: int | None) -> Workload:
    """The workload with what the command line says, its global batch made of whole micro-batches of every rank."""
    wanted = {name: value for name, value in changes.items() if value is not None}
    train = work.train.model_copy(update=wanted)
    ranks = int(os.environ.get("WORLD_SIZE", "1")) // train.tensor_parallel
    train = train.model_copy(update={"global_batch": train.micro_batch * micro_batches * max(ranks, 1)})
    length = length or work.length
    return replace(work, length=length, positions=max(work.positions, length + 2), train=train)


def table(result: Result) -> str:
    """The figures as Markdown."""
    sides = [side for side in (result.ours, result.theirs) if side is not None]
    rows: list[tuple[str, list[str]]] = [
        ("pieces a second", [f"{side.pieces_a_second:,.0f}" for side in sides]),
        ("update, ms", [f"{side.update_seconds * 1e3:,.1f}" for side in sides]),
        ("share of the peak (MFU)", [f"{result.share_of_peak(side):.1%}" for side in sides]),
        ("GFLOP a piece, done by it", [f"{side.flops_a_piece / 1e9:.3f}" for side in sides]),
        ("memory, GB", [f"{side.bytes_held / 1e9:.2f} + {side.bytes_added / 1e9:.2f}" for side in sides]),
        ("samples at once", [str(side.micro_batch) for side in sides]),
    ]
    for part in ("data", "forward", "backward", "optimiser"):
        rows.append((f"{part}, ms", [f"{side.parts.get(part, 0.0) * 1e3:,.1f}" for side in sides]))
    heads = ["", *("ours", "Hugging Face")[: len(sides)]]
    lines = [result.heading(), "", f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    lines += [f"| {name} | {' | '.join(values)} |" for name, values in rows]
    lines += ["", f"the loader alone: {result.loader:,.0f} pieces a second, {result.loader_ratio:,.0f} × what is taken"]
    if result.theirs is not None:
        low, middle, high = result.ratios()
        lines += ["", f"ours / Hugging Face: {middle:.2f} (rounds from {low:.2f} to {high:.2f})"]
    elif result.why_not:
        lines += ["", f"Hugging Face's loop was not measured: {result.why_not}"]
    return "\n".join(lines)
