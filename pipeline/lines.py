"""Lines that are too long for a tool, cut into parts."""

from __future__ import annotations

from collections.abc import Iterator


def cut(line: bytes, longest: int) -> Iterator[bytes]:
    """``line`` in parts of at most ``longest`` bytes, cut at a space if there is one, else a character."""
    start, size = 0, len(line)
    while size - start > longest:
        end = line.rfind(b" ", start + 1, start + longest + 1)
        if end < 0:
            end = start + longest
            while line[end] & 0xC0 == 0x80:  # inside a character of UTF-8
                end -= 1
        yield line[start:end]
        start = end + (line[end : end + 1] == b" ")
    yield line[start:]
