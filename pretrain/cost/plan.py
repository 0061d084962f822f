"""Tool ``xlmr pretrain plan``: what a training takes of a cluster, in memory and in days, before anything is started.

Light: the figures follow from the settings (``memory``, ``flops``), so no GPU and no torch is needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal

from pipeline.errors import UsageError, XlmrError
from pipeline.options import Json, Settings
from pretrain.cost.communication import Communication, Network, communication_of, share_of_peak
from pretrain.cost.flops import FORWARD, encoder_flops, training_flops
from pretrain.cost.memory import Cluster, Memory, memory_of, parameters_of_rank
from pretrain.cost.workload import Workload, of_config, of_size
from pretrain.exchange import Precision, check_exchange, no_effect, overlaps
from pretrain.presets import SHAPES, Shape

USABLE = 0.9
"""Of a GPU's memory: the rest is for CUDA itself, NCCL and gaps between blocks."""

PEAK = 790e12
"""Operations a second of the fastest bf16 matrix product measured on an H200. Its data sheet promises 989e12."""

MFU = 0.4
"""Share of ``PEAK`` that a GPU reaches while it computes: 32 % of the data sheet's peak.

Of that one, large trainings reach 33-39 % (torchtitan) and 41-47 % (Megatron), communication included.
"""

ASSUMED_PEAK = "the fastest bf16 matrix product measured on an H200, 80% of its data sheet's 989"

ENOUGH_TOKENS = 4096
"""In a micro-batch: with fewer, a GPU is not busy."""

MOST_TOKENS = 65_536
"""In a micro-batch: more are not faster."""

UNITS = {"GB": 1e9, "GIB": 2**30, "MB": 1e6, "MIB": 2**20, "TB": 1e12}


@dataclass(frozen=True)
class Speed:
    """What a GPU does: operations a second at its peak, and the share of it while it computes, recomputed ones too.

    ``source`` says where the share is from, ``peak_source`` what the peak is.
    """

    peak: float
    share: float
    source: str
    peak_source: str = "as given"
    network: Network = field(default_factory=Network)

    def step_seconds(self, work: Workload, how: Cluster) -> float:
        """Of one step on all GPUs, communication included."""
        return self.compute_seconds(work, how) + self.communication(work, how).seconds

    def communication(self, work: Workload, how: Cluster) -> Communication:
        """What ranks exchange in a step."""
        return communication_of(work, how, self.network, self.compute_seconds(work, how))

    def compute_seconds(self, work: Workload, how: Cluster) -> float:
        """Of the arithmetic of one step. Recomputing adds a forward pass of the layers."""
        tokens = work.train.global_batch * work.length
        done = training_flops(work.shape, work.length, work.mask_rate)
        done += encoder_flops(work.shape, work.length, FORWARD) * how.activation_checkpointing
        return tokens * done / (how.tensor * how.data * self.peak * self.share)


def plan(  # noqa: PLR0913 - the flags of a command
    config: Path,
    *settings: Settings,
    gpus: int = 1,
    gpu_memory: str = "80GB",
    tensor_parallel: int | None = None,
    zero: Literal[0, 1, 2, 3] | None = None,
    micro_batch: int | None = None,
    peak: float | None = None,
    mfu: float | None = None,
    measured: Path | None = None,
    bandwidth: float = 50.0,
    bandwidth_inside: float = 450.0,
    gpus_per_machine: int = 8,
    as_json: Json = False,
) -> None:
    """Say what a training takes of a cluster: memory of each GPU, days in all, what fits and what would be better.

    Parameters
    ----------
    config
        YAML file of a run, or the name of a size: base, large, xl, xxl, an ablation's.
    gpus
        GPUs in all.
    gpu_memory
        Of each, as 80GB or 40GiB.
    tensor_parallel
        Ranks that share each matrix; the configuration's if not given.
    zero
        DeepSpeed's ZeRO stage; the configuration's if not given.
    micro_batch
        Sequences at once on a rank; the configuration's if not given.
    peak
        TFLOP/s of a GPU's matrix product; 790, an H200's in bf16, if not given.
    mfu
        Share of it that the training reaches; 0.4 if not given.
    measured
        JSON of `xlmr pretrain benchmark`: its peak and its share.
    bandwidth
        GB/s that a machine sends to others, all its GPUs together: 50 is one port of 400 Gb/s, a DGX H100 has 400.
    bandwidth_inside
        GB/s that a GPU sends to others of its machine: 450 is NVLink of an H100 or H200.
    gpus_per_machine
        GPUs of a machine.
    as_json
        JSON.
    """
    size = str(config).removeprefix("xlmr-")
    work = of_size(size) if size in SHAPES and not config.exists() else of_config(config, settings)
    asked = {"tensor_parallel": tensor_parallel, "zero_stage": zero, "micro_batch": micro_batch}
    changes = {name: value for name, value in asked.items() if value is not None}
    work = replace(work, train=work.train.model_copy(update=changes))
    if min(bandwidth, bandwidth_inside, gpus_per_machine) <= 0:
        raise UsageError(
            "a bandwidth or number of GPUs is not above 0",
            "give --bandwidth, --bandwidth-inside, --gpus-per-machine above 0",
        )
    network = Network(bandwidth_inside * 1e9, bandwidth * 1e9, gpus_per_machine)
    memory, speed = parse_bytes(gpu_memory), replace(speed_of(peak, mfu, measured), network=network)
    how = spread(work, gpus)
    better = suggest(work, gpus, memory * USABLE, precision_of(work))
    if as_json:
        print(json.dumps(describe(work, how, memory, speed, better), indent=1))
        return
    print("\n".join(report(work, how, memory, speed, better)))


def precision_of(work: Workload) -> Precision:
    """On a GPU, what dtype and weights come to."""
    if work.train.dtype == "fp32":
        return "fp32"
    return "autocast" if work.train.weights == "fp32" else "bf16"


def spread(work: Workload, gpus: int) -> Cluster:
    """The configuration's layout on so many GPUs. Errors: UsageError, XlmrError where it cannot be."""
    train, shape = work.train, work.shape
    tensor = train.tensor_parallel
    if gpus < 1 or gpus % tensor:
        raise UsageError(f"{gpus} GPUs do not make groups of {tensor}", "give a multiple of the tensor-parallel ranks")
    if shape.num_attention_heads % tensor or shape.intermediate_size % tensor:
        raise UsageError(
            f"{tensor} ranks do not divide {shape.num_attention_heads} heads", "give fewer --tensor-parallel"
        )
    data = gpus // tensor
    if train.global_batch % data:
        raise UsageError(
            f"a global batch of {train.global_batch} sequences cannot be shared by {data} ranks",
            "give a number of GPUs that divides it",
        )
    precision = precision_of(work)
    stage = max(train.zero_stage, 1) if precision == "bf16" else train.zero_stage
    micro_batch = min(train.micro_batch, train.global_batch // data)
    check_exchange(train, stage, precision, data, on_gpu=True)
    return Cluster(tensor, data, stage, precision, train.activation_checkpointing, train.compile, micro_batch)


def layouts(work: Workload, gpus: int, precision: Precision) -> Iterator[Cluster]:
    """Every way that this code can spread the training, the simplest first."""
    shape, batch = work.shape, work.train.global_batch
    stages = (1, 2, 3) if precision == "bf16" else (0, 1, 2, 3)
    for activation_checkpointing in (False, True):
        for tensor in (1, 2, 4, 8, 16):
            data = gpus // tensor
            if (
                gpus % tensor
                or shape.num_attention_heads % tensor
                or shape.intermediate_size % tensor
                or batch % max(data, 1)
            ):
                continue
            for stage in stages if data > 1 else stages[:1]:
                if no_effect(work.train, stage, precision, data, on_gpu=True):
                    continue
                most = min(batch // data, max(1, MOST_TOKENS // work.length))
                for power in reversed(range(most.bit_length())):
                    yield Cluster(
                        tensor, data, stage, precision, activation_checkpointing, work.train.compile, 1 << power
                    )


def suggest(work: Workload, gpus: int, usable: float, precision: Precision) -> Cluster | None:
    """The simplest layout that fits and keeps a GPU busy: rather no recomputing, then less tensor parallelism, then a
    lower ZeRO stage, then the largest micro-batch. None where nothing fits.
    """
    fitting = [how for how in layouts(work, gpus, precision) if memory_of(work, how).total <= usable]
    busy = [how for how in fitting if how.micro_batch * work.length >= ENOUGH_TOKENS]
    return next(iter(busy or fitting), None)


def speed_of(peak: float | None, mfu: float | None, measured: Path | None) -> Speed:
    """From the command line, a benchmark's figures, or the ones assumed. Errors: UsageError, XlmrError."""
    if measured is not None:
        try:
            found = json.loads(measured.read_text(encoding="utf-8"))
            speed = Speed(
                found["peak_flops_a_second"], _share_done(found), f"measured, {measured}", f"that of {measured}"
            )
        except (ValueError, KeyError, TypeError):
            raise XlmrError(f"{measured}: not a benchmark", "give what xlmr pretrain benchmark wrote") from None
    else:
        speed = Speed(PEAK, MFU, "assumed" if mfu is None else "as given", ASSUMED_PEAK)
    if (mfu is not None and not 0 < mfu <= 1) or (peak is not None and peak <= 0):
        raise UsageError("--mfu lies between 0 and 1, --peak above 0", "give them so")
    if peak:
        speed = replace(speed, peak=peak * 1e12, peak_source="as given")
    return replace(speed, share=mfu or speed.share)


def _share_done(found: dict[str, Any]) -> float:
    """Of the peak, by a benchmark's figures. Its share counts no recomputing, even where the time has it in it."""
    work, useful, share = found["workload"], found["useful_flops_per_token"], float(found["ours"]["mfu"])
    again = encoder_flops(Shape(**work["shape"]), work["length"], FORWARD) * work["train"]["activation_checkpointing"]
    return share * (useful + again) / useful


def parse_bytes(text: str) -> float:
    """80GB, 40GiB, 141 GB. Errors: UsageError."""
    found = re.fullmatch(r"([0-9.]+)\s*([A-Za-z]+)", text.strip())
    if not found or found[2].upper() not in UNITS:
        raise UsageError(f"{text}: not an amount of memory", "write it as 80GB or 40GiB")
    return float(found[1]) * UNITS[found[2].upper()]


def words_for(how: Cluster) -> str:
    """The layout in words."""
    extra = ", recomputing" if how.activation_checkpointing else ""
    return (
        f"tensor parallel {how.tensor} × data {how.data}, ZeRO {how.stage}, micro-batch {how.micro_batch}, "
        f"{how.precision}{extra}"
    )


def rows_of(memory: Memory) -> dict[str, float]:
    """The parts of a rank's memory, in the order of the table. They are not all there at once: see ``total``."""
    states = memory.states
    return {
        "weights": states.weights, "optimiser": states.optimiser, "gradients held": states.gradients,
        "gradients on the way": states.coming, "DeepSpeed's buffers": states.buffers,
        "activations": memory.activations, "head (scores, table's gradient)": memory.head,
        "a layer recomputed": memory.recomputed,
    }  # fmt: skip


def report(work: Workload, how: Cluster, memory: float, speed: Speed, better: Cluster | None) -> list[str]:
    """The plan as Markdown."""
    other = replace(how, activation_checkpointing=not how.activation_checkpointing)
    columns = [memory_of(work, how), memory_of(work, other)]
    header = ["recomputing" if one.activation_checkpointing else "keeping activations" for one in (how, other)]
    lines = [
        f"{work.name}: {work.parameters:,} parameters, {work.train.global_batch:,} sequences × {work.length} tokens × "
        f"{work.train.steps:,} steps; {words_for(how)}",
        "",
        f"| GB of a GPU | {' | '.join(header)} |",
        "| --- | --- | --- |",
    ]
    parts = [rows_of(column) for column in columns]
    lines += [f"| {name} | {parts[0][name] / 1e9:.2f} | {parts[1][name] / 1e9:.2f} |" for name in parts[0]]
    lines.append(f"| at the worst moment | {' | '.join(f'{c.total / 1e9:.2f}' for c in columns)} |")
    fits = ["fits" if column.total <= memory * USABLE else "does not fit" for column in columns]
    lines.append(f"| of {memory * USABLE / 1e9:.0f} usable | {' | '.join(fits)} |")
    lines += ["", *(time_line(work, one, speed) for one in (how, other))]
    lines.append(
        f"GPUs compute at {speed.share:.0%} ({speed.source}) of {speed.peak / 1e12:,.3g} TFLOP/s, "
        f"{speed.peak_source}; communication is added to that"
    )
    if work.train.offload_optimizer:
        lines.append(offload_line(work, how))
    if how.tensor * how.data > 1:
        lines += ["", *communication_lines(work, how, speed, better)]
    if better is None:
        lines += ["", "Nothing that this code can do fits: more GPUs, or larger ones."]
    elif better != how:
        total = memory_of(work, better).total / 1e9
        lines += ["", f"Better: {words_for(better)}: {total:.1f} GB; {time_line(work, better, speed)}", flags(better)]
    else:
        lines += ["", "Nothing simpler or larger fits."]
    return lines


def time_line(work: Workload, how: Cluster, speed: Speed) -> str:
    """How long it takes."""
    seconds = speed.step_seconds(work, how)
    rate = work.train.global_batch * work.length / seconds
    days = seconds * work.train.steps / 86400
    kind = "recomputing" if how.activation_checkpointing else "keeping activations"
    return f"{kind}: {seconds:.3g} s a step, {rate:,.0f} tokens per second, {days:,.1f} days"


def offload_line(work: Workload, how: Cluster) -> str:
    """What an offloaded optimiser takes of the machine's memory, and that its time is not known."""
    size = 16 * parameters_of_rank(work, how.tensor) / how.data  # fp32 weights, two moments, gradients
    return f"offload_optimizer: {size / 1e9:,.2f} GB of the machine's memory for each GPU; its time is not counted"


def communication_lines(work: Workload, how: Cluster, speed: Speed, better: Cluster | None) -> list[str]:
    """What ranks exchange in a step, at which bandwidth, and how long a training takes with each way to do so."""
    sent, network = speed.communication(work, how), speed.network
    parts = {"gradients": sent.gradients, "weights": sent.weights, "activations": sent.activations}
    said = ", ".join(f"{name} {size / 1e9:,.2f} GB" for name, size in parts.items() if size)
    lines = [
        f"communication: a GPU sends {said} a step, at {network.inside / 1e9:g} GB/s inside a machine of "
        f"{network.gpus} GPUs; a machine sends {network.between / 1e9:g} GB/s to others (assumed unless given)",
        "",
        "| gradients are sent | exposed, s per step | overlapped, s per step | days | share of that peak |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, other, layout in ways(work, how, better):
        sent, seconds = speed.communication(other, layout), speed.step_seconds(other, layout)
        share = share_of_peak(other, layout, seconds, speed.peak)
        days = seconds * work.train.steps / 86400
        lines.append(f"| {name} | {sent.seconds:.3f} | {sent.hidden:.3f} | {days:,.2f} | {share:.1%} |")
    days = speed.compute_seconds(work, how) * work.train.steps / 86400
    share = share_of_peak(work, how, speed.compute_seconds(work, how), speed.peak)
    return [*lines, f"| (no communication) | 0 | 0 | {days:,.2f} | {share:.1%} |"]


def ways(work: Workload, how: Cluster, better: Cluster | None) -> Iterator[tuple[str, Workload, Cluster]]:
    """The configured way to send gradients, and the others: during the backward pass or after it, in fp32 or bf16."""
    own = (overlaps(work.train, how.stage), work.train.gradient_dtype)
    yield f"{_way(*own, how)} (as configured)", work, how
    for overlap, dtype in product((False, True), ("fp32", "bf16")):
        train = work.train.model_copy(update={"overlap_comm": overlap, "gradient_dtype": dtype})
        layout = how
        if overlap and no_effect(train, how.stage, how.precision, how.data, on_gpu=True):
            # ZeRO 2 exchanges gradients in each micro-batch: rather in few large ones.
            fits = better is not None and better.tensor == how.tensor
            layout = replace(how, stage=2, micro_batch=better.micro_batch if better and fits else how.micro_batch)
        refused = no_effect(train, layout.stage, how.precision, how.data, on_gpu=True)
        if (overlap, dtype) != own and not refused and not (overlap and not layout.stage):
            yield _way(overlap, dtype, layout), replace(work, train=train), layout


def _way(overlap: bool, dtype: str, how: Cluster) -> str:
    when = "during the backward pass" if overlap else "after the backward pass"
    return f"{when}, in {dtype}, ZeRO {how.stage}, micro-batch {how.micro_batch}"


def flags(how: Cluster) -> str:
    """The settings of a layout, to add to a command."""
    return (
        f"  --pretrain.train.tensor_parallel {how.tensor} --pretrain.train.zero_stage {how.stage} "
        f"--pretrain.train.micro_batch {how.micro_batch} "
        f"--pretrain.train.activation_checkpointing {str(how.activation_checkpointing).lower()}"
    )


def describe(work: Workload, how: Cluster, memory: float, speed: Speed, better: Cluster | None) -> dict[str, Any]:
    """The same for other programs. Bytes, seconds."""

    def one(layout: Cluster) -> dict[str, Any]:
        taken = memory_of(work, layout)
        seconds, sent = speed.step_seconds(work, layout), speed.communication(work, layout)
        return {
            "tensor_parallel": layout.tensor, "data_parallel": layout.data, "zero_stage": layout.stage,
            "precision": layout.precision, "micro_batch": layout.micro_batch,
            "activation_checkpointing": layout.activation_checkpointing,
            "bytes": {**rows_of(taken), "total": taken.total}, "fits": taken.total <= memory * USABLE,
            "step_seconds": seconds, "seconds": seconds * work.train.steps,
            "compute_seconds": speed.compute_seconds(work, layout), "communication": asdict(sent),
        }  # fmt: skip

    return {
        "name": work.name, "parameters": work.parameters, "peak_flops_a_second": speed.peak, "mfu": speed.share,
        "configured": one(how), "other": one(replace(how, activation_checkpointing=not how.activation_checkpointing)),
        "suggested": one(better) if better else None,
    }  # fmt: skip
