"""Writes docs/scale.md: what corpora and trainings of real size take. ``python -m scripts.scale > docs/scale.md``.

Every number is computed from scripts/scale_inputs.yaml, the run files of configs/, and the cost model of
``xlmr pretrain plan``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from corpus.duplicates.windows import bits_for
from pipeline.dag import Dag
from pipeline.formatting import duration, size
from pretrain.cost.communication import Network
from pretrain.cost.flops import training_flops
from pretrain.cost.memory import Cluster, memory_of
from pretrain.cost.plan import MFU, PEAK, USABLE, precision_of, speed_of, spread, suggest
from pretrain.cost.workload import Workload, of_settings

ROOT = Path(__file__).resolve().parents[1]
INPUTS = ROOT / "scripts" / "scale_inputs.yaml"
SIZES = {"base": "Base", "large": "Large", "xl": "XL", "xxl": "XXL"}
GPUS = (8, 64, 512)
DAY = 86_400
DATA_SHEET = 989e12
"""FLOP/s of an H100 or H200 in bf16 (NVIDIA's data sheet), of which ``PEAK`` was measured."""


class Inputs:
    """The values of the file by ``section.name``, with their units and sources."""

    def __init__(self, content: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
        self.entries = {f"{section}.{name}": one for section, group in content.items() for name, one in group.items()}

    def __getitem__(self, name: str) -> float:
        return float(self.entries[name]["value"])

    def sources(self) -> Iterator[tuple[str, str, str]]:
        """(value, unit, source) of each."""
        before = ""
        for one in self.entries.values():
            source = before if one["source"] == "the same" else str(one["source"])
            before = source
            yield number(float(one["value"])), str(one["unit"]), source


@dataclass(frozen=True)
class Corpus:
    """What a corpus of so many dumps takes."""

    name: str
    core_hours: float
    hours: float
    text: float
    kept: float
    downloads: float
    hashes: float
    files_read: float
    requests_written: float
    requests_read: float
    put: float
    fetched: float
    money: Mapping[str, float]


def corpus_of(name: str, dumps: float, inputs: Inputs, settings: Any) -> Corpus:
    """The stages from reading to regrouping, at the measured rates."""
    pages = inputs["crawl.pages"] * dumps
    text, lines = pages * inputs["crawl.text_of_a_page"], pages * inputs["crawl.lines_of_a_page"]
    kept = text * inputs["crawl.kept"]
    seconds = text / inputs["rates.hash_and_mine"] + kept / inputs["rates.regroup"]
    seconds += kept * (1 - inputs["rates.scored"]) / inputs["rates.language_models"]
    dropped = lines * inputs["crawl.dropped_lines"] * 8
    written, windows_parts = requests_of(dumps, lines, kept, settings)
    # Each machine fetches the lists of dropped hashes whole. duplicates and regroup read what hash and mine wrote.
    machines, hashes = inputs["machines.machines"], lines * inputs["rates.hash_bytes"]
    read = machines * windows_parts + 3 * settings.shards * dumps
    put = hashes + dropped + 2 * kept
    costs = {
        "cores": seconds / 3600 * inputs["prices.core_hour"],
        "storage": put / 1e9 * inputs["prices.gigabyte_month"],
        "requests": written * inputs["prices.put"] + read * inputs["prices.get"],
    }
    return Corpus(
        name,
        core_hours=seconds / 3600,
        hours=seconds / 3600 / inputs["machines.cores"],
        text=text,
        kept=kept,
        downloads=2 * inputs["crawl.wet_bytes"] * dumps,
        hashes=hashes,
        files_read=2 * inputs["crawl.wet_files"] * dumps,
        requests_written=written,
        requests_read=read,
        put=put,
        fetched=hashes + machines * dropped + kept,
        money=costs,
    )


@dataclass(frozen=True)
class CorpusSettings:
    """What counts of a run file's corpus."""

    shards: int
    window: int
    memory_bytes: int
    file_bytes: int


def requests_of(dumps: float, lines: float, kept: float, settings: CorpusSettings) -> tuple[float, float]:
    """(requests that write, files of dropped hashes): a request for each file of a shard, and one for its mark.

    hash and mine write two files for each shard, duplicates two for each partition of each window, regroup one for
    each ``file_bytes``.
    """
    shards = settings.shards * dumps
    windows = shards / settings.window
    partitions = 2 ** bits_for(int(lines / windows), settings.memory_bytes)
    files = windows * partitions
    return 3 * shards + 3 * shards + 3 * files + kept / settings.file_bytes, 2 * files


@dataclass(frozen=True)
class Training:
    """What a size takes on so many GPUs."""

    work: Workload
    gpus: int
    how: Cluster
    memory: float
    days: float
    slow_days: float
    """With one port of 400 Gb/s for each machine."""
    exposed: float
    sent: float
    money: float


def training_of(work: Workload, gpus: int, inputs: Inputs) -> Training | None:
    """The configured layout where it fits, else the one that the plan suggests; None where none does."""
    usable = inputs["machines.gpu_memory"] * USABLE
    how: Cluster | None = spread(work, gpus)
    if how is None or memory_of(work, how).total > usable:
        how = suggest(work, gpus, usable, precision_of(work))
    if how is None:
        return None
    slow = speed_of(None, None, None)
    speed = replace(slow, network=Network(between=inputs["machines.network"]))
    seconds, exchanged = speed.step_seconds(work, how), speed.communication(work, how)
    days, slow_days = (one.step_seconds(work, how) * work.train.steps / DAY for one in (speed, slow))
    sent = exchanged.gradients + exchanged.weights + exchanged.activations
    price = days * 24 * gpus * inputs["prices.gpu_hour"]
    return Training(
        work, gpus, how, memory_of(work, how).total, days, slow_days, exchanged.seconds / seconds, sent, price
    )


def number(value: float) -> str:
    """As a table has it: three digits, thousands apart."""
    if value and (abs(value) >= 1e6 or abs(value) < 1e-3):
        mantissa, _, exponent = f"{value:.4g}".partition("e")
        return f"{mantissa}e{int(exponent)}" if exponent else f"{value:,.0f}"
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def rounded(value: float) -> str:
    """Three digits, thousands apart."""
    if value < 100:
        return f"{value:.3g}"
    return f"{round(value, 3 - len(f'{value:.0f}')):,.0f}"


def dollars(value: float) -> str:
    """US$, three digits, or to the cent."""
    return f"${value:.2f}" if value < 10 else f"${rounded(value)}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """As Markdown; all columns but the first are numbers."""
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def corpora(inputs: Inputs, dag: Dag) -> list[Corpus]:
    """One dump, those of the papers, all."""
    config: Any = dag.load_config(ROOT / "configs" / "corpus-cc100.yaml")
    corpus = config.corpus
    settings = CorpusSettings(
        corpus.fetch.shards, int(corpus.duplicates.window), corpus.duplicates.memory_bytes, corpus.regroup.file_bytes
    )
    papers = len(corpus.fetch.dumps)
    return [
        corpus_of("one dump", 1, inputs, settings),
        corpus_of(f"CC100's {papers} dumps", papers, inputs, settings),
        corpus_of(f"all {inputs['crawl.all_dumps']:.0f} dumps", inputs["crawl.all_dumps"], inputs, settings),
    ]


def corpus_table(found: Sequence[Corpus], inputs: Inputs) -> str:
    """A column for each."""
    cores = inputs["machines.cores"]
    rows = {
        "core-hours": [rounded(one.core_hours) for one in found],
        f"hours on {cores:.0f} cores": [rounded(one.hours) for one in found],
        "text read": [size(one.text) for one in found],
        "text kept, before buckets are chosen": [size(one.kept) for one in found],
        "network: WET files, each twice": [f"{size(one.downloads)}, {rounded(one.files_read)} files" for one in found],
        "on average, at that speed": [f"{one.downloads * 8 / one.hours / 3600 / 1e9:.0f} Gb/s" for one in found],
        "network: from the machines to object storage": [size(one.put) for one in found],
        f"network: from there to {inputs['machines.machines']:.0f} machines": [size(one.fetched) for one in found],
        "storage: hashes": [size(one.hashes) for one in found],
        "storage in all": [size(one.put) for one in found],
        "requests that write": [rounded(one.requests_written) for one in found],
        "requests that read": [rounded(one.requests_read) for one in found],
        "money: cores": [dollars(one.money["cores"]) for one in found],
        "money: storage for a month": [dollars(one.money["storage"]) for one in found],
        "money: requests": [dollars(one.money["requests"]) for one in found],
        "money in all": [dollars(sum(one.money.values())) for one in found],
    }
    return table(["", *(one.name for one in found)], [[name, *cells] for name, cells in rows.items()])


def trainings(inputs: Inputs, dag: Dag) -> list[Training]:
    """Each size on each number of GPUs that it fits on."""
    configs = {shown: dag.load_config(ROOT / "configs" / f"xlmr-{name}.yaml") for name, shown in SIZES.items()}
    works = [replace(of_settings(config, shown), name=shown) for shown, config in configs.items()]
    found = (training_of(work, gpus, inputs) for work in works for gpus in GPUS)
    return [one for one in found if one is not None]


def training_table(found: Sequence[Training]) -> str:
    """A row for each."""
    rows = [
        [
            f"{one.work.name} on {one.gpus}",
            f"{one.how.tensor} × {one.how.data}, {one.how.stage}, {one.how.micro_batch}",
            f"{one.memory / 1e9:.0f} GB",
            f"{rounded(one.days)} d",
            f"{rounded(one.slow_days)} d",
            rounded(one.days * 24 * one.gpus),
            dollars(one.money),
            size(one.sent),
            f"{one.exposed:.0%}",
        ]
        for one in found
    ]
    head = [
        "",
        "tensor × data parallel, ZeRO, micro-batch",
        "memory of a GPU",
        "time",
        "on a slow network",
        "GPU-hours",
    ]
    return table([*head, "money", "sent by a GPU in a step", "waiting"], rows)


def checkpoint_table(found: Sequence[Training], inputs: Inputs) -> str:
    """What a training writes, whatever it runs on."""
    rows = []
    for one in {each.work.name: each for each in found}.values():
        checkpoint = one.work.parameters * inputs["rates.checkpoint_bytes"]
        count = one.work.train.steps / one.work.train.checkpoint_every
        tokens = one.work.train.global_batch * one.work.length * one.work.train.steps
        rows.append(
            [one.work.name, f"{one.work.parameters:,}", f"{tokens / 1e12:.2f} T",
             size(checkpoint), size(checkpoint * one.work.train.keep_last), size(checkpoint * count)]
        )  # fmt: skip
    return table(["", "parameters", "tokens", "a checkpoint", "kept at once", "written in all"], rows)


def published_table(one: Corpus, every: Corpus, large: Workload, inputs: Inputs) -> str:
    """Beside what others have published."""
    tokens = large.train.global_batch * large.length * large.train.steps
    flops = tokens * training_flops(large.shape, large.length, large.mask_rate)
    share = MFU * PEAK / DATA_SHEET
    seconds = flops / (inputs["published.xlmr_gpus"] * inputs["published.v100_peak"] * share)
    ccnet = inputs["published.ccnet_core_hours"]
    here = one.core_hours * inputs["published.cc_net_ratio"]
    rows = [
        [
            "CCNet, one dump",
            f"{ccnet:,.0f} core-hours",
            f"{rounded(one.core_hours)} core-hours",
            f"cc_net's code takes {inputs['published.cc_net_ratio']:g} × our CPU time on one machine and the same "
            "records ([comparison](comparison.md#comparison-with-other-software)), which would be "
            f"{rounded(here)}. The rest of the difference is not explained: other processors, "
            "waiting for downloads and disks, real pages instead of made ones. Keep a "
            "reserve until a shard of a real dump has been timed",
        ],
        [
            f"FineWeb2, {inputs['crawl.all_dumps']:.0f} dumps",
            f"{size(inputs['published.fineweb2_bytes'])} compressed; time not published",
            f"{size(every.kept)} of text kept, {rounded(every.core_hours)} core-hours",
            "FineWeb2 has no English, reads HTML by trafilatura, removes near-duplicates in each language over all "
            "dumps, and filters by rules for each language. Here lines are compared within windows of 50 shards, and "
            "English and all buckets are counted",
        ],
        [
            "the papers' corpus, 12 dumps and one for English",
            size(inputs["published.cc100_bytes"]),
            f"{size(12 * one.kept)} of text kept",
            "the papers keep what their language models find good, and English of one dump; ours is before that",
        ],
        [
            "XLM-R Large",
            f"{inputs['published.xlmr_gpus']:.0f} V100; time not published",
            f"{duration(seconds)} on these by our formula",
            f"{flops:.2g} FLOP at {share:.0%} of the data sheet's peak, the share that the plan assumes of an H100, "
            "without communication. The papers' code and its share of the peak are not known",
        ],
    ]
    lines = ["| | published | computed here | what differs |", "| --- | --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def page(inputs: Inputs) -> str:
    """The whole page."""
    dag = Dag.default()
    corpus, training = corpora(inputs, dag), trainings(inputs, dag)
    there = {(one.work.name, one.gpus) for one in training}
    missing = [f"{name} on {gpus}" for name in SIZES.values() for gpus in GPUS if (name, gpus) not in there]
    large = next(one.work for one in training if one.work.name == SIZES["large"])
    sources = table(["value", "what", "source"], list(inputs.sources())).replace(" ---: | ---: |", " --- | --- |", 1)
    parts = {
        "CORPUS": corpus_table(corpus, inputs),
        "TRAINING": training_table(training),
        "MISSING": f"No layout fits: {', '.join(missing)}. " if missing else "",
        "CHECKPOINTS": checkpoint_table(training, inputs),
        "PUBLISHED": published_table(corpus[0], corpus[-1], large, inputs),
        "SOURCES": sources,
        "CORES": f"{inputs['machines.cores']:.0f}",
        "SHARE": f"{MFU:.0%} of {PEAK / 1e12:.0f} TFLOP/s",
    }
    text = (ROOT / "scripts" / "scale_page.md").read_text(encoding="utf-8")
    for name, part in parts.items():
        text = text.replace(f"{{{{{name}}}}}", part)
    return text


def main(words: Sequence[str] | None = None) -> int:
    """Print the page."""
    parser = argparse.ArgumentParser(prog="python -m scripts.scale", description=__doc__)
    parser.add_argument("--inputs", type=Path, default=INPUTS, help="values, as scripts/scale_inputs.yaml has them")
    options = parser.parse_args(words)
    print(page(Inputs(yaml.safe_load(options.inputs.read_text(encoding="utf-8")))), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
