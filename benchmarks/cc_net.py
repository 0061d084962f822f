"""The same crawl through cc_net's own code and through ours: time of each in turn, and whether the records are equal.

    python -m benchmarks.cc_net CC_NET 'crawl/*.warc.wet.gz' --models FOLDER --processes 2 --rounds 3

``CC_NET``  a checkout of facebookresearch/cc_net (bda555b is what was measured). It needs beautifulsoup4 and
            func-argparse beside what is installed here; ``--site`` names a folder that holds them, as
            ``pip install --no-deps --target FOLDER …`` makes.
``FOLDER``  <language>.sp.model and <language>.arpa.bin: an output of corpus.language_models, say.

Each side hashes and mines every shard (a file is a shard) with as many processes, the same lid.176 model and the same
language models; duplicates are sought over all shards. Sides run one after the other in each round. Wall seconds and
processor seconds are those of the whole command, start included. ``--datatrove FOLDER`` adds datatrove, which reads,
identifies and writes only. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow as pa

from corpus.language.model_file import BUILT_IN_IDENTIFIER, model_path

DUMP = "2019-09"
SIDES = ("cc_net", "ours", "datatrove")
SHOWN = 5

FIELDS = (
    "url", "language", "language_score", "perplexity", "raw_content", "title", "date_download", "digest",
    "source_domain", "length", "nlines", "original_length", "original_nlines", "line_ids",
)  # fmt: skip
"""What is compared: all fields but ``bucket`` (cut-offs differ) and ``cc_segment`` (the files have other folders)."""

DIGITS = {"language_score": 2, "perplexity": 1}
"""cc_net rounds to so many digits; ours are float32."""

Record = tuple[Any, ...]
"""The values of FIELDS."""


@dataclass(frozen=True)
class Spent:
    """What one run of a side took."""

    wall: float
    processor: float


def main() -> None:
    """Measure in turn, then compare the records of the last round."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("cc_net", type=Path)
    words.add_argument("crawl", help="pattern of WET files")
    words.add_argument("--models", type=Path, required=True)
    words.add_argument("--identifier", default=BUILT_IN_IDENTIFIER, help="fastText model of lid.176")
    words.add_argument("--processes", type=int, default=2)
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--site", type=Path, help="folder with what cc_net imports and is not installed here")
    words.add_argument("--datatrove", type=Path, help="folder that datatrove is installed in")
    given = words.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        race = Race(given, Path(folder))
        sides = [side for side in SIDES if side != "datatrove" or given.datatrove]
        spent: dict[str, list[Spent]] = {side: [] for side in sides}
        for number in range(given.rounds):
            for side in sides:
                spent[side].append(race.run(side))
                last = spent[side][-1]
                print(f"round {number + 1}: {side} {last.wall:.1f} s, processor {last.processor:.1f} s", flush=True)
        report(spent, given.processes)
        compare(Counter(race.their_records()), Counter(race.our_records()))


class Race:
    """The sides, each of which can be run again and again on the same files."""

    def __init__(self, given: argparse.Namespace, folder: Path) -> None:
        self.given = given
        self.folder = folder
        pattern = Path(given.crawl).resolve()
        self.files = sorted(pattern.parent.glob(pattern.name))
        if not self.files:
            raise SystemExit(f"{given.crawl}: no such files")
        self.models = given.models.resolve()
        self._prepare_cc_net()

    def run(self, side: str) -> Spent:
        """One whole run from nothing."""
        prepare: dict[str, Callable[[], tuple[list[str], dict[str, str]]]] = {
            "cc_net": self._cc_net, "ours": self._ours, "datatrove": self._datatrove,
        }  # fmt: skip
        shutil.rmtree(self.folder / side, ignore_errors=True)
        (self.folder / side).mkdir()
        command, environment = prepare[side]()
        log = self.folder / f"{side}.log"
        before, start = _children(), time.perf_counter()
        with log.open("wb") as file:
            code = subprocess.run(
                command, cwd=self.folder, env=environment, stdout=file, stderr=file, check=False
            ).returncode
        wall = time.perf_counter() - start
        if code:
            raise SystemExit(f"{side} ended with {code}:\n{log.read_text(errors='replace')[-3000:]}")
        return Spent(wall, _children() - before)

    def _prepare_cc_net(self) -> None:
        """Its cache of a dump, filled with links to the files, and lid.bin where it looks for it."""
        cache = self.folder / "cache" / DUMP
        cache.mkdir(parents=True)
        with gzip.open(cache / f"wet_{DUMP}.paths.gz", "wt", encoding="utf-8") as paths:
            for file in self.files:
                (cache / file.name).symlink_to(file)
                paths.write(f"crawl-data/CC-MAIN-{DUMP}/segments/0/wet/{file.name}\n")
        (self.folder / "bin").mkdir()
        (self.folder / "bin" / "lid.bin").symlink_to(Path(model_path(self.given.identifier)).resolve())

    def _cc_net(self) -> tuple[list[str], dict[str, str]]:
        settings = {
            "folder": str(self.folder / "cc_net"),
            "shards": len(self.files),
            "dump": DUMP,
            "models": str(self.models),
            "cache": str(self.folder / "cache"),
            "processes": self.given.processes,
        }
        path = self.folder / "cc_net.json"
        path.write_text(json.dumps(settings), encoding="utf-8")
        return [sys.executable, "-m", "benchmarks.cc_net_side", str(path)], _environment(
            self.given.cc_net, self.given.site
        )

    def _ours(self) -> tuple[list[str], dict[str, str]]:
        settings = {
            "run": {"directory": str(self.folder / "ours"), "project": "ours", "workers": self.given.processes},
            "corpus": {
                "fetch": {"crawl": str(Path(self.given.crawl).resolve())},
                "language_id": {"model": self.given.identifier},
                "language_models": {"folder": str(self.models)},
            },
        }
        path = self.folder / "ours.yaml"
        path.write_text(json.dumps(settings), encoding="utf-8")  # JSON is YAML
        return [sys.executable, "-m", "pipeline", "run", str(path), "--until", "corpus.mine"], _environment()

    def _datatrove(self) -> tuple[list[str], dict[str, str]]:
        words = [str(self.files[0].parent), str(self.folder / "datatrove"), str(self.given.processes)]
        return [sys.executable, "-m", "benchmarks.datatrove_side", *words], _environment(self.given.datatrove)

    def their_records(self) -> Iterator[Record]:
        """What cc_net kept."""
        for path in sorted((self.folder / "cc_net" / "mined").glob("*/*.json.gz")):
            with gzip.open(path, "rt", encoding="utf-8") as lines:
                yield from map(_as_record, map(json.loads, lines))

    def our_records(self) -> Iterator[Record]:
        """What we kept."""
        for path in sorted((self.folder / "ours").glob("ours/corpus.mine/*/*.arrow")):
            with pa.ipc.open_file(pa.memory_map(str(path))) as file:
                for number in range(file.num_record_batches):
                    yield from map(_as_record, file.get_batch(number).to_pylist())


def report(spent: dict[str, list[Spent]], processes: int) -> None:
    """Print medians, and the ratios round by round to ours."""
    print(f"\n{processes} processes each\n\n| side | wall s | processor s | wall / ours | processor / ours |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for side, rounds in spent.items():
        pairs = list(zip(rounds, spent["ours"], strict=True))
        wall = sorted(theirs.wall / ours.wall for theirs, ours in pairs)
        processor = sorted(theirs.processor / ours.processor for theirs, ours in pairs)
        times = f"{median(one.wall for one in rounds):.1f} | {median(one.processor for one in rounds):.1f}"
        print(f"| {side} | {times} | {_spread(wall)} | {_spread(processor)} |")


def compare(theirs: Counter[Record], ours: Counter[Record]) -> None:
    """Print how many records are the same in all fields, and the first of those that are not."""
    print(f"\n{(theirs & ours).total():,} records are equal in {', '.join(FIELDS)}")
    for name, some in (("cc_net", theirs - ours), ("ours", ours - theirs)):
        print(f"{some.total():,} only with {name}")
        for record in list(some)[:SHOWN]:
            print(f"  {', '.join(str(value)[:60] for value in record)}")


def _as_record(values: dict[str, Any]) -> Record:
    return tuple(_comparable(name, values.get(name)) for name in FIELDS)


def _comparable(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in DIGITS:
        return round(value, DIGITS[name])
    return tuple(value) if name == "line_ids" else value


def _environment(*paths: Path | None) -> dict[str, str]:
    """One thread a process, and the folders before all others that Python looks in."""
    here = Path(__file__).resolve().parents[1]
    found = os.pathsep.join(str(Path(path).resolve()) for path in (*paths, here) if path)
    return {**os.environ, "PYTHONPATH": found, "OMP_NUM_THREADS": "1"}


def _spread(ratios: list[float]) -> str:
    return f"{median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
