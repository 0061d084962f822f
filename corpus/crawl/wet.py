"""Documents out of WET files, by cc_net's rules: lines stripped, the first line is the title, headers read by name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from fastwarc.warc import WarcRecordType

from corpus.crawl.warc import Damage, Record, read_records

NAMED_AT_MOST = 20


@dataclass(frozen=True, slots=True)
class Document:
    """A page as it was crawled. ``length`` is in bytes (Content-Length); ``lines`` are without the title."""

    url: str
    date_download: str
    digest: str
    length: int
    source_domain: str
    title: str
    segment: str
    lines: list[str]


@dataclass
class Tally:
    """What was read and what was not: good records, those too short, bad places and the first of these by name."""

    records: int = 0
    short: int = 0
    bad: int = 0
    named: list[str] = field(default_factory=list)

    def add_bad(self, file: str, position: int, problem: str) -> None:
        """Count one more bad place."""
        self.bad += 1
        if len(self.named) < NAMED_AT_MOST:
            self.named.append(f"{file}: {problem} (byte {position:,}); left out")


def read_documents(files: Sequence[str], min_characters: int, max_bytes: int, tally: Tally) -> Iterator[Document]:
    """The documents of some WET files that have ``min_characters`` or more, in order.

    Records that are damaged, are not UTF-8 or lack a header are left out and counted in ``tally``.
    """
    for file in files:
        for item in read_records(file, WarcRecordType.conversion, max_bytes):
            if isinstance(item, Damage):
                tally.add_bad(file, item.position, item.problem)
                continue
            document = _parse(item, file, tally)
            if document is None:
                continue
            tally.records += 1
            if _characters(document.lines) >= min_characters:
                yield document
            else:
                tally.short += 1


def _characters(lines: Sequence[str]) -> int:
    return sum(map(len, lines)) + max(len(lines) - 1, 0)


def _parse(record: Record, file: str, tally: Tally) -> Document | None:
    headers = record.headers
    try:
        text = record.body.decode("utf-8")
        url, date = headers["WARC-Target-URI"].strip(), headers["WARC-Date"]
        domain = urlsplit(url).netloc
    except UnicodeDecodeError:
        tally.add_bad(file, record.position, f"{headers.get('WARC-Target-URI', 'a record')} is not UTF-8")
        return None
    except KeyError as error:
        tally.add_bad(file, record.position, f"a record has no {error.args[0]}")
        return None
    except ValueError:
        tally.add_bad(file, record.position, f"not a URL: {headers['WARC-Target-URI'][:100]}")
        return None
    lines = split_lines(text)
    title = lines[0] if lines else ""
    digest = headers.get("WARC-Block-Digest", "")
    return Document(url, date, digest, len(record.body), domain, title, file, lines[1:])


def split_lines(text: str) -> list[str]:
    """The stripped lines of a WET record's text, as cc_net sees them; the first is the title.

    cc_net reads the file with universal newlines, and a record is followed by two of them: it takes two empty lines
    off the end where there are two, otherwise none. So text that ends without a newline gets an empty last line.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = [line.strip() for line in text.split("\n")]
    return lines[:-1] if not lines[-1] else [*lines, ""]
