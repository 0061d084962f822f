"""Writes WET files as CommonCrawl does: warcinfo, then `conversion` records, one gzip member a record."""

import base64
import gzip
import hashlib
import io
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Record:
    """The text of one fetch of one page."""

    url: str
    date: str  # ISO 8601, UTC
    text: str

    def as_bytes(self) -> bytes:
        """The WARC record, not compressed."""
        body = self.text.encode()
        digest = base64.b32encode(hashlib.sha1(body, usedforsecurity=False).digest()).decode()
        return _warc(
            {
                "WARC-Type": "conversion",
                "WARC-Target-URI": self.url,
                "WARC-Date": self.date,
                "WARC-Record-ID": _record_id("conversion", self.url, self.date),
                "WARC-Refers-To": _record_id("response", self.url, self.date),
                "WARC-Block-Digest": f"sha1:{digest}",
                "Content-Type": "text/plain",
            },
            body,
        )


def write_shard(path: Path, records: Iterable[Record], date: str) -> None:
    """Write one WET file; `date` is that of its warcinfo record."""
    with path.open("wb") as file:
        file.write(gzip_member(_warcinfo(path.name, date)))
        for record in records:
            file.write(gzip_member(record.as_bytes()))


def gzip_member(data: bytes) -> bytes:
    """Compressed bytes that depend on the data alone: no time, no file name."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as file:
        file.write(data)
    return buffer.getvalue()


def _warcinfo(file_name: str, date: str) -> bytes:
    fields = {
        "Software-Info": "xlmr samples.builder, text by Resiliparse",
        "Extracted-Date": date,
        "isPartOf": "xlmr-samples",
        "description": "Pages of free documentation, laid out as a crawl",
    }
    body = "".join(f"{name}: {value}\r\n" for name, value in fields.items()).encode()
    headers = {
        "WARC-Type": "warcinfo",
        "WARC-Date": date,
        "WARC-Filename": file_name,
        "WARC-Record-ID": _record_id("warcinfo", file_name, date),
        "Content-Type": "application/warc-fields",
    }
    return _warc(headers, body)


def _warc(headers: dict[str, str], body: bytes) -> bytes:
    headers = {**headers, "Content-Length": str(len(body))}
    lines = ["WARC/1.0", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body + b"\r\n\r\n"


def _record_id(kind: str, name: str, date: str) -> str:
    return f"<urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{kind} {name} {date}')}>"
