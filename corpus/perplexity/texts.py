"""Clean text that language models learn from: Wikipedia dumps, text, JSON lines, Parquet, Arrow; a document at a time.

What the format is, and the language, follow from the file's name; for JSON the language may stand in the record.
"""

from __future__ import annotations

import io
import json
import lzma
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import IO, Any

from corpus.language.labels import LABEL
from pipeline.errors import XlmrError

TEXT_FIELD = "text"
OPENING = "opening_text"

_WIKIPEDIA = re.compile(r"(.+?)wiki-.*cirrussearch.*")
_JSON = (".json", ".jsonl", ".ndjson")
_TABLES = (".parquet", ".arrow", ".feather")
_COMPRESSED = (".gz", ".xz", ".zst", ".bz2")
_RECORDS_PEEKED = 100


def read_texts(address: str, wikipedia_field: str = OPENING) -> Iterator[str]:
    """The documents of a file at any fsspec address, those without text left out.

    ``wikipedia_field``  what is read of an article of a CirrusSearch dump, whose lines are by turns an index entry and
    an article. Errors: XlmrError naming the file, where it is cut or damaged or has no text field.
    """
    kind = _format_of(address)
    if kind in _TABLES:
        yield from _read_table(address, kind)
    elif kind in _JSON:
        for record in _read_records(address):
            article = OPENING in record or "wiki" in record
            text = record.get(wikipedia_field if article else TEXT_FIELD)
            if isinstance(text, str) and (text := text.strip()):
                yield text
    else:
        for line in _read_lines(address):
            if line := line.strip():
                yield line


def language_of(address: str) -> str:
    """The language of a file: ``de`` of ``de.txt.xz`` and of ``dewiki-20190304-cirrussearch-content.json.gz``.

    Where the name says nothing, what the first JSON records say. Errors: XlmrError with the fix.
    """
    name = PurePosixPath(address).name
    wikipedia = _WIKIPEDIA.fullmatch(name)
    language = wikipedia[1] if wikipedia else name.partition(".")[0]
    if LABEL.fullmatch(language):
        return language
    if _format_of(address) in _JSON:
        for _, record in zip(range(_RECORDS_PEEKED), _read_records(address), strict=False):
            stated = record.get("language")
            if isinstance(stated, str) and LABEL.fullmatch(stated):
                return stated
    raise XlmrError(f"{address}: {language!r} is not a language code", "name the file <code>.txt, as de.txt")


def _format_of(address: str) -> str:
    """The suffix that says how documents lie in the file, the compression's left out."""
    suffixes = PurePosixPath(address).suffixes
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _read_lines(address: str) -> Iterator[str]:
    with _naming_damage(address), _open(address) as stream:
        yield from io.TextIOWrapper(io.BufferedReader(stream, 1 << 20), encoding="utf-8", newline="\n")


def _read_records(address: str) -> Iterator[dict[str, Any]]:
    """The JSON objects of a file of JSON lines, but the index entries of a CirrusSearch dump."""
    for number, line in enumerate(_read_lines(address), 1):
        if line.startswith('{"index":') or not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise XlmrError(f"{address}: line {number} is not JSON ({error})", "provide a complete file") from None
        if isinstance(record, dict):
            yield record


def _read_table(address: str, kind: str) -> Iterator[str]:
    import pyarrow as pa
    import pyarrow.parquet

    with _naming_damage(address), _open(address, compressed=False) as stream:
        source = pa.PythonFile(stream, "r")
        if kind == ".parquet":
            table = pa.parquet.ParquetFile(source)
            _check_column(address, table.schema_arrow.names)
            batches = table.iter_batches(1000, columns=[TEXT_FIELD])
        else:
            table = pa.ipc.open_file(source)
            _check_column(address, table.schema.names)
            batches = (table.get_batch(number) for number in range(table.num_record_batches))
        for batch in batches:
            for text in batch.column(TEXT_FIELD).to_pylist():
                if isinstance(text, str) and (text := text.strip()):
                    yield text


def _check_column(address: str, names: list[str]) -> None:
    if TEXT_FIELD not in names:
        raise XlmrError(f"{address}: has no column {TEXT_FIELD!r}, only {', '.join(names)}", "name the column so")


def _open(address: str, *, compressed: bool = True) -> Any:
    import fsspec

    if compressed and address.endswith(".zst"):
        return _open_zstandard(address)
    return fsspec.open(address, "rb", compression="infer" if compressed else None)


@contextmanager
def _open_zstandard(address: str) -> Iterator[IO[bytes]]:
    """Open by Arrow, which is a dependency already; fsspec would need one more package."""
    import fsspec
    import pyarrow as pa

    with fsspec.open(address, "rb") as stream, pa.CompressedInputStream(pa.PythonFile(stream, "r"), "zstd") as plain:
        yield plain


@contextmanager
def _naming_damage(address: str) -> Iterator[None]:
    """Turn what the readers of damaged files raise into one line."""
    import pyarrow as pa

    try:
        yield
    except (UnicodeDecodeError, EOFError, OSError, zlib.error, lzma.LZMAError, pa.ArrowInvalid) as error:
        reason = " ".join(str(error).split())
        raise XlmrError(f"{address}: cannot be read ({reason})", "provide a complete file") from None
