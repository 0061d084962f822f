"""A corpus beside its minified form and its crawl, and what can be done to that crawl."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

from mined_corpus import mined_row, rows_of

MASKS = ("--corpus.filters.mask", "[email, ipv4]", "--corpus.filters.placeholders.email", "<mail>")
"""Settings of a run, the same wherever one is masked: it is mined once."""


class Made:
    """A corpus of the small crawl, its minified form, and the crawl."""

    def __init__(self, corpus: Path, minified: Path, crawl: Path) -> None:
        self.corpus, self.minified, self.crawl = corpus, minified, crawl

    def copy_of_crawl(self, folder: Path) -> Path:
        shutil.copytree(self.crawl, folder)
        return folder


def missing(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "missing.jsonl").read_text().splitlines()]


def change(path: Path, before: bytes, after: bytes) -> None:
    """Write other text in the place of some, a gzip member a record as before; lengths stay what they were."""
    assert len(before) == len(after)
    text = gzip.decompress(path.read_bytes())
    assert text.count(before) == 1
    records = text.replace(before, after).split(b"WARC/1.0\r\n")[1:]
    path.write_bytes(b"".join(gzip.compress(b"WARC/1.0\r\n" + record) for record in records))


def a_line(made: Made) -> tuple[dict, str]:
    """A document whose last line stands nowhere else in its segment, and that line."""
    rows = [row for p in sorted(made.corpus.glob("en/*.arrow")) for row in rows_of(p)]
    for row in rows:
        line = row["raw_content"].split("\n")[-1]
        if len(line) > 30 and gzip.decompress((made.crawl / row["cc_segment"]).read_bytes()).count(line.encode()) == 1:
            return row, line
    raise AssertionError


def paragraph_row(segment: Path, number: int, language: str, ids: list[int], lines: list[str]) -> dict:
    """A row as mining by paragraphs writes it: line 0 is the title."""
    chosen = [lines[i] for i in ids]
    return {
        **mined_row(language, "\n".join(chosen), 150.0, number),
        "url": f"https://example.org/{number}", "digest": f"sha1:X{number}", "title": lines[0],
        "cc_segment": str(segment), "line_ids": ids, "original_nlines": len(lines),
        "original_length": len("\n".join(lines).encode()) + 1,
        "line_scores": [0.5 + i / 16 for i in ids], "line_perplexities": [None if i == 1 else 10.0 * i for i in ids],
    }  # fmt: skip
