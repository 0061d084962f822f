"""The minified form of a corpus: every field of each document except its text, and checksums of its lines.

``part-<00000>.parquet``  documents in the order of the crawl, a row group a segment (a file of the crawl).
``minified.json``         which segment is which row group, and what the files of the corpus were; written last.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from corpus.crawl.addresses import check_segment
from pipeline.errors import UsageError, XlmrError
from pipeline.storage import read_json

INDEX = "minified.json"
FORMAT = 1

MINIFIED = pa.schema(
    [
        ("url", pa.string()),
        ("digest", pa.string()),
        ("cc_segment", pa.string()),
        ("language", pa.string()),
        ("language_score", pa.float32()),
        ("perplexity", pa.float32()),
        ("bucket", pa.string()),
        ("line_ids", pa.list_(pa.int32())),
        ("line_checks", pa.binary()),  # two bytes a line: see ``checks_of``; null where the source had none
        ("text_check", pa.uint32()),  # of the lines together: what slips through 16 bits does not through 48
        ("line_scores", pa.list_(pa.float32())),  # these two cannot be had from the crawl
        ("line_perplexities", pa.list_(pa.float32())),
    ]
)

WRITER_OPTIONS: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 12,
    "use_dictionary": ["cc_segment", "language", "bucket"],
    "column_encoding": {"line_ids.list.element": "DELTA_BINARY_PACKED"},
    "write_statistics": ["cc_segment"],
}


def checks_of(lines: Sequence[bytes]) -> bytes:
    """Two bytes a line, little-endian: the low half of its CRC-32."""
    return b"".join([(zlib.crc32(line) & 0xFFFF).to_bytes(2, "little") for line in lines])


@dataclass(frozen=True)
class Segment:
    """One file of the crawl, and the row group that holds what is known of its documents."""

    name: str
    part: str
    row_group: int
    rows: int


@dataclass(frozen=True)
class Minified:
    """A minified corpus. ``regroup`` are the settings that its files were cut by, ``masks`` those it was masked by,
    ``reading`` those it was read by, as far as they are not the default.

    Checksums are of the lines as they stand in the corpus, that is masked.
    """

    folder: Path
    segments: tuple[Segment, ...]
    regroup: dict[str, Any]
    masks: dict[str, Any] | None = None
    reading: dict[str, Any] | None = None

    @classmethod
    def open(cls, folder: Path) -> Minified:
        """Read the index. Errors: UsageError where there is none of this form."""
        path = folder / INDEX
        if not path.exists():
            raise UsageError(f"{folder}: holds no {INDEX}: not a complete minified corpus", "run corpus minify")
        index = read_json(path)
        if index.get("format") != FORMAT:
            raise UsageError(f"{path}: its form is {index.get('format')}, not {FORMAT}", "minify the corpus again")
        segments = tuple(Segment(**segment) for segment in index["segments"])
        for segment in segments:
            check_segment(segment.name)
            if Path(segment.part).name != segment.part:
                raise XlmrError(f"{path}: {segment.part[:100]!r} is not a file beside it", "fetch the corpus again")
        return cls(folder, segments, index["regroup"], index.get("masks"), index.get("reading"))

    def rows(self, segment: Segment) -> Iterator[dict[str, Any]]:
        """What is known of each document of a segment."""
        with parquet.ParquetFile(self.folder / segment.part) as file:
            yield from file.read_row_group(segment.row_group, use_threads=False).to_pylist()
