"""Parallel text as OPUS lays it out: NAME.de-en.tsv with two columns, or NAME.de-en.de beside NAME.de-en.en.

Lines that are translations of each other, from files at any fsspec address, plain or compressed.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from pipeline.errors import XlmrError
from pipeline.packed import unpacking
from pipeline.storage import expand

CODE = r"[a-z]{2,3}(?:_[a-z]+|-Han[st])?"
NAME = re.compile(rf"(?P<stem>(?:.*[/.])?(?P<a>{CODE})-(?P<b>{CODE}))\.(?P<kind>tsv|{CODE})(?:\.(?:gz|xz|bz2))?")
"""Language codes as CC100 writes them."""


@dataclass(frozen=True)
class ParallelText:
    """Two languages, and the file with both of them or the file of each."""

    first: str
    second: str
    files: tuple[str, ...]

    @property
    def pair(self) -> str:
        """``de-en``, in the order of the alphabet, whatever the order in the files."""
        return "-".join(sorted((self.first, self.second)))


def find_texts(patterns: Iterable[str]) -> list[ParallelText]:
    """The parallel texts that addresses or patterns name, in order. Errors: XlmrError naming a file that is not one."""
    texts: list[ParallelText] = []
    sides: dict[tuple[str, str, str], dict[str, str]] = {}
    for address in sorted({address for pattern in patterns for address in expand(pattern)}):
        match = NAME.fullmatch(address)
        if match is None or match["kind"] not in {"tsv", match["a"], match["b"]}:
            raise XlmrError(
                f"{address}: its name does not say which languages it has",
                "call it NAME.de-en.tsv, or NAME.de-en.de and NAME.de-en.en",
            )
        if match["kind"] == "tsv":
            texts.append(ParallelText(match["a"], match["b"], (address,)))
        else:
            sides.setdefault((match["stem"], match["a"], match["b"]), {})[match["kind"]] = address
    for (_, first, second), files in sides.items():
        missing = {first, second} - files.keys()
        if missing:
            raise XlmrError(
                f"{next(iter(files.values()))}: there is no file for {missing.pop()} beside it",
                "name both in pretrain.pairs.files",
            )
        texts.append(ParallelText(first, second, (files[first], files[second])))
    return texts


def read_pairs(text: ParallelText, size: int) -> Iterator[list[tuple[str, str]]]:
    """Batches of (line, its translation), white space around them cut off; a side that is missing is empty."""
    lines = _columns(text.files[0]) if len(text.files) == 1 else _beside(text)
    while batch := list(itertools.islice(lines, size)):
        yield batch


def _columns(address: str) -> Iterator[tuple[str, str]]:
    with _open(address) as file:
        for line in file:
            columns = line.split("\t")
            yield (columns[0].strip(), columns[1].strip()) if len(columns) > 1 else (line.strip(), "")


def _beside(text: ParallelText) -> Iterator[tuple[str, str]]:
    with _open(text.files[0]) as left, _open(text.files[1]) as right:
        for number, (one, other) in enumerate(itertools.zip_longest(left, right)):
            if one is None or other is None:
                short = text.files[0] if one is None else text.files[1]
                raise XlmrError(
                    f"{short}: ends after line {number}, the file beside it has more", "the two are not parallel"
                )
            yield one.strip(), other.strip()


@contextmanager
def _open(address: str) -> Iterator[IO[Any]]:
    """Lines end at a line feed alone; what is not UTF-8 is replaced. Errors: XlmrError for a damaged file."""
    import fsspec

    how = {"compression": "infer", "encoding": "utf-8", "errors": "replace", "newline": "\n"}
    with unpacking(address), fsspec.open(address, "rt", **how) as file:
        yield file
