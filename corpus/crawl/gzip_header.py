"""Finds the end of a gzip member's header (RFC 1952): isal needs a header with optional fields in one block."""

from __future__ import annotations

LONGEST = 2**17
"""Bytes of a header with its extra field (at most 65,535), name and comment. A longer one is not read."""
_FIXED = 10
_CHECKSUM, _EXTRA, _NAME, _COMMENT = 2, 4, 8, 16


def header_continues(data: bytes) -> bool:
    """Whether the header at the start of ``data`` ends only after it, within ``LONGEST``."""
    return len(data) < LONGEST and _end(data) > len(data)


def _end(data: bytes) -> int:
    """The length of the header; where it continues after ``data``, more than that."""
    end = _FIXED
    flags = data[3] if len(data) > 3 else 0
    if flags & _EXTRA:
        end += 2 + int.from_bytes(data[end : end + 2], "little")
    for field in (_NAME, _COMMENT):
        if flags & field and end <= len(data):
            zero = data.find(b"\0", end)
            end = zero + 1 if zero >= 0 else len(data) + 1
    return end + 2 if flags & _CHECKSUM else end
