"""Lists in files, an entry a line: plain or compressed, any fsspec address, read in chunks."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.errors import XlmrError
from pipeline.packed import unpacking
from pipeline.storage import expand

CHARACTERS_AT_ONCE = 2**22


def read_blocks(pattern: str) -> Iterator[str]:
    """The text of the files of a pattern, in chunks of whole lines."""
    for address in expand(pattern):
        rest = ""
        for chunk in _read(address):
            whole, newline, rest = (rest + chunk).rpartition("\n")
            if newline:
                yield whole
        if rest:
            yield rest


def read_rows(address: str) -> Iterator[tuple[int, str]]:
    """The lines of one file that are neither empty nor comments, each with its number in the file, from 1."""
    rows = (row for block in read_blocks(address) for row in block.split("\n"))
    for number, row in enumerate(rows, 1):
        line = row.strip()
        if line and not line.startswith("#"):
            yield number, line


def _read(address: str) -> Iterator[str]:
    import fsspec

    try:
        how = {"compression": "infer", "encoding": "utf-8", "errors": "replace"}
        with unpacking(address), fsspec.open(address, "rt", **how) as handle:
            while chunk := handle.read(CHARACTERS_AT_ONCE):
                yield chunk
    except (OSError, EOFError, ValueError) as error:
        raise XlmrError(f"{address}: not readable ({error})", "check corpus.filters") from None


def read_entries(pattern: str) -> list[str]:
    """The lines of the files of a pattern that are neither empty nor comments."""
    lines = (line.strip() for block in read_blocks(pattern) for line in block.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
