"""Damaged inputs, by number or for some seconds: each must be read, or refused in one line. Tracebacks are counted.

    python -m benchmarks.fuzz_inputs --inputs 2000
    python -m benchmarks.fuzz_inputs --seconds 600 --kinds fasttext,manifest --seed 7

A kind says how a good input is made and how it is read; see ``KINDS``. What native code reads goes through a child
process of the product itself, so that a crash is seen as a line or not at all. Whatever fails is printed with its seed
and kept under --keep. Exit code 1 where there was a traceback, a message of several lines, or a warning of NumPy.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.damage import damage_bytes, damage_json
from benchmarks.fuzz_finetune import (
    each,
    make_asked,
    make_labelled,
    make_models,
    make_results,
    read_asked,
    read_labelled,
    read_models,
    read_task_results,
)
from pipeline.child import ZEROED, run_script
from pipeline.errors import XlmrError

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    ``make(folder)``  writes a good one into an empty folder, and gives the files that are damaged by turns.
    ``read(folder)``  reads it as the product does. XlmrError and OSError are refusals, anything else is a fault.
    ``share``         how often it is taken; less for what is slow.
    """

    make: Callable[[Path], list[Path]]
    read: Callable[[Path], object]
    share: int = 10


def _manifest(folder: Path) -> list[Path]:
    record = {"size": 1, "sha256": "5" * 64, "mtime_ns": 6}
    value = {
        "stage": "corpus.hash", "version": 1, "key": "0" * 64, "build": "1" * 32, "config": {"a": {"b": "c"}},
        "inputs": {"corpus.fetch": {"key": "2" * 64, "build": "3" * 32}}, "outside": {"crawl.gz": "4" * 64},
        "counts": {"lines": 4, "left_out": {}}, "files": {"lines/a.npy": record}, "started": "2026-01-01T00:00:00",
        "seconds": 1.5, "peak_memory_bytes": 7, "git_commit": "", "packages": {"numpy": "2"}, "warnings": [],
    }  # fmt: skip
    path = folder / "project/corpus.hash/00000000/manifest.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return [path]


def _read_manifest(folder: Path) -> None:
    from pipeline.inspect import describe
    from pipeline.status import describe_runs

    list(describe_runs(folder))
    list(describe(folder / "project/corpus.hash/00000000"))


def _cutoffs(folder: Path) -> list[Path]:
    rows = {"de": {"head": 29.8, "middle": 34.5, "sample": 9}, "en": {"head": 3, "middle": 50, "sample": None}}
    texts = {
        "plain.json": json.dumps({"de": [29.8, 34.54], "en": [35.75, 50]}),
        "table.json": json.dumps({"percentiles": {"head": 30.0}, "languages": rows}),
        "cutoff.csv": ",de,en,xx\n30,310.5,402.25,\n60,620.1,800,\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def _read_cutoffs(folder: Path) -> None:
    from corpus.perplexity.cutoff_table import read_cutoffs

    each(sorted(folder.iterdir()), read_cutoffs)


def _fast_text(folder: Path) -> list[Path]:
    from corpus.language.training.train import TRAINER

    text = folder / "text.txt"
    lines = (f"__label__de das ist Haus {n * n}\n__label__en this is house {n * n}\n" for n in range(300))
    text.write_text("".join(lines), encoding="utf-8")
    options = {"dim": 4, "bucket": 400, "minn": 2, "maxn": 3, "epoch": 1}
    for name, loss in (("hs", "hs"), ("softmax", "softmax"), ("quantised", "hs")):
        small = {"cutoff": 300} if name == "quantised" else None
        order = {"text": str(text), "options": {**options, "loss": loss}, "quantise": small}
        run_script(TRAINER, {**order, "model": str(folder / f"{name}.bin")}, ZEROED, "look at the trainer")
    text.unlink()
    return sorted(folder.glob("*.bin"))


def _read_fast_text(folder: Path) -> None:
    from corpus.language.models.fast_text import FastText

    each(sorted(folder.iterdir()), lambda path: FastText(path).probabilities(["das Haus", "", "日本 x"]))


def _language_model(folder: Path) -> list[Path]:
    from corpus.perplexity.settings import LanguageModels
    from corpus.perplexity.train import publish_models

    text = folder / "de.txt"
    text.write_text("".join(f"Satz {n} vom Haus {n % 7} und {n % 11} Katzen\n" for n in range(500)), encoding="utf-8")
    settings = LanguageModels(text=str(text), vocab_size=100, order=3, sort_memory="50M")
    publish_models(settings, "de", [str(text)], folder)
    text.unlink()
    return [folder / "de.sp.model", folder / "de.arpa.bin"]


def _read_language_model(folder: Path) -> None:
    from corpus.perplexity.score import try_language

    try_language(folder, "de")


def _configuration(folder: Path) -> list[Path]:
    text = (ROOT / "configs/demo.yaml").read_bytes()
    (folder / "run.yaml").write_bytes(text)
    return [folder / "run.yaml"]


def _read_configuration(folder: Path) -> None:
    from pipeline.dag import Dag

    Dag.default().load_config(folder / "run.yaml")


KINDS: dict[str, Kind] = {
    "manifest": Kind(_manifest, _read_manifest, 20),
    "cutoffs": Kind(_cutoffs, _read_cutoffs, 20),
    "fasttext": Kind(_fast_text, _read_fast_text, 20),
    "configuration": Kind(_configuration, _read_configuration, 20),
    "language_model": Kind(_language_model, _read_language_model, 4),
    "labelled": Kind(make_labelled, read_labelled, 20),
    "asked": Kind(make_asked, read_asked, 10),
    "models": Kind(make_models, read_models, 20),
    "results": Kind(make_results, read_task_results, 10),
}
"""A new kind is a line here."""


@dataclass
class Bench:
    """One kind with its good input, which is put back before every trial."""

    kind: Kind
    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.files = self.kind.make(self.folder)
        self.good = {path: path.read_bytes() for path in self.files}
        self.kind.read(self.folder)  # or every refusal would prove nothing

    @contextmanager
    def damaged(self, seed: int) -> Iterator[Path]:
        """The file that is damaged by ``seed``, while the block lasts."""
        path = random.Random(f"file {seed}").choice(self.files)  # by draws of its own, or one file is all that is hit
        damage = damage_json if path.suffix == ".json" else damage_bytes
        path.write_bytes(damage(self.good[path], seed))
        try:
            yield path
        finally:
            path.write_bytes(self.good[path])

    def trial(self, seed: int, keep: Path) -> str:
        """``read``, ``refused``, or ``fault``, which is printed and kept."""
        with self.damaged(seed) as path:
            try:
                self.kind.read(self.folder)
            except (XlmrError, OSError) as error:
                if "\n" not in str(error):
                    return "refused"
                trace = f"several lines: {error}"
            except Exception:  # what is looked for
                trace = traceback.format_exc()
            else:
                return "read"
            keep.mkdir(parents=True, exist_ok=True)
            kept = keep / f"{self.folder.name}-{seed}-{path.name}"
            kept.write_bytes(path.read_bytes())
            print(f"{self.folder.name}, seed {seed}, {kept}:\n{trace}", flush=True)
            return "fault"


def fuzz(kinds: Mapping[str, Kind], seed: int, inputs: int | None, seconds: float | None, keep: Path) -> Counter[str]:
    """Trials until either bound; counts by ``kind outcome``. The same seed gives the same trials."""
    warnings.simplefilter("error", RuntimeWarning)  # NumPy says by a warning that it reckons with what is no number
    found: Counter[str] = Counter()
    end = time.monotonic() + seconds if seconds is not None else None
    with tempfile.TemporaryDirectory() as scratch:
        benches = {name: Bench(kind, Path(scratch, name)) for name, kind in kinds.items()}
        shares = [kind.share for kind in kinds.values()]
        number = 0
        while (inputs is None or number < inputs) and (end is None or time.monotonic() < end):
            own = seed * 10**9 + number
            (name,) = random.Random(f"kind {own}").choices(list(benches), shares)
            found[f"{name} {benches[name].trial(own, keep)}"] += 1
            number += 1
    return found


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, help="damaged inputs; 2,000 where no bound is given")
    parser.add_argument("--seconds", type=float, help="or so long")
    parser.add_argument("--kinds", default=",".join(KINDS), help=f"of {', '.join(KINDS)}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-faults"), help="folder for inputs that were faults")
    asked = parser.parse_args()
    inputs = 2000 if asked.inputs is None and asked.seconds is None else asked.inputs
    unknown = [name for name in asked.kinds.split(",") if name not in KINDS]
    if unknown:
        parser.error(f"no such kind: {', '.join(unknown)}")
    found = fuzz({name: KINDS[name] for name in asked.kinds.split(",")}, asked.seed, inputs, asked.seconds, asked.keep)
    for name, count in sorted(found.items()):
        print(f"{count:7,}  {name}")
    faults = sum(count for name, count in found.items() if name.endswith(" fault"))
    print(f"{sum(found.values()):,} damaged inputs, {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
