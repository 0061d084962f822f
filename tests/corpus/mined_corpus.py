"""Mined files made by hand, and regrouping run on them alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from corpus.output import regroup
from corpus.output.arrow_files import read_batches
from corpus.output.records import MINED
from corpus.output.settings import Regroup
from corpus.settings import RegroupStage
from pipeline.context import Context
from pipeline.log import EventLog
from pipeline.storage import write_json

CUTOFFS = {"en": (200.0, 400.0), "de": (100.0, 300.0)}


def mined_row(language: str, text: str, perplexity: float | None, number: int = 0) -> dict:
    """A record as corpus.mine writes it."""
    return {
        "url": f"https://example.org/{language}/{number}",
        "date_download": "2019-01-15T23:59:59Z",
        "digest": f"sha1:{number:032d}",
        "length": len(text),
        "nlines": text.count("\n") + 1,
        "source_domain": "example.org",
        "title": f"title {number}",
        "raw_content": text,
        "cc_segment": "a.warc.wet.gz",
        "original_nlines": 9,
        "original_length": 999,
        "line_ids": list(range(text.count("\n") + 1)),
        "language": language,
        "language_score": 0.9,
        "perplexity": perplexity,
    }


def write_mined(path: Path, batches: list[list[dict]]) -> None:
    """A mined file: each list is a record batch of one language."""
    with pa.ipc.new_file(str(path), MINED) as writer:
        for rows in batches:
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=MINED))
    write_json(path.with_suffix(".languages.json"), [rows[0]["language"] for rows in batches])


def context_for(folder: Path, workers: int = 1) -> Context:
    return Context("corpus.regroup", folder, workers, EventLog(folder.with_name(f"{folder.name}.jsonl")))


def run_on(mined: Path, output: Path, config: Regroup, workers: int = 1, near: Path | None = None) -> dict:
    cutoffs = mined.with_name("cutoffs")
    write_json(cutoffs / "cutoffs.json", CUTOFFS)
    inputs = {"corpus.mine": mined, "corpus.cutoffs": cutoffs}
    if near:
        inputs["corpus.near_duplicates"] = near
    output.mkdir(exist_ok=True)
    return regroup.run(RegroupStage.model_construct(regroup=config), inputs, output, context_for(output, workers))


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.glob("*/*.arrow"))}


def rows_of(path: Path) -> list[dict]:
    return [row for batch in read_batches(path) for row in batch.to_pylist()]


def random_mined(folder: Path, seed: int = 0, files: int = 5, rows: int = 60) -> Path:
    """Some mined files: English in most batches, German in some, Frisian without a model."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    number = 0
    for file in range(files):
        batches = []
        for language in ("de", "en", "fy", "en"):
            batch = []
            for _ in range(int(rng.integers(1, rows))):
                number += 1
                text = "\n".join("é" * int(n) + "x" for n in rng.integers(0, 90, rng.integers(1, 6)))
                value = None if language == "fy" else round(float(rng.integers(10, 6000)) / 10, 1)
                batch.append(mined_row(language, text, value, number))
            batches.append(batch)
        write_mined(folder / f"shard-{file:05d}.arrow", batches)
    return folder


SMALL = Regroup(file_bytes=4096, batch_bytes=1024)
