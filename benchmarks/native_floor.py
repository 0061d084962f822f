"""The native floor of mining: what cannot be left out, done by native code alone, on whole batches, on one core."""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha1
from pathlib import Path

import fasttext
import kenlm
import pyarrow as pa
import pyarrow.compute as pc
import sentencepiece
from fastwarc.warc import ArchiveIterator, WarcRecordType

from corpus.language.model_file import model_path
from corpus.normalise import ASCII_LOOK_ALIKES, normalise_for_language_model
from corpus.perplexity.score import NGRAMS_SUFFIX, SENTENCEPIECE_SUFFIX, languages_with_models

READ = "inflate and cut records (FastWARC), to hash and to mine"
LINES = "decode, cut and strip lines (CPython), to hash and to mine"
LOWER = "lower case, digits, signs of distinct lines (CPython, re)"
HASH = "SHA-1 of distinct lines (OpenSSL)"
LANGUAGE = "language (fastText)"
NFD = "NFD and signs, for the language model (CPython, re)"
TOKENS = "tokens (SentencePiece)"
NGRAMS = "5-grams (KenLM)"
WRITE = "write records (Arrow, lz4)"
LIBRARIES = (READ, HASH, LANGUAGE, TOKENS, NGRAMS)
"""The libraries that the work is named after; the others are the work on text between them."""

_DIGIT = re.compile(r"\d")
_SIGNS = re.compile(f"[{''.join(ASCII_LOOK_ALIKES)}\x00-\x09\x0b-\x1f\x7f-\x9f]")


@dataclass
class Floor:
    """Processor seconds by what was done, and the megabytes that it was done on."""

    seconds: dict[str, float] = field(default_factory=dict)
    megabytes: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, what: str, megabytes: float) -> Iterator[None]:
        """Count the processor time of the block."""
        start = time.process_time()
        yield
        self.seconds[what] = self.seconds.get(what, 0.0) + time.process_time() - start
        self.megabytes[what] = self.megabytes.get(what, 0.0) + megabytes

    def sum(self, *names: str) -> float:
        """Seconds of some of it; of all, if none is named."""
        return sum(seconds for what, seconds in self.seconds.items() if not names or what in names)


def native_floor(files: Sequence[str], mined: Sequence[Path], models: Path) -> Floor:
    """Measure it. ``mined``: what corpus.mine kept of these files, whose text is identified and scored."""
    floor = Floor()
    for file in files:
        for _ in range(2):
            bodies = _read(Path(file), floor)
            with floor.timed(LINES, sum(map(len, bodies)) / 1e6):
                documents = [[line.strip() for line in body.decode().split("\n")] for body in bodies]
        _hash(documents, floor)
    identifier = fasttext.load_model(str(model_path("lid.176.ftz")))
    for path in mined:
        table = pa.ipc.open_file(str(path)).read_all()
        texts = table.column("raw_content").to_pylist()
        glued = [text.replace("\n", "") for text in texts]
        with floor.timed(LANGUAGE, sum(map(len, texts)) / 1e6):
            identifier.predict(glued, k=1)
        for language in languages_with_models(models):
            rows = table.filter(pc.equal(table.column("language"), language))
            _score(rows.column("raw_content").to_pylist(), models, language, floor)
        _write(table, floor)
    return floor


def _read(path: Path, floor: Floor) -> list[bytes]:
    with floor.timed(READ, path.stat().st_size / 1e6), path.open("rb") as stream:
        records = ArchiveIterator(stream, record_types=WarcRecordType.conversion, parse_http=False)
        return [record.reader.read() for record in records]


def _hash(documents: Sequence[Sequence[str]], floor: Floor) -> None:
    for start in range(0, len(documents), 1024):
        lines = list(dict.fromkeys(line for document in documents[start : start + 1024] for line in document))
        megabytes = sum(map(len, lines)) / 1e6
        with floor.timed(LOWER, megabytes):
            normalised = _SIGNS.sub("", _DIGIT.sub("0", "\n".join(lines).lower())).encode().split(b"\n")
        with floor.timed(HASH, megabytes):
            for line in normalised:
                sha1(line).digest()


def _score(texts: Sequence[str], models: Path, language: str, floor: Floor) -> None:
    processor = sentencepiece.SentencePieceProcessor(model_file=str(models / f"{language}{SENTENCEPIECE_SUFFIX}"))
    ngrams = kenlm.Model(str(models / f"{language}{NGRAMS_SUFFIX}"))
    megabytes = sum(map(len, texts)) / 1e6
    with floor.timed(NFD, megabytes):
        for text in texts:
            _SIGNS.sub("", _DIGIT.sub("0", unicodedata.normalize("NFD", text.lower())))
    lines = [normalise_for_language_model(text) for text in texts]
    with floor.timed(TOKENS, megabytes):
        encoded = processor.encode(lines, out_type=str, num_threads=1)
    joined = [" ".join(line) for line in encoded]
    with floor.timed(NGRAMS, megabytes):
        for line in joined:
            ngrams.score(line)


def _write(table: pa.Table, floor: Floor) -> None:
    with floor.timed(WRITE, table.nbytes / 1e6):
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_stream(pa.BufferOutputStream(), table.schema, options=options) as writer:
            writer.write_table(table)
