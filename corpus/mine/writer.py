"""Where mined records go: Arrow files whose record batches hold one language each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path

import pyarrow as pa

from corpus.mine.rows import MinedRow
from corpus.output.records import DROPPED, MINED
from pipeline.storage import write_json

BATCH_CHARACTERS = 4_000_000
"""Text that is gathered of one language before it is written as one record batch."""

WAITING_CHARACTERS = 32_000_000
"""Text that waits in memory, of all languages: then the language with most of it is written."""


class RecordWriter:
    """Writes rows to an Arrow file, a language a record batch, and the list of these languages beside it.

    Rows of a language keep their order. A row holds its whole page until it is written, so all of that is counted.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: dict[str, list[MinedRow]] = defaultdict(list)
        self._characters: dict[str, int] = defaultdict(int)
        self._held: dict[str, int] = defaultdict(int)
        self._held_in_all = 0
        self._languages: list[str] = []

    def __enter__(self) -> RecordWriter:
        self._writer = pa.ipc.new_file(str(self._path), MINED, options=pa.ipc.IpcWriteOptions(compression="lz4"))
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            for language in sorted(self._waiting):
                self._flush(language)
            write_json(self._path.with_suffix(".languages.json"), self._languages)
        self._writer.close()

    def add(self, row: MinedRow) -> None:
        """Take one row."""
        self._waiting[row.language].append(row)
        self._characters[row.language] += row.characters
        held = characters_held(row)
        self._held[row.language] += held
        self._held_in_all += held
        if self._characters[row.language] > BATCH_CHARACTERS:
            self._flush(row.language)
        elif self._held_in_all > WAITING_CHARACTERS:
            self._flush(max(self._held, key=self._held.__getitem__))

    def _flush(self, language: str) -> None:
        self._writer.write_batch(records_of(self._waiting.pop(language)))
        self._characters[language] = 0
        self._held_in_all -= self._held.pop(language)
        self._languages.append(language)


def characters_held(row: MinedRow) -> int:
    """What a row keeps in memory: all lines of its page, also those that were left out."""
    return sum(map(len, row.document.lines))


def records_of(rows: Sequence[MinedRow]) -> pa.RecordBatch:
    """Rows as one record batch of the mined schema."""
    documents = [row.document for row in rows]
    texts = ["\n".join(row.lines) for row in rows]
    columns = {
        **{name: list(map(attrgetter(name), documents)) for name in ("url", "date_download", "digest")},
        "length": list(map(len, texts)),
        "nlines": [len(row.lines) for row in rows],
        "source_domain": [document.source_domain for document in documents],
        "title": [document.title for document in documents],
        "raw_content": texts,
        "cc_segment": [document.segment for document in documents],
        "original_nlines": [len(document.lines) for document in documents],
        "original_length": [document.length for document in documents],
        "line_ids": [row.line_ids for row in rows],
        "language": [row.language for row in rows],
        "language_score": [row.score for row in rows],
        "perplexity": [row.perplexity for row in rows],
        "line_scores": [row.line_scores for row in rows],
        "line_perplexities": [row.line_perplexities for row in rows],
    }
    return pa.RecordBatch.from_arrays([pa.array(columns[field.name], field.type) for field in MINED], schema=MINED)


class DroppedWriter:
    """Writes what is dropped, with the reason, to an Arrow file; nothing where there is no path."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._waiting: list[tuple[MinedRow, str]] = []
        self._characters = 0

    def __enter__(self) -> DroppedWriter:
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            options = pa.ipc.IpcWriteOptions(compression="zstd")
            self._writer = pa.ipc.new_file(str(self._path), DROPPED, options=options)
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if self._path is not None:
            self._flush()
            self._writer.close()

    def add(self, row: MinedRow, reason: str) -> None:
        """Take one row."""
        if self._path is None:
            return
        self._waiting.append((row, reason))
        self._characters += characters_held(row)
        if self._characters > BATCH_CHARACTERS:
            self._flush()

    def _flush(self) -> None:
        rows = [row for row, _ in self._waiting]
        columns = [
            [reason for _, reason in self._waiting],
            [row.document.url for row in rows],
            [row.document.title for row in rows],
            [row.language for row in rows],
            [row.score for row in rows],
            ["\n".join(row.lines) for row in rows],
            [row.line_ids for row in rows],
        ]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, DROPPED, strict=True)]
        self._writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=DROPPED))
        self._waiting, self._characters = [], 0
