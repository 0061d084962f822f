"""Reading the corpus: its Arrow files by language and bucket, and their documents batch by batch."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.errors import XlmrError
from pipeline.storage import read_json

ROWS = 256
"""Documents worked on at once: a few MB of text, so that memory does not grow with the corpus."""


@dataclass(frozen=True, order=True)
class CorpusFile:
    """One file of the corpus: ``<language>/<bucket>-<number>.arrow``."""

    language: str
    bucket: str
    path: Path

    @property
    def name(self) -> str:
        """A plain name, unique in the corpus: ``en.head-00000``."""
        return f"{self.language}.{self.path.stem}"


def corpus_files(corpus: Path, buckets: Collection[str]) -> list[CorpusFile]:
    """The files of the chosen buckets, sorted. Errors: XlmrError where there is none."""
    paths = sorted(corpus.glob("*/*.arrow"))
    files = [CorpusFile(path.parent.name, path.stem.rpartition("-")[0], path) for path in paths]
    chosen = sorted(file for file in files if file.bucket in buckets)
    if not chosen:
        there = sorted({file.bucket for file in files})
        raise XlmrError(
            f"{corpus}: the corpus has no file of the buckets {', '.join(buckets)}",
            f"it has {', '.join(there)}: change the setting buckets" if there else "look at what corpus.regroup kept",
        )
    return chosen


def read_counts(corpus: Path, what: str, buckets: Collection[str]) -> dict[str, int]:
    """``documents``, ``characters`` or ``bytes`` of each language in the chosen buckets, from counts.json."""
    path = corpus / "counts.json"
    try:
        counted = read_json(path)[what].items()
        return {language: sum(of.get(bucket, 0) for bucket in buckets) for language, of in sorted(counted)}
    except (KeyError, AttributeError, TypeError):
        raise XlmrError(f"{path}: says nothing about {what}", "run corpus.regroup again") from None


def read_batches(path: Path, columns: Sequence[str], rows: int = ROWS) -> Iterator[pa.RecordBatch]:
    """The documents of one file, at most ``rows`` at once, these columns only.

    Errors: XlmrError naming the file.
    """
    try:
        with pa.memory_map(str(path)) as source:
            schema = pa.ipc.open_file(source).schema
            wanted = [schema.names.index(name) for name in columns]
            # Workers are processes already: Arrow's own threads would only take their turn.
            options = pa.ipc.IpcReadOptions(included_fields=wanted, use_threads=False)
            with pa.ipc.open_file(source, options=options) as reader:
                for number in range(reader.num_record_batches):
                    batch = reader.get_batch(number)
                    for start in range(0, batch.num_rows, rows):
                        yield batch.slice(start, rows)
    except (pa.ArrowInvalid, ValueError) as error:
        raise XlmrError(f"{path}: not a file of the corpus ({error})", "run corpus.regroup again") from None


def document_hashes(batch: pa.RecordBatch, salt: str) -> NDArray[np.uint64]:
    """64 bits for each document, from its digest (its url where it has none) and ``salt``: the same in every
    run.

    The digest is of the page as it was crawled: pages with the same text fall on one side of every split.
    """
    digests: list[Any] = batch.column("digest").to_pylist()
    urls: list[Any] = batch.column("url").to_pylist()
    key = salt.encode()
    hashes = b"".join(
        hashlib.blake2b((digest or url or "").encode(), digest_size=8, key=key).digest()
        for digest, url in zip(digests, urls, strict=True)
    )
    return np.frombuffer(hashes, dtype="<u8")
