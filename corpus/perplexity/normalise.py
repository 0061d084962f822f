"""The language model's normalisation over many texts at once: a table of characters instead of a chain of passes.

Every step of ``normalise_for_language_model`` works a character at a time but two: the final sigma of Greek depends on
its neighbours, and NFD puts marks in order, which shows where a mark that takes part is not removed (some Indic signs,
musical notes). So texts are laid end to end as UTF-32 and each character is looked up; the few texts that hold such a
mark are done again the plain way.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from corpus.normalise import changeable, normalise_for_language_model

Codes = npt.NDArray[np.uint32]

CHARACTERS_AT_ONCE = 1 << 16
"""Characters that are looked up in one go: what is in hand stays in the processor's cache."""

_CODE_POINTS = 0x110000
_MOVED = _CODE_POINTS
_SEVERAL = _CODE_POINTS + 1
_MOST = 3
_FENCE = "\ue000"
"""A character for private use: it has no case and no decomposition, and changes no neighbour."""


@dataclass(frozen=True)
class _CharacterTable:
    """The replacement of each code point.

    ``one``      [0x110000] the character that it becomes; 0 where it goes; ``_MOVED`` where the text must be done the
                 plain way; ``_SEVERAL`` + row where it becomes more than one.
    ``several``  [rows, 3] those characters, then 0.
    ``ascii``    the 256 bytes of ``bytes.translate``, and the bytes that go.
    """

    one: Codes
    several: Codes
    ascii: bytes
    ascii_gone: bytes


@cache
def _table() -> _CharacterTable:
    """Made once a process, by the plain function, in less than 0.1 s."""
    codes = [code for code in changeable() if chr(code) != _FENCE]
    fenced = _FENCE + _FENCE.join(map(chr, codes)) + _FENCE
    moving = {chr(code) for code in codes if unicodedata.combining(chr(code))}  # those that are Mn do not come out
    one = np.arange(_CODE_POINTS, dtype=np.uint32)
    several: list[list[int]] = []
    for code, text in zip(codes, normalise_for_language_model(fenced).split(_FENCE)[1:-1], strict=True):
        if not moving.isdisjoint(text):
            one[code] = _MOVED
        elif len(text) < 2:
            one[code] = ord(text) if text else 0
        else:
            one[code] = _SEVERAL + len(several)
            several.append([*map(ord, text), *[0] * (_MOST - len(text))])
    return _CharacterTable(
        one,
        np.array(several, np.uint32),
        bytes(one[:128].astype(np.uint8)) + bytes(128),
        bytes(code for code in range(128) if one[code] == 0),
    )


def normalise_batch(texts: Sequence[str]) -> list[bytes]:
    """``normalise_for_language_model`` of each text, as UTF-8. A lone surrogate becomes a question mark."""
    normalised = [b""] * len(texts)
    table = _table()
    waiting: list[int] = []
    characters = 0
    for number, text in enumerate(texts):
        if text.isascii():
            normalised[number] = text.strip().encode().translate(table.ascii, table.ascii_gone)
            continue
        waiting.append(number)
        characters += len(text)
        if characters > CHARACTERS_AT_ONCE:
            _look_up(texts, waiting, normalised, table)
            waiting, characters = [], 0
    if waiting:
        _look_up(texts, waiting, normalised, table)
    return normalised


def _look_up(texts: Sequence[str], numbers: Sequence[int], normalised: list[bytes], table: _CharacterTable) -> None:
    """Normalise the texts of these numbers."""
    prepared = [_prepare(texts[number]) for number in numbers]
    codes = np.frombuffer("\n".join(prepared).encode("utf-32-le", "replace"), np.uint32)
    folded = table.one.take(codes, mode="clip")
    ends = np.cumsum([len(text) + 1 for text in prepared])
    folded[ends[:-1] - 1] = ord("\n")  # between two texts; the newlines inside became 0
    plainly: list[int] = []
    if folded.max(initial=0) >= _MOVED:
        plainly = np.unique(np.searchsorted(ends, np.flatnonzero(folded == _MOVED), side="right")).tolist()
        folded = _write_out(folded, table)
    lines = folded[folded != 0].tobytes().decode("utf-32-le").encode().split(b"\n")
    for number, line in zip(numbers, lines, strict=True):
        normalised[number] = line
    for place in plainly:
        number = numbers[place]
        normalised[number] = normalise_for_language_model(texts[number]).encode("utf-8", "replace")


def _prepare(text: str) -> str:
    """Without the space around it; what is common and would cost the table's slow way is done first."""
    text = text.strip()
    if "Σ" in text:
        text = text.lower()  # of all letters, only this one depends on its neighbours
    if "…" in text:
        text = text.replace("…", "...")
    if "—" in text:
        text = text.replace("—", " - ")
    return text


def _write_out(folded: Codes, table: _CharacterTable) -> Codes:
    """With the characters that become several in their places; 0 for those that are moved."""
    wide = np.zeros((len(folded), _MOST), np.uint32)
    wide[:, 0] = folded
    wide[folded == _MOVED, 0] = 0
    places = np.flatnonzero(folded >= _SEVERAL)
    wide[places] = table.several[folded[places] - _SEVERAL]
    return wide.ravel()
