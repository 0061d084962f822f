"""A small corpus with the manifests of every stage that would have made it, for what reads manifests and no text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from corpus.mine.counts import StepCounts
from corpus.output.records import CORPUS
from corpus.stages import PACKAGE
from pipeline.config import fingerprint
from pipeline.manifest import Manifest, record_files
from pipeline.stage import Stage
from pipeline.storage import write_json

TEXTS = {
    "bn": {"head": ["কখগ ঘঙ", "চছজ"], "tail": ["ঝঞট"]},
    "bn_rom": {"all": ["ami tomake", "bhalo"]},
    "en": {"head": ["one\ntwo"], "middle": ["three | four"], "tail": ["five"]},
    "my_zaw": {"all": ["ျမန္မာ"]},
    "no": {"head": ["ja eller nei"]},
}
REASON = "gopher_quality: too few words"
COUNTS: dict[str, Any] = {
    "corpus.fetch": {"files": 1, "shards": 1},
    "corpus.hash": {"records": 25, "documents": 20, "lines": 62, "characters": 900, "too_short": 4, "bad_records": 1},
    "corpus.duplicates": {"distinct_in_shards": 50},
}


def mined_counts() -> dict[str, Any]:
    """As mining counts: 20 documents read, 8 duplicate lines, 6 unsure documents, 4 that a filter drops, 10 kept."""
    tally = StepCounts()
    tally.read(20, 62, 900)
    tally.drop("duplicate lines", lines=8, characters=100)
    tally.drop("language unsure", documents=6, lines=30, characters=600)
    tally.drop(REASON, documents=4, lines=4, characters=30)
    for language, buckets in TEXTS.items():
        for _ in [text for texts in buckets.values() for text in texts]:
            tally.keep(language, 2, 17)
    return tally.plain()


def write_corpus(folder: Path, texts: dict[str, dict[str, list[str]]]) -> dict[str, Any]:
    """Files as corpus.regroup writes them, and its counts.json; give what it counts in all."""
    table: dict[str, Any] = {unit: {} for unit in ("documents", "lines", "characters", "bytes")}
    for language, buckets in texts.items():
        (folder / language).mkdir(parents=True)
        for bucket, of_bucket in buckets.items():
            rows = [_row(language, bucket, text, number) for number, text in enumerate(of_bucket)]
            with pa.ipc.new_file(str(folder / language / f"{bucket}-00000.arrow"), CORPUS) as writer:
                writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=CORPUS))
            sums = (len(rows), sum(r["nlines"] for r in rows), sum(map(len, of_bucket)))
            for unit, count in zip(table, (*sums, sum(len(text.encode()) for text in of_bucket)), strict=True):
                table[unit].setdefault(language, {})[bucket] = count
    write_json(folder / "counts.json", table)
    return {unit: sum(sum(row.values()) for row in rows.values()) for unit, rows in table.items()}


def _row(language: str, bucket: str, text: str, number: int) -> dict[str, Any]:
    return {
        "url": f"https://example.org/{language}/{number}",
        "raw_content": text,
        "length": len(text),
        "nlines": text.count("\n") + 1,
        "language": language,
        "language_score": 0.9,
        "perplexity": None if bucket == "all" else 100.0,
        "bucket": bucket,
    }


def make_run(project: Path, *, build: str = "a", config: dict[str, Any] | None = None) -> dict[str, Path]:
    """Every stage's output with its manifest, in the layout of a run: ``<stage>/<key8>``; the folders by stage.

    ``build`` goes into builds and times; ``config`` are sections of settings in place of the defaults.
    """
    sections = {**dict(PACKAGE.config()), **(config or {})}
    outputs = {}
    for number, stage in enumerate(PACKAGE.stages):
        output = project / stage.name / f"{number:064x}"[-8:].ljust(8, "0")
        output.mkdir(parents=True)
        outputs[stage.name] = output
        counts = COUNTS.get(stage.name, {"languages": 3})
        if stage.name == "corpus.mine":
            counts = mined_counts()
        if stage.name == "corpus.cutoffs":
            write_json(output / "cutoffs.json", {"en": [90.0, 110.0]})
            write_json(output / "histograms.json", {"en": {"counts": [1, 2], "log10_edges": [1.9, 2.0, 2.1]}})
        if stage.name == "corpus.regroup":
            counts = write_corpus(output, TEXTS)
        _manifest(stage, sections, outputs, counts, build).write(output)
    return outputs


def key_of(output: Path) -> str:
    """A key that the folder is named after."""
    return output.name.ljust(64, "0")


def _manifest(
    stage: Stage, sections: dict[str, Any], outputs: dict[str, Path], counts: dict[str, Any], build: str
) -> Manifest:
    settings = stage.config.model_construct(**{name: sections[name] for name in stage.config.model_fields})
    return Manifest(
        stage=stage.name,
        version=stage.version,
        key=key_of(outputs[stage.name]),
        build=build * 32,
        config=fingerprint(settings),
        inputs={name: {"key": key_of(outputs[name]), "build": build * 32} for name in stage.inputs if name in outputs},
        outside={"/home/somebody/crawl/shard-00000.warc.wet.gz": "0" * 64} if stage.name == "corpus.fetch" else {},
        counts=counts,
        files=record_files(outputs[stage.name]),
        started=f"2026-11-0{len(build)}T00:00:00+00:00",
        seconds=float(ord(build[0])),
        peak_memory_bytes=ord(build[0]),
        git_commit="0123abc",
        packages={"pyarrow": "25.0.1", "torch": "2.13.0"},
    )
