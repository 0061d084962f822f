"""WET files made by hand, for the tests of reading."""

from __future__ import annotations

import gzip
from pathlib import Path


def wet_record(number: int, text: str | bytes, length: object = None, version: str = "WARC/1.0") -> bytes:
    """One WET record, not compressed. ``length`` overrides what the header says."""
    body = text if isinstance(text, bytes) else text.encode()
    head = (
        f"{version}\r\nWARC-Type: conversion\r\nWARC-Target-URI: https://example.org/{number}\r\n"
        f"WARC-Date: 2019-01-15T23:59:59Z\r\nWARC-Record-ID: <urn:uuid:{number}>\r\n"
        f"WARC-Block-Digest: sha1:X{number}\r\nContent-Type: text/plain\r\n"
        f"Content-Length: {len(body) if length is None else length}\r\n\r\n"
    )
    return head.encode() + body + b"\r\n\r\n"


def wet_file(path: Path, *records: bytes) -> Path:
    """A WET file with a gzip member a record."""
    path.write_bytes(b"".join(gzip.compress(record) for record in records))
    return path
