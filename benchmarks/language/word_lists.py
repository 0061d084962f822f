"""Common words of a language, drawn as often as they are used: stand-ins for colloquial text where packages have none.

A fastText model sees a bag of words and n-grams, so words in any order teach it what sentences would.
"""

from __future__ import annotations

import gzip
import random
import subprocess
import zipfile
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

from samples.builder.fetch import PackageError

WORDS_A_PARAGRAPH, PARAGRAPHS_A_DOCUMENT, DOCUMENTS = 12, 10, 150
MOST_WORDS = 20_000


def wheel(name: str, version: str, sha256: str, cache: Path) -> Path:
    """A wheel of the Python package index, in the cache folder."""
    import hashlib

    file = cache / f"{name}-{version}-py3-none-any.whl"
    if not file.exists():
        command = ["pip", "download", "--quiet", "--no-deps", "--dest", str(cache), f"{name}=={version}"]
        subprocess.run(command, check=True)
    if hashlib.sha256(file.read_bytes()).hexdigest() != sha256:
        raise PackageError(f"{file} is not the pinned file; remove it, and fetch {version} again")
    return file


def frequencies(file: Path, language: str) -> dict[str, float]:
    """Words of wordfreq's small list, and how often they are used."""
    with zipfile.ZipFile(file) as files:
        packed = gzip.decompress(files.read(f"wordfreq/data/small_{language}.msgpack.gz"))
    rows, _ = _unpack(packed, 0)
    # rows[0] describes the list; row n holds the words of frequency 10^(-(n - 1) / 100).
    return {word: 10 ** (-(n - 1) / 100) for n, words in enumerate(rows) if n for word in words}


def dictionary(folder: Path) -> dict[str, float]:
    """Words of a spelling dictionary, all as often."""
    (file,) = folder.rglob("*.dic")
    return dict.fromkeys((line.partition("/")[0] for line in file.read_text("utf-8").splitlines()[1:]), 1.0)


def documents(words: dict[str, float], seed: str) -> Iterator[list[str]]:
    """Paragraphs of words drawn by frequency."""
    rng = random.Random(seed)
    chosen = sorted(words, key=lambda word: (-words[word], word))[:MOST_WORDS]
    weights = list(accumulate(words[word] for word in chosen))
    for _ in range(DOCUMENTS):
        drawn = rng.choices(chosen, cum_weights=weights, k=WORDS_A_PARAGRAPH * PARAGRAPHS_A_DOCUMENT)
        yield [" ".join(drawn[i : i + WORDS_A_PARAGRAPH]) for i in range(0, len(drawn), WORDS_A_PARAGRAPH)]


def _unpack(data: bytes, at: int) -> tuple[Any, int]:
    """The part of MessagePack that the lists use: maps, lists, strings, small numbers."""
    kind = data[at]
    at += 1
    if kind < 0x80:
        return kind, at
    if kind < 0x90:
        return _map(data, at, kind & 15)
    if kind < 0xA0:
        return _list(data, at, kind & 15)
    if kind < 0xC0:
        return _text(data, at, kind & 31)
    width = {0xD9: 1, 0xDA: 2, 0xDB: 4, 0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4, 0xCC: 1, 0xCD: 2, 0xCE: 4}[kind]
    number = int.from_bytes(data[at : at + width], "big")
    at += width
    if kind in (0xD9, 0xDA, 0xDB):
        return _text(data, at, number)
    if kind in (0xDC, 0xDD):
        return _list(data, at, number)
    return _map(data, at, number) if kind in (0xDE, 0xDF) else (number, at)


def _text(data: bytes, at: int, size: int) -> tuple[str, int]:
    return data[at : at + size].decode(), at + size


def _list(data: bytes, at: int, size: int) -> tuple[list[Any], int]:
    made = []
    for _ in range(size):
        value, at = _unpack(data, at)
        made.append(value)
    return made, at


def _map(data: bytes, at: int, size: int) -> tuple[dict[Any, Any], int]:
    flat, at = _list(data, at, 2 * size)
    return dict(zip(flat[::2], flat[1::2], strict=True)), at
