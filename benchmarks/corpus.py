"""How fast a crawl is mined, stage by stage, beside the time that the native libraries alone need for the same work.

    python -m benchmarks.corpus 'crawl/*.warc.wet.gz' --text 'clean/*.txt.xz' --workers 2 --repeat 3
    python -m benchmarks.corpus … --settings cc100.yaml --against cc100-without.yaml

With --against, what two files of settings cost is compared: rounds alternate, and the ratio of each pair is printed.

The stages corpus.hash, corpus.duplicates and corpus.mine run as they do in a run, in processes, on a folder that is
thrown away. Cold: the models are first put out of the page cache.

The native floor is work that cannot be left out, whatever the pipeline around it, done by native code on whole batches
in this process, in the same run. Libraries: inflating and cutting records (twice, to hash and to mine), SHA-1 of the
distinct lines, fastText on what deduplication leaves, SentencePiece and KenLM on what has a model. Text: decoding,
cutting and stripping lines, lower case and the two substitutions of cc_net, joining, writing Arrow.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from benchmarks.native_floor import LIBRARIES, Floor, native_floor
from corpus.crawl.fetch import read_shards
from corpus.stages import PACKAGE
from pipeline.dag import Dag
from pipeline.manifest import read_manifest
from pipeline.plan import make_plan
from pipeline.runner import Selection, run

STAGES = ("corpus.hash", "corpus.duplicates", "corpus.mine")
PROCESSOR = "processor"


def main() -> None:
    """Measure and print."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("crawl")
    words.add_argument("--text", required=True, help="clean text <language>.txt.xz that the language models learn from")
    words.add_argument("--workers", type=int, default=2)
    words.add_argument("--repeat", type=int, default=3)
    words.add_argument("--settings", type=Path, help="YAML with more settings of corpus, as configs/corpus-cc100.yaml")
    words.add_argument("--against", type=Path, help="YAML with other settings, to compare with")
    given = words.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        bench = Bench(Path(folder), given.crawl, given.text, given.workers, given.settings)
        bench.prepare()
        if given.against:
            other = Bench(Path(folder), given.crawl, given.text, given.workers, given.against)
            report_ratios([(bench.measure(cold=False), other.measure(cold=False)) for _ in range(given.repeat)])
            return
        warm = [bench.measure(cold=False) for _ in range(given.repeat)]
        cold = [bench.measure(cold=True) for _ in range(given.repeat)]
        files = [file for shard in read_shards(bench.output("corpus.fetch")).values() for file in shard]
        mined = sorted(bench.output("corpus.mine").glob("*.arrow"))
        floor = native_floor(files, mined, bench.output("corpus.language_models"))
        report_stages(bench, warm, cold)
        report_floor(floor, median(run[PROCESSOR] for run in warm), bench.starting())


class Bench:
    """A run of the corpus stages in a folder of its own."""

    def __init__(self, folder: Path, crawl: str, text: str, workers: int, more: Path | None = None) -> None:
        self.dag = Dag([PACKAGE])
        self.workers = workers
        self.folder = folder
        path = folder / "run.yaml"
        path.write_text("run: {}\n" if more is None else more.read_text(encoding="utf-8"), encoding="utf-8")
        words = {
            "run.directory": folder, "run.project": "bench", "run.workers": workers, "corpus.fetch.crawl": crawl,
            "corpus.language_models.text": text,
        }  # fmt: skip
        self.config = self.dag.load_config(path, [f"--{name}={value}" for name, value in words.items()])

    def output(self, stage: str) -> Path:
        """The folder of a stage."""
        return make_plan(self.dag, self.config)[stage].output

    def prepare(self) -> None:
        """What is made once: the list of shards, the language models."""
        for stage in ("corpus.fetch", "corpus.language_models"):
            run(self.dag, self.config, Selection(only=stage))

    def measure(self, *, cold: bool) -> dict[str, float]:
        """Wall seconds of each stage, done from nothing; and the processor seconds of all, as ``PROCESSOR``."""
        if cold:
            for path in self.output("corpus.language_models").iterdir():
                _forget(path)
        before = _processor_seconds()
        run(self.dag, self.config, Selection(start=STAGES[0], until=STAGES[-1], force=STAGES))
        spent = _processor_seconds() - before
        found = {stage: read_manifest(self.output(stage)) for stage in STAGES}
        return {stage: manifest.seconds for stage, manifest in found.items() if manifest} | {PROCESSOR: spent}

    def starting(self) -> float:
        """Processor seconds of starting the workers of two stages and importing what they need, with nothing to do."""
        words = [sys.executable, "-c", "import corpus.duplicates.hash, corpus.mine.stage, kenlm, sentencepiece"]
        before = _processor_seconds()
        for _ in range(2 * self.workers):
            subprocess.run(words, check=True)
        return _processor_seconds() - before


def _processor_seconds() -> float:
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)


def _forget(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def report_stages(bench: Bench, warm: Sequence[Mapping[str, float]], cold: Sequence[Mapping[str, float]]) -> None:
    """Print what each stage took."""
    counts = {stage: manifest.counts for stage in STAGES if (manifest := read_manifest(bench.output(stage)))}
    records = counts["corpus.hash"]["records"]
    megabytes = counts["corpus.mine"]["read"]["characters"] / 1e6
    print(f"\n{records:,} records, {megabytes:,.0f} M characters, {bench.workers} workers; medians of {len(warm)} runs")
    print("\n| stage | seconds | records/s | M characters/s | seconds, models cold |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, stages in [*((stage, (stage,)) for stage in STAGES), ("all three", STAGES)]:
        seconds, seconds_cold = (median(sum(run[stage] for stage in stages) for run in runs) for runs in (warm, cold))
        rates = f"{records / seconds:,.0f} | {megabytes / seconds:,.1f}"
        print(f"| {name} | {seconds:.2f} | {rates} | {seconds_cold:.2f} |")


def report_ratios(rounds: Sequence[tuple[Mapping[str, float], Mapping[str, float]]]) -> None:
    """Print what each stage takes with --settings, over what it takes with --against."""
    print("\n| stage | --settings | --against | ratio of rounds, median | least | greatest |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for stage in (*STAGES, PROCESSOR):
        pairs = [(one[stage], other[stage]) for one, other in rounds]
        ratios = sorted(one / other for one, other in pairs)
        medians = " | ".join(f"{median(side):.2f}" for side in zip(*pairs, strict=True))
        print(f"| {stage} | {medians} | {median(ratios):.3f} | {ratios[0]:.3f} | {ratios[-1]:.3f} |")


def report_floor(floor: Floor, spent: float, starting: float) -> None:
    """Print the floor, and what was spent beside it."""
    print("\n| native floor | core-seconds | MB/s |\n| --- | ---: | ---: |")
    for what, seconds in floor.seconds.items():
        print(f"| {what} | {seconds:.2f} | {floor.megabytes[what] / seconds:,.1f} |")
    work = spent - starting
    print(f"\n{spent:.2f} core-seconds spent; {starting:.2f} of them are what starting the workers costs, once a run.")
    print(f"The rest, {work:.2f}, is {work / floor.sum():.2f} × the native floor of {floor.sum():.2f},")
    print(f"and {work / floor.sum(*LIBRARIES):.2f} × its libraries alone ({floor.sum(*LIBRARIES):.2f}).")


if __name__ == "__main__":
    main()
