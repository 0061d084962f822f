"""Reading the corpus: its Arrow files by language and bucket, and their documents batch by batch."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.errors import XlmrError
from pipeline.storage import read_json

ROWS = 1024
"""Documents in one batch: a few MB of text, so that memory does not grow with the corpus."""


@dataclass(frozen=True, order=True)
class BucketFile:
    """One file of the corpus: ``<language>/<bucket>-<number>.arrow``."""

    language: str
    bucket: str
    path: Path

    @property
    def name(self) -> str:
        """A plain name, unique in the corpus: ``en.head-00000``."""
        return f"{self.language}.{self.path.stem}"


def corpus_files(corpus: Path, buckets: Collection[str], languages: Collection[str] = ()) -> list[BucketFile]:
    """The files of the chosen buckets and languages, sorted; no language named means all.

    Errors: XlmrError where there is none, or none of a language that is named.
    """
    paths = sorted(corpus.glob("*/*.arrow"))
    files = [BucketFile(path.parent.name, path.stem.rpartition("-")[0], path) for path in paths]
    chosen = sorted(file for file in files if file.bucket in buckets)
    if not chosen:
        there = sorted({file.bucket for file in files})
        raise XlmrError(
            f"{corpus}: the corpus has no file of the buckets {', '.join(buckets)}",
            f"it has {', '.join(there)}: change the setting buckets" if there else "check what corpus.regroup kept",
        )
    if languages:
        _check_languages(corpus, buckets, languages, {file.language for file in chosen})
        chosen = [file for file in chosen if file.language in languages]
    return chosen


def _check_languages(
    corpus: Path, buckets: Collection[str], languages: Collection[str], there: Collection[str]
) -> None:
    missing = sorted(set(languages) - set(there))
    if missing:
        near = sorted({name for code in missing for name in difflib.get_close_matches(code, there)})
        raise XlmrError(
            f"{corpus}: no text of {', '.join(missing)} in the buckets {', '.join(buckets)}",
            f"change the setting languages; the corpus has {'among others ' if near else ''}"
            f"{', '.join(near or sorted(there))}",
        )


def read_counts(corpus: Path, what: str, buckets: Collection[str], languages: Collection[str] = ()) -> dict[str, int]:
    """``documents``, ``characters`` or ``bytes`` of each chosen language in the chosen buckets, from counts.json."""
    path = corpus / "counts.json"
    try:
        counted = read_json(path)[what].items()
        chosen = [(language, of) for language, of in sorted(counted) if not languages or language in languages]
        return {language: sum(of.get(bucket, 0) for bucket in buckets) for language, of in chosen}
    except FileNotFoundError:
        raise XlmrError(f"{path}: no such file", "run corpus.regroup again") from None
    except (KeyError, AttributeError, TypeError):
        raise XlmrError(f"{path}: has no counts of {what}", "run corpus.regroup again") from None


def read_batches(path: Path, columns: Sequence[str], rows: int = ROWS) -> Iterator[pa.RecordBatch]:
    """The documents of one file, at most ``rows`` at once and no fewer where there are more, these columns only.

    Errors: XlmrError naming the file.
    """
    try:
        with pa.memory_map(str(path)) as source:
            schema = pa.ipc.open_file(source).schema
            wanted = [schema.names.index(name) for name in columns]
            # Workers are processes already: Arrow's own threads would only take their turn.
            options = pa.ipc.IpcReadOptions(included_fields=wanted, use_threads=False)
            with pa.ipc.open_file(source, options=options) as reader:
                batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
                for batch in _at_least(batches, rows):
                    for start in range(0, batch.num_rows, rows):
                        yield batch.slice(start, rows)
    except (pa.ArrowInvalid, ValueError) as error:
        raise XlmrError(f"{path}: not a file of the corpus ({error})", "run corpus.regroup again") from None


def _at_least(batches: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """The same documents in batches of ``rows`` or more, except the last: each batch has a fixed cost."""
    waiting: list[pa.RecordBatch] = []
    for batch in batches:
        waiting.append(batch)
        if sum(part.num_rows for part in waiting) >= rows:
            yield waiting[0] if len(waiting) == 1 else pa.concat_batches(waiting)
            waiting = []
    if waiting:
        yield pa.concat_batches(waiting)


def document_hashes(batch: pa.RecordBatch, salt: str) -> NDArray[np.uint64]:
    """64 bits for each document, from its digest (its url where it has none) and ``salt``: the same in every run.

    The digest is of the page as it was crawled: pages with the same content are on the same side of every split.
    """
    digests, urls = batch.column("digest"), batch.column("url")
    digests = pc.if_else(pc.not_equal(digests, ""), digests, urls)
    names = pc.fill_null(pc.coalesce(digests, urls), "").cast(pa.large_binary())
    lengths = pc.binary_length(names).to_numpy(zero_copy_only=False)
    columns = int(lengths.max(initial=1) + 7) // 8
    words = np.array(names.to_pylist(), dtype=f"S{8 * columns}").view("<u8").reshape(len(names), columns)
    start = int.from_bytes(hashlib.blake2b(salt.encode(), digest_size=8).digest(), "little")
    hashes = np.full(len(names), start, dtype=np.uint64)
    for number in range(columns):  # a name's hash is of its own words only, whatever is longest in its batch
        hashes = np.where(lengths > 8 * number, mix(hashes ^ words[:, number]), hashes)
    return mix(hashes ^ lengths.astype(np.uint64))


def mix(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64 (Steele, Lea and Flood 2014): every bit of the result depends on every bit of the key."""
    mixed = keys + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
