"""Files of documents: which they are, by their names, and their rows whatever the format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from corpus.documents.row import BadRow, TextRow
    from corpus.documents.settings import DocumentColumns

COMPRESSED = (".gz", ".zst", ".xz", ".bz2")
_JSON = (".jsonl", ".ndjson", ".json")
_TEXT = ".txt"
_TABLES = (".parquet", ".arrow", ".feather")

ENDINGS = (
    *_TABLES, ".jsonl", ".ndjson", *(f"{end}{packed}" for end in _JSON for packed in COMPRESSED),
)  # fmt: skip
"""Of the files that are read where a folder is named. Plain .json and .txt mostly describe what else is in there."""

Unit = Literal["line", "row"]


def unit_of(address: str) -> Unit | None:
    """What rows are called in a file of documents; None where its name says that it is none."""
    name = _unpacked(address)
    return "line" if name.endswith((*_JSON, _TEXT)) else "row" if name.endswith(_TABLES) else None


def _unpacked(address: str) -> str:
    name = address.partition("?")[0].lower() if "://" in address else address.lower()
    for packed in COMPRESSED:
        name = name.removesuffix(packed)
    return name


def read_rows(
    file: str, stream: IO[bytes], columns: DocumentColumns, max_record_bytes: int, max_file_bytes: int
) -> Iterator[TextRow | BadRow]:
    """The rows of a file of documents in their order. Limits are those of ``corpus.read``.

    Errors: XlmrError naming the file where it lacks the text, or a column that is set.
    """
    from corpus.documents.columns import names_of

    if _unpacked(file).endswith(_TEXT):
        from corpus.documents.text_lines import read_text_lines

        return read_text_lines(stream, max_record_bytes, max_file_bytes)
    names = names_of(columns)
    if unit_of(file) == "line":
        from corpus.documents.json_lines import read_json_lines

        return read_json_lines(file, stream, names, max_record_bytes, max_file_bytes)
    from corpus.documents.tables import read_table

    return read_table(file, stream, names, max_record_bytes)
