"""WARC-Block-Digest: checks a record's content against its checksum."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping

_ALGORITHMS = {"sha1": "sha1", "sha-1": "sha1", "sha256": "sha256", "sha-256": "sha256", "md5": "md5"}


def digest_fits(headers: Mapping[str, str], body: bytes) -> bool | None:
    """Whether the digest is that of ``body``; None if there is none that can be read."""
    name, _, value = headers.get("warc-block-digest", "").partition(":")
    algorithm = _ALGORITHMS.get(name.strip().lower())
    if algorithm is None:
        return None
    found = hashlib.new(algorithm, body, usedforsecurity=False).digest()
    value = value.strip()
    try:
        declared = bytes.fromhex(value) if len(value) == 2 * len(found) else base64.b32decode(value.upper())
    except (ValueError, binascii.Error):
        return None
    return declared == found if len(declared) == len(found) else None
