"""Documents out of the files of a crawl, by cc_net's rules: lines stripped, the first is the title, headers by name.

WET files hold text. Of WARC files, pages in HTML are made into text first (corpus/crawl/html.py), their title on top,
and then go the same way. Files of documents (corpus/documents/) have a column of text; their title is a column too.
"""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from corpus.crawl.addresses import public_segment
from corpus.crawl.inflate import Limits
from corpus.crawl.open_files import open_each
from corpus.crawl.settings import Read
from corpus.crawl.tally import Tally
from corpus.crawl.warc import Damage, Record, read_records
from corpus.documents.read import read_rows, unit_of
from corpus.documents.row import BadRow, TextRow

if TYPE_CHECKING:
    from typing import IO

    from corpus.crawl.chosen import Chosen

TEXT, PAGE = "conversion", "response"
NOT_CHOSEN = "not chosen by the URL index"
_PLAIN_HOST = re.compile(r"https?://([A-Za-z0-9.:_-]+)(?=[/?#]|\Z)")


@dataclass(slots=True)  # not frozen: that takes three times as long to make, and there are thousands a second
class Document:
    """A page as crawled. ``length`` is in bytes (Content-Length); ``lines`` begin after the title, or with it.

    ``declared``  the tag of the language that a page of HTML declares; '' where there is none, and in WET.
    """

    url: str
    date_download: str
    digest: str
    length: int
    source_domain: str
    title: str
    segment: str
    lines: list[str]
    declared: str = ""


def read_crawl(
    files: Sequence[str],
    read: Read,
    tally: Tally,
    missing: list[str] | None = None,
    root: str = "",
    chosen: Chosen | None = None,
) -> Iterator[Document]:
    """The documents of one shard, in order, as ``read`` says. Files that lie elsewhere are fetched first.

    Records that are damaged, are not UTF-8 or lack a header are left out and counted in ``tally``. Files that are gone
    are left out and added to ``missing``. ``root`` is left out of the segments of local files. ``chosen``: what alone
    is read of them.
    Errors: XlmrError for a file that cannot be had; GoneError for one that is gone, where ``missing`` is None.
    """
    left = read.documents
    for file, stream in open_each(files, read.download, missing, chosen.ranges if chosen else None):
        urls = chosen.urls.get(file) if chosen else None
        with tally.of_file(file, size_of(stream)):
            for document in _of_file(file, public_segment(file, root), stream, read, tally):
                if urls is not None and document.url not in urls:
                    tally.left_out[NOT_CHOSEN] += 1
                    continue
                yield document
                if left is not None:
                    left -= 1
                    if left == 0:
                        return


def size_of(stream: IO[bytes]) -> int:
    """Bytes of an open file, which stays where it is."""
    place = stream.tell()
    size = stream.seek(0, io.SEEK_END)
    stream.seek(place)
    return size


def read_documents(files: Sequence[str], min_characters: int, max_bytes: int, tally: Tally) -> Iterator[Document]:
    """``read_crawl`` with everything else at its default."""
    return read_crawl(files, Read(min_characters=min_characters, max_record_bytes=max_bytes), tally)


def _of_file(file: str, segment: str, stream: IO[bytes], read: Read, tally: Tally) -> Iterator[Document]:
    """The documents of a file that are long enough and within the limits."""
    unit = unit_of(file)
    found = (_of_rows if unit else _of_records)(file, segment, stream, read, tally)
    longest = read.max_line_characters
    for position, document in found:
        # Bytes are no fewer than characters.
        if document.length > longest and max(map(len, [document.title, *document.lines])) > longest:
            reason = f"a line of more than {longest:,} characters"
            tally.add_left_out(file, position, reason, name=True, unit=unit or "byte")
            continue
        tally.records += 1
        if _has_characters(document.lines, read.min_characters):
            if read.title == "paragraph" and (document.title or not unit):
                document.lines.insert(0, document.title)
            yield document
        else:
            tally.short += 1


def _of_rows(file: str, segment: str, stream: IO[bytes], read: Read, tally: Tally) -> Iterator[tuple[int, Document]]:
    """Each document of JSON lines, Parquet or Arrow with its line or row."""
    unit = unit_of(file) or "row"
    for row in read_rows(file, stream, read.columns, read.max_record_bytes, read.max_file_bytes):
        if isinstance(row, BadRow):
            tally.add_bad(file, row.number, row.problem, unit=unit, count=row.rows, lost_bytes=row.lost_bytes)
        elif _has_too_many_lines(row.text, read):
            reason = f"more than {read.max_lines:,} lines"
            tally.add_left_out(file, row.number, reason, name=True, unit=unit)
        else:
            yield row.number, _document_of(row, segment, read)


def _document_of(row: TextRow, segment: str, read: Read) -> Document:
    try:
        domain = domain_of(row.url)
    except ValueError:
        domain = ""  # the text is there, whatever stands beside it
    lines = stripped_lines(in_normal_form(row.text, read.normal_form))
    title = in_normal_form(row.title, read.normal_form)
    return Document(row.url, row.date, row.digest, row.size, domain, title, segment, lines)


def _of_records(file: str, segment: str, stream: IO[bytes], read: Read, tally: Tally) -> Iterator[tuple[int, Document]]:
    """Each document of a WET or WARC file with the place of its record."""
    limits = Limits(read.max_file_bytes, read.max_growth)
    for item in read_records(stream, (TEXT, PAGE), read.max_record_bytes, limits):
        if isinstance(item, Damage):
            tally.add_damage(file, item)
            continue
        page = _page_of(item, file, read, tally)
        if page is None:
            continue
        text, declared = page
        document = _parse(item, in_normal_form(text, read.normal_form), file, segment, tally)
        if document is not None:
            document.declared = declared
            yield item.position, document


def _has_characters(lines: Sequence[str], least: int) -> bool:
    """Whether the lines, joined by newlines, have so many characters. Mostly the first lines decide."""
    characters = -1
    for line in lines:
        characters += len(line) + 1
        if characters >= least:
            return True
    return max(characters, 0) >= least


def _page_of(record: Record, file: str, read: Read, tally: Tally) -> tuple[str, str] | None:
    """The record's text, title first, and the tag of the language that it declares, '' for none.

    None, and counted, if it has no text or too many lines of it.
    """
    declared = ""
    if record.headers["warc-type"] == PAGE:
        from corpus.crawl.html import NotAPage, text_of_page

        try:
            page = text_of_page(record.body, main_content=read.main_content, max_bytes=read.max_record_bytes)
        except NotAPage as error:
            tally.add_left_out(file, record.position, error.reason)
            if error.lost:
                tally.add_lost_page(error.reason)
            return None
        tally.add_page(cut=page.cut)
        text, declared = page.text, page.declared
    else:
        try:
            text = record.body.decode("utf-8")
        except UnicodeDecodeError:
            url = record.headers.get("warc-target-uri", "a record")
            tally.add_bad(file, record.position, f"{url[:200]} is not UTF-8")
            return None
    if _has_too_many_lines(text, read):
        tally.add_left_out(file, record.position, f"more than {read.max_lines:,} lines", name=True)
        return None
    return text, declared


def _has_too_many_lines(text: str, read: Read) -> bool:
    return len(text) > read.max_lines and text.count("\n") + text.count("\r") > read.max_lines


def in_normal_form(text: str, form: Literal["as_is", "nfc"]) -> str:
    """The text as it is, or in Unicode's composed form (NFC); most text is in it already, which is found out faster."""
    if form == "as_is" or text.isascii() or unicodedata.is_normalized("NFC", text):
        return text
    return unicodedata.normalize("NFC", text)


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
    lines = stripped_lines(text)
    if lines[-1]:
        lines.append("")
    else:
        lines.pop()
    return lines


def stripped_lines(text: str) -> list[str]:
    """The lines of a text, one at least, without white space around them; any of the three newlines ends one."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return list(map(str.strip, text.split("\n")))
