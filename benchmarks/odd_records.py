"""WET files with one odd record between two plain ones: where equality with cc_net ends, case by case.

    python -m benchmarks.odd_records CC_NET --site FOLDER

Prints what cc_net's own ``parse_warc_file`` and our reader make of each file. ``CC_NET`` and ``--site`` are those of
``benchmarks.cc_net``. The test of our side is tests/corpus/test_odd_records.py.
"""

from __future__ import annotations

import argparse
import gzip
import logging
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpus.crawl.tally import Tally
from corpus.crawl.wet import read_documents

HEADERS = (
    "WARC-Type: conversion",
    "WARC-Target-URI: {url}",
    "WARC-Date: 2019-01-15T23:59:59Z",
    "WARC-Record-ID: <urn:uuid:1>",
    "WARC-Refers-To: <urn:uuid:2>",
    "WARC-Block-Digest: sha1:S3DTWCONT2L6ORTGCY2KXEZ37LNBB7V2",
    "Content-Type: text/plain",
    "Content-Length: {length}",
)
"""Names and order of CommonCrawl's headers in 2019, which cc_net reads by their place."""

URL = "https://example.org/odd"
PLAIN = ("https://example.org/1", "https://example.org/2")
MANY = 40_000
MAX_RECORD_BYTES = 1 << 24

Found = list[tuple[str, str, str]]
"""url, title and text of each document."""


@dataclass(frozen=True)
class Case:
    """The records of a file, and the document that the odd one holds (None: it holds none that can be read)."""

    name: str
    records: tuple[bytes, ...]
    odd: tuple[str, str, str] | None
    cut: int = 0

    def packed(self) -> bytes:
        """The file's bytes: a gzip member a record, without the last ``cut`` bytes."""
        data = b"".join(gzip.compress(one, mtime=0) for one in self.records)
        return data[: len(data) - self.cut]


def record(
    text: str | bytes, url: str = URL, headers: tuple[str, ...] = HEADERS, version: str = "WARC/1.0", length: int = 0
) -> bytes:
    """A WET record; ``length`` is added to the true one in its header."""
    body = text if isinstance(text, bytes) else text.encode()
    lines = [line.format(url=url, length=len(body) + length) for line in headers]
    return "\r\n".join([version, *lines, "", ""]).encode() + body + b"\r\n\r\n"


def cases() -> list[Case]:
    """Every odd record, the plain ones around it."""
    title, text = "A title", "one line\nand another"
    whole, answer = f"{title}\n{text}\n", (URL, title, text)
    language = (*HEADERS[:6], "WARC-Identified-Content-Language: deu", *HEADERS[6:])
    swapped = (HEADERS[0], HEADERS[2], HEADERS[1], *HEADERS[3:])
    empty_date = tuple("WARC-Date:" if line.startswith("WARC-Date") else line for line in HEADERS)
    spaced, bracket = "https://example.org/a b", "http://[example.org/"
    inner = "one line\nWARC/1.0\nand another"
    breaks = "a\x85b\u2028c\fd"
    many = "\n".join(str(number) for number in range(MANY))
    return [
        _between("as CommonCrawl wrote them in 2019", record(whole), answer),
        _between("a header more (WARC-Identified-Content-Language)", record(whole, headers=language), answer),
        _between("a header less (no WARC-Refers-To)", record(whole, headers=HEADERS[:4] + HEADERS[5:]), answer),
        _between("date before URL", record(whole, headers=swapped), answer),
        _between("a header without a value", record(whole, headers=empty_date), answer),
        _between("a URL with a space", record(whole, url=spaced), (spaced, title, text)),
        _between("a URL that is none", record(whole, url=bracket), None),
        _between("WARC/1.1", record(whole, version="WARC/1.1"), answer),
        _between("a line of text that is WARC/1.0", record(f"{title}\n{inner}\n"), (URL, title, inner)),
        _between("Content-Length too large by 4", record(whole, length=4), answer),
        _between("Content-Length too small by 4", record(whole, length=-4), answer),
        _between("bytes that are not UTF-8", record(whole.encode() + b"\xff\xfe\n"), None),
        _between("U+0085, U+2028 and form feeds in a line", record(f"{title}\n{breaks}\n"), (URL, title, breaks)),
        _between("carriage returns alone", record(f"{title}\ra\rb\n"), (URL, title, "a\nb")),
        _between("empty lines first", record(f"\n\n{text}\n"), (URL, "", f"\n{text}")),
        _between(f"{MANY:,} lines", record(f"{title}\n{many}\n"), (URL, title, many)),
        Case("the file ends one line after a record's headers", (plain(1), plain(2), record("")[:-2]), None),
        Case("the last gzip member is cut", (plain(1), plain(2), record(whole)), None, cut=50),
    ]


def plain(number: int) -> bytes:
    """A record that both sides read."""
    return record(f"Title {number}\n{'a line of text ' * 30}\n", url=PLAIN[number - 1])


def _between(name: str, odd: bytes, answer: tuple[str, str, str] | None) -> Case:
    return Case(name, (plain(1), odd, plain(2)), answer)


def ours(path: Path) -> Found:
    """Our documents of a file."""
    found = read_documents([str(path)], 1, MAX_RECORD_BYTES, Tally())
    return [(document.url, document.title, "\n".join(document.lines)) for document in found]


def theirs(path: Path) -> Found:
    """cc_net's documents of a file; whatever it raises would end its shard."""
    from cc_net import jsonql, process_wet_file  # type: ignore[import-not-found]

    found: list[dict[str, Any]] = list(process_wet_file.parse_warc_file(jsonql.open_read(path)))
    return [(document["url"], document["title"], document["raw_content"]) for document in found]


def main() -> None:
    """Print the table."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("cc_net", type=Path)
    words.add_argument("--site", type=Path, help="folder with what cc_net imports and is not installed here")
    given = words.parse_args()
    sys.path[:0] = [str(folder.resolve()) for folder in (given.cc_net, given.site) if folder]
    logging.raiseExceptions = False  # its warning about a header has no place for its arguments
    print("| record | cc_net | ours |\n| --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.warc.wet.gz"
        for case in cases():
            path.write_bytes(case.packed())
            print(f"| {case.name} | {_said(case, theirs, path)} | {_said(case, ours, path)} |")


def _said(case: Case, read: Callable[[Path], Found], path: Path) -> str:
    try:
        found = read(path)
    except Exception as error:
        return f"the shard fails: {type(error).__name__}"
    odd = [one for one in found if one[0] not in PLAIN]
    if case.odd in odd:
        said = "as written"
    elif odd:
        url, title, text = odd[0]
        said = f"`{url}`, {title[:20]!r}, {text[:40]!r}"
    else:
        said = "no record"
    changed = sum(url in PLAIN and "WARC-" in text for url, _, text in found)
    lost = len(PLAIN) - sum(url in PLAIN for url, _, _ in found)
    more = [f"{changed} plain record takes its text"] * bool(changed) + [f"{lost} plain lost"] * bool(lost)
    return "; ".join([said, *more])


if __name__ == "__main__":
    main()
