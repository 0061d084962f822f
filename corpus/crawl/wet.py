"""Documents out of the files of a crawl, by cc_net's rules: lines stripped, the first is the title, headers by name.

WET files hold text. Of WARC files, pages in HTML are made into text first (corpus/crawl/html.py), their title on top,
and then go the same way.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from corpus.crawl.dumps import segment_of
from corpus.crawl.inflate import Limits
from corpus.crawl.open_files import open_each
from corpus.crawl.settings import Read
from corpus.crawl.warc import Damage, Record, read_records

if TYPE_CHECKING:
    from typing import IO

NAMED_AT_MOST = 20
TEXT, PAGE = "conversion", "response"
_PLAIN_HOST = re.compile(r"https?://([A-Za-z0-9.:_-]+)(?=[/?#]|\Z)")


@dataclass(slots=True)  # not frozen: that takes three times as long to make, and there are thousands a second
class Document:
    """A page as crawled. ``length`` is in bytes (Content-Length); ``lines`` begin after the title, or with it."""

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
    """What was read and what was not: good records, those too short, bad places and the first of these by name.

    ``left_out`` counts records that are whole and yet no documents, by reason.
    """

    records: int = 0
    short: int = 0
    bad: int = 0
    named: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def add_bad(self, file: str, position: int, problem: str) -> None:
        """Count one more bad place."""
        self.bad += 1
        self._name(file, position, problem)

    def add_left_out(self, file: str, position: int, reason: str, *, name: bool = False) -> None:
        """Count one more record that is left out for a reason."""
        self.left_out[reason] += 1
        if name:
            self._name(file, position, reason)

    def _name(self, file: str, position: int, problem: str) -> None:
        if len(self.named) < NAMED_AT_MOST:
            # What a file says of itself may be in a problem: one line, whatever it holds.
            line = f"{file}: {problem} (byte {position:,}); left out"
            self.named.append("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line))


def read_crawl(files: Sequence[str], read: Read, tally: Tally, missing: list[str] | None = None) -> Iterator[Document]:
    """The documents of one shard, in order, as ``read`` says. Files that lie elsewhere are fetched first.

    Records that are damaged, are not UTF-8 or lack a header are left out and counted in ``tally``. Files that are gone
    are left out and added to ``missing``.
    Errors: XlmrError for a file that cannot be had; GoneError for one that is gone, where ``missing`` is None.
    """
    left = read.documents
    for file, stream in open_each(files, read.download, missing):
        for document in _of_file(file, stream, read, tally):
            yield document
            if left is not None:
                left -= 1
                if left == 0:
                    return


def read_documents(files: Sequence[str], min_characters: int, max_bytes: int, tally: Tally) -> Iterator[Document]:
    """``read_crawl`` with everything else at its default."""
    return read_crawl(files, Read(min_characters=min_characters, max_record_bytes=max_bytes), tally)


def _of_file(file: str, stream: IO[bytes], read: Read, tally: Tally) -> Iterator[Document]:
    limits = Limits(read.max_file_bytes, read.max_growth)
    segment = segment_of(file)
    for item in read_records(stream, (TEXT, PAGE), read.max_record_bytes, limits):
        if isinstance(item, Damage):
            tally.add_bad(file, item.position, item.problem)
            continue
        text = _text_of(item, file, read, tally)
        if text is None:
            continue
        document = _parse(item, text, file, segment, tally)
        if document is None:
            continue
        longest = read.max_line_characters
        if len(text) > longest and max(map(len, [document.title, *document.lines])) > longest:
            reason = f"a line of more than {longest:,} characters"
            tally.add_left_out(file, item.position, reason, name=True)
            continue
        tally.records += 1
        if _has_characters(document.lines, read.min_characters):
            if read.title == "paragraph":
                document.lines.insert(0, document.title)
            yield document
        else:
            tally.short += 1


def _has_characters(lines: Sequence[str], least: int) -> bool:
    """Whether the lines, joined by newlines, have so many characters. Mostly the first lines decide."""
    characters = -1
    for line in lines:
        characters += len(line) + 1
        if characters >= least:
            return True
    return max(characters, 0) >= least


def _text_of(record: Record, file: str, read: Read, tally: Tally) -> str | None:
    """The record's text, title first; None, and counted, if it has none or too many lines of it."""
    if record.headers["warc-type"] == PAGE:
        from corpus.crawl.html import NotAPage, text_of_page

        try:
            text = text_of_page(record.body, main_content=read.main_content, max_bytes=read.max_record_bytes)
        except NotAPage as error:
            tally.add_left_out(file, record.position, error.reason)
            return None
    else:
        try:
            text = record.body.decode("utf-8")
        except UnicodeDecodeError:
            url = record.headers.get("warc-target-uri", "a record")
            tally.add_bad(file, record.position, f"{url[:200]} is not UTF-8")
            return None
    if len(text) > read.max_lines and text.count("\n") + text.count("\r") > read.max_lines:
        tally.add_left_out(file, record.position, f"more than {read.max_lines:,} lines", name=True)
        return None
    return text


def _parse(record: Record, text: str, file: str, segment: str, tally: Tally) -> Document | None:
    headers = record.headers
    try:
        url, date = headers["warc-target-uri"], headers["warc-date"]
        domain = domain_of(url)
    except KeyError as error:
        tally.add_bad(file, record.position, f"a record has no {error.args[0]}")
        return None
    except ValueError:
        tally.add_bad(file, record.position, f"not a URL: {headers['warc-target-uri'][:100]}")
        return None
    length = len(record.body) if headers["warc-type"] == TEXT else len(text.encode("utf-8", "replace"))
    lines = split_lines(text)
    title = lines[0] if lines else ""
    digest = headers.get("warc-block-digest", "")
    return Document(url, date, digest, length, domain, title, segment, lines[1:])


def domain_of(url: str) -> str:
    """``urlsplit(url).netloc``, at once where the host is plain. Errors: ValueError."""
    plain = _PLAIN_HOST.match(url)
    return plain[1] if plain else urlsplit(url).netloc


def split_lines(text: str) -> list[str]:
    """The stripped lines of a WET record's text, as cc_net sees them; the first is the title.

    cc_net reads the file with universal newlines, and a record is followed by two of them: it takes two empty lines
    off the end where there are two, otherwise none. So text that ends without a newline gets an empty last line.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = list(map(str.strip, text.split("\n")))
    if lines[-1]:
        lines.append("")
    else:
        lines.pop()
    return lines
