"""Labelled text for training and measuring: files ``<language>.txt[.xz …]``, a paragraph a line, an empty line ends a
document; cut into excerpts of the lengths that texts of a crawl have.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from corpus.language.labels import LABEL
from pipeline.errors import XlmrError
from pipeline.packed import unpacking
from pipeline.storage import expand, is_local

MAX_CHARACTERS = 50_000_000
"""Of one language that are read; the rest of its files is left out."""

MEDIAN_CHARACTERS, SPREAD = 40, 1.1
"""Lengths of excerpts are drawn from a log-normal distribution, and kept between these bounds: a web page has as many
labels of a few characters as paragraphs."""
SHORTEST, LONGEST = 3, 200
_AT_ONCE = 1_000

_LONG_WORD = 30
"""An excerpt ends at a space, if there is one within so many characters; scripts without spaces are cut anywhere."""


@dataclass(frozen=True)
class LabelledDocument:
    """Paragraphs of one language."""

    language: str
    paragraphs: Sequence[str]

    @property
    def text(self) -> str:
        """As one line."""
        return " ".join(self.paragraphs)


def find_files(pattern: str) -> dict[str, list[str]]:
    """The files of each language in a folder or pattern, sorted. Errors: XlmrError for a name that is no language."""
    addresses = expand(pattern)
    if len(addresses) == 1 and ".txt" not in PurePosixPath(addresses[0]).name:
        addresses = expand(f"{pattern.rstrip('/')}/*.txt*")
    found: dict[str, list[str]] = {}
    for address in addresses:
        language = PurePosixPath(address).name.partition(".txt")[0]
        if not LABEL.fullmatch(language):
            raise XlmrError(f"{address}: its name is not a language code", "name it <language>.txt, as de.txt.xz")
        found.setdefault(language, []).append(address)
    return found


def read_documents(language: str, addresses: Sequence[str]) -> Iterator[LabelledDocument]:
    """The documents of a language, up to MAX_CHARACTERS of it. Errors: XlmrError for a file that is no UTF-8 text."""
    left = MAX_CHARACTERS
    for address in addresses:
        paragraphs: list[str] = []
        for line in _lines(address):
            if line:
                paragraphs.append(line)
                left -= len(line)
            elif paragraphs:
                yield LabelledDocument(language, paragraphs)
                paragraphs = []
            if left <= 0:
                break
        if paragraphs:
            yield LabelledDocument(language, paragraphs)


def _lines(address: str) -> Iterator[str]:
    import fsspec

    try:
        with unpacking(address), fsspec.open(address, "rt", compression="infer", encoding="utf-8") as handle:
            for line in handle:
                yield " ".join(line.split())
    except UnicodeDecodeError as error:
        raise XlmrError(
            f"{address}: cannot be read as text ({error})", "give UTF-8 text, plain or compressed"
        ) from None


def split_off(
    documents: Sequence[LabelledDocument], share: float
) -> tuple[list[LabelledDocument], list[LabelledDocument]]:
    """Whole documents, by a checksum of their text: those to train on, and about ``share`` of them held out.

    The same text is always on the same side, whatever stands around it.
    """
    edge = int(share * 2**32)
    sides: tuple[list[LabelledDocument], list[LabelledDocument]] = ([], [])
    for document in documents:
        sides[zlib.crc32(document.text.encode("utf-8", "replace")) < edge].append(document)
    return sides


def draw_excerpts(documents: Sequence[LabelledDocument], characters: float, rng: np.random.Generator) -> list[str]:
    """Excerpts from places drawn at random, until they hold so many characters. Short text is cut several times."""
    texts = [document.text for document in documents]
    texts = [text for text in texts if len(text) >= SHORTEST] or [" ".join(texts)]
    ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
    made: list[str] = []
    while characters > 0 and texts[0]:
        places = np.searchsorted(ends, rng.integers(int(ends[-1]), size=_AT_ONCE), side="right")
        lengths = np.clip(rng.lognormal(np.log(MEDIAN_CHARACTERS), SPREAD, _AT_ONCE), SHORTEST, LONGEST).astype(int)
        for place, length, share in zip(places.tolist(), lengths.tolist(), rng.random(_AT_ONCE).tolist(), strict=True):
            text = texts[place]
            made.append(cut(text, int(share * (max(len(text) - length, 0) + 1)), length))
            characters -= len(made[-1]) + 1
            if characters <= 0:
                break
    return made


def cut(text: str, start: int, length: int) -> str:
    """About ``length`` characters from ``start``, moved on to where words begin and end if that is near."""
    if start:
        space = re.compile(r"\s").search(text, start - 1, start + _LONG_WORD)
        start = space.end() if space else start
    stop = start + length
    if stop < len(text):
        space = re.compile(r"\s|$").search(text, stop, stop + _LONG_WORD)
        stop = space.start() if space and space.start() - stop < _LONG_WORD else stop
    return text[start:stop].strip()


def checksums(files: Mapping[str, Sequence[str]]) -> dict[str, dict[str, str]]:
    """SHA-256 of each local file by language and name, what the file system calls a checksum of the others."""
    from pathlib import Path

    import fsspec

    from pipeline.storage import sha256_of_file

    def checksum(address: str) -> str:
        if is_local(address):
            return sha256_of_file(Path(address))
        filesystem, path = fsspec.core.url_to_fs(address)
        return str(filesystem.checksum(path))

    return {
        language: {PurePosixPath(address).name: checksum(address) for address in addresses}
        for language, addresses in files.items()
    }
