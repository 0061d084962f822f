"""Speed of tokenizer.encode beside SentencePiece's own batch encoding of the same documents, on all cores.

    python -m benchmarks.tokenizer CORPUS MODEL [--copies 40] [--rounds 5] [--workers N]

CORPUS is the output folder of corpus.regroup, MODEL that of tokenizer.train. The floor is one call of SentencePiece on
all documents, in memory as Python's bytes, into NumPy arrays, on as many threads as there are workers; and again with
lists of numbers, its default. Ours is the whole stage: Arrow files read and unpacked, documents hashed, encoded,
counted, cut into samples, written and fsynced. Medians over rounds in which all take turns, by the clock and in seconds
of processors, workers included; on a machine that others use too, the latter say more.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import pyarrow as pa
import sentencepiece

from pipeline.context import Context
from pipeline.log import EventLog
from pipeline.shards import ShardReport
from pipeline.storage import read_json, write_json
from tokenizer.corpus_files import BucketFile, corpus_files, read_batches
from tokenizer.encode import EncodeFile, EncodeShard, encode_shard
from tokenizer.encode import run as encode
from tokenizer.names import MODEL_FILE
from tokenizer.settings import BUCKETS, TokenizerSettings
from tokenizer.stages import EncodeStage

BATCH_BYTES = 4 << 20
"""As corpus.regroup writes them."""

OUTPUT = "output"


def main() -> None:
    """Measure the corpus, and the corpus many times over, and print."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("corpus", type=Path)
    words.add_argument("model", type=Path)
    words.add_argument("--copies", type=int, default=40)
    words.add_argument("--rounds", type=int, default=5)
    words.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    given = words.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        measure("the corpus", given.corpus, given, folder)
        repeat(given.corpus, folder / "large", given.copies)
        measure(f"the corpus {given.copies} times over", folder / "large", given, folder)


def measure(what: str, corpus: Path, given: argparse.Namespace, scratch: Path) -> None:
    """Time the floor and the stage, and print a line each."""
    files = corpus_files(corpus, BUCKETS)
    texts = [text for file in files for text in read_texts(file)]
    processor = sentencepiece.SentencePieceProcessor(model_file=str(given.model / MODEL_FILE))
    megabytes = sum(map(len, texts)) / 1e6
    runs: dict[str, Callable[[], object]] = {
        "SentencePiece, arrays": lambda: processor.encode(texts, return_type="numpy", num_threads=given.workers),
        "SentencePiece, lists": lambda: processor.encode(texts, num_threads=given.workers),
        "reading the documents": lambda: [len(list(read_texts(file))) for file in files],
        "one worker, unsynced": lambda: in_one(files, given.model, scratch),
        "tokenizer.encode": lambda: stage(corpus, given.model, scratch, given.workers),
    }
    clock: dict[str, list[float]] = {name: [] for name in runs}
    processors: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(given.rounds):
        for name, run in runs.items():
            start, used = time.perf_counter(), processor_seconds()
            run()
            clock[name].append(time.perf_counter() - start)
            processors[name].append(processor_seconds() - used)
            shutil.rmtree(scratch / OUTPUT, ignore_errors=True)
    print(f"{what}: {len(texts):,} documents, {megabytes:,.1f} MB, {given.workers} workers")
    print(f"  {'':24}{'clock':>10}{'':>9}{'processors':>12}")
    floors = [median(of["SentencePiece, arrays"]) for of in (clock, processors)]
    for name in runs:
        wall, work = median(clock[name]), median(processors[name])
        print(f"  {name:24}{wall:8.2f} s{wall / floors[0]:7.2f} x{work:10.2f} s{work / floors[1]:7.2f} x")


def processor_seconds() -> float:
    """Of this process and of its children that have ended, in user and system."""
    return sum(os.times()[:4])


def read_texts(file: BucketFile) -> Sequence[bytes]:
    """All documents of a file."""
    batches = read_batches(file.path, ("raw_content",))
    return [text for batch in batches for text in batch.column("raw_content").cast(pa.large_binary()).to_pylist()]


def in_one(files: Sequence[BucketFile], model: Path, scratch: Path) -> ShardReport:
    """The work of all shards in this process, without the care for crashes: no fsync, no marks."""
    threshold = int(0.01 * (1 << 64))
    of_language: dict[str, int] = {}
    numbered = []
    for file in files:
        number = of_language[file.language] = of_language.get(file.language, -1) + 1
        numbered.append(EncodeFile(file, number, threshold))
    shard = EncodeShard(tuple(numbered), model)
    return encode_shard(TokenizerSettings().encode, shard, scratch / OUTPUT)


def stage(corpus: Path, model: Path, scratch: Path, workers: int) -> None:
    """The stage as the command line runs it, from nothing; the processes' start counts."""
    output = scratch / OUTPUT
    output.mkdir()
    config = EncodeStage(encode=TokenizerSettings().encode)
    context = Context("tokenizer.encode", output, workers, EventLog(scratch / "log.jsonl"))
    encode(config, {"corpus.regroup": corpus, "tokenizer.train": model}, output, context)


def repeat(corpus: Path, large: Path, copies: int) -> None:
    """The same corpus with each file ``copies`` times as long, in record batches as corpus.regroup writes them."""
    for file in corpus_files(corpus, BUCKETS):
        table = pa.ipc.open_file(str(file.path)).read_all().combine_chunks()
        whole = pa.concat_tables([table] * copies).combine_chunks()
        path = large / file.language / file.path.name
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = max(1, int(BATCH_BYTES / (table.nbytes / max(1, table.num_rows))))
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema, options=options) as writer:
            writer.write_table(whole, max_chunksize=rows)
    counts = read_json(corpus / "counts.json")
    for of_languages in counts.values():
        for buckets in of_languages.values():
            buckets.update({bucket: number * copies for bucket, number in buckets.items()})
    write_json(large / "counts.json", counts)


if __name__ == "__main__":
    main()
