"""A SentencePiece model file, read and changed without SentencePiece: its pieces, its normalisation, its scores.

bytes of a .model -> ModelFile; bytes and a number of bits -> bytes with rounded scores. The format is protocol buffers'
wire format with the fields of sentencepiece_model.proto; the wheel's own reader asks for a newer protobuf than Beam.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import XlmrError

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
"""ModelProto.SentencePiece.Type."""

KINDS = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}
"""TrainerSpec.ModelType."""

PIECES, TRAINER, NORMALISER = 1, 2, 3
"""Fields of ModelProto."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class ModelFile:
    """What a model file says. ``scores`` are float32 [pieces], ``types`` the pieces' types, both by SentencePiece's
    ids.
    """

    kind: str
    pieces: list[str]
    scores: NDArray[np.float32]
    types: NDArray[np.int64]
    byte_fallback: bool
    split_by_white_space: bool
    white_space_as_suffix: bool
    normalisation: str
    charsmap: bytes
    dummy_prefix: bool
    remove_extra_white_space: bool
    escape_white_space: bool

    @cached_property
    def characters(self) -> frozenset[str]:
        """Every character that stands in some piece that text can become."""
        return frozenset("".join(self.pieces[number] for number in np.flatnonzero(self.types == NORMAL)))

    @property
    def rules(self) -> Mapping[str, str]:
        """The normalisation as a table: what is replaced, leftmost and longest first, by what."""
        return read_charsmap(self.charsmap)


def read_model(path: Path) -> ModelFile:
    """Read a model file. Errors: XlmrError naming it where it is none, or cut short."""
    data = path.read_bytes()
    check_whole(data, path)
    pieces, scores, types = [], [], []
    trainer: dict[int, int] = {}
    normaliser: dict[int, bytes | int] = {}
    for field, _, start, end in _fields(data, 0, len(data)):
        if field == PIECES:
            text, score, kind = _piece(data, start, end)
            pieces.append(text)
            scores.append(score)
            types.append(kind)
        elif field == TRAINER:
            trainer = {f: _varint(data, s)[0] for f, wire, s, _ in _fields(data, start, end) if wire == _VARINT}
        elif field == NORMALISER:
            normaliser = {
                f: data[s:e] if wire == _BYTES else _varint(data, s)[0] for f, wire, s, e in _fields(data, start, end)
            }
    name, charsmap = normaliser.get(1, b""), normaliser.get(2, b"")
    assert isinstance(name, bytes)
    assert isinstance(charsmap, bytes)
    return ModelFile(
        kind=KINDS.get(trainer.get(3, 1), "unknown"),
        pieces=pieces,
        scores=np.array(scores, dtype=np.float32),
        types=np.array(types),
        byte_fallback=bool(trainer.get(35, 0)),
        split_by_white_space=bool(trainer.get(22, 1)),
        white_space_as_suffix=bool(trainer.get(24, 0)),
        normalisation=name.decode(),
        charsmap=charsmap,
        dummy_prefix=bool(normaliser.get(3, 1)),
        remove_extra_white_space=bool(normaliser.get(4, 1)),
        escape_white_space=bool(normaliser.get(5, 1)),
    )


def check_whole(data: bytes, path: Path) -> None:
    """Errors: XlmrError where the file is cut short. SentencePiece itself takes one that ends between two pieces."""
    broken = XlmrError(
        f"{path}: not a SentencePiece model, or cut short", "copy it again, or run tokenizer.train again"
    )
    pieces = expected = 0
    normalised = False
    try:
        for field, _, start, end in _fields(data, 0, len(data)):
            if field == PIECES:
                pieces += 1
            elif field == TRAINER:
                inside = {f: s for f, wire, s, _ in _fields(data, start, end) if wire == _VARINT}
                expected = _varint(data, inside[4])[0] if 4 in inside else 8000  # vocab_size, and its default
            normalised |= field == NORMALISER
    except (IndexError, ValueError):
        raise broken from None
    # Other trainers (of Llama, of T5) write models with fewer or more pieces than their trainer's setting says.
    if not pieces or not normalised or not expected:
        raise broken


def round_scores(data: bytes, bits: int) -> bytes:
    """The same model with every score rounded to a multiple of 2^-bits, as a float32 holds it exactly.

    Sums of such scores are exact in 32 bits up to 2^(24 - bits), so that a text's best pieces do not depend on who adds
    them up, in which order, in how many bits.
    """
    return _change_scores(data, lambda score: float(np.ldexp(np.rint(np.ldexp(score, bits)), -bits)))


def _change_scores(data: bytes, change: Callable[[float], float]) -> bytes:
    changed = bytearray(data)
    for field, _, start, end in _fields(data, 0, len(data)):
        if field == PIECES:
            for inner, wire, place, _ in _fields(data, start, end):
                if inner == 2 and wire == _FIXED32:
                    struct.pack_into("<f", changed, place, change(struct.unpack_from("<f", data, place)[0]))
    return bytes(changed)


@lru_cache(maxsize=2)
def read_charsmap(charsmap: bytes) -> Mapping[str, str]:
    """The rules of a precompiled charsmap: a Darts double array from keys to places in a table of ended strings.

    It takes half a second, and most models have the same one.

    Source: sentencepiece's normalizer.cc (DecodePrecompiledCharsMap) and darts.h (DoubleArrayUnit).
    """
    if not charsmap:
        return {}
    (size,) = struct.unpack_from("<I", charsmap)
    units = np.frombuffer(charsmap, "<u4", size // 4, 4).tolist()
    texts = charsmap[4 + size :]
    rules: dict[str, str] = {}
    labels: dict[int, list[tuple[int, int]]] = {}
    for place, unit in enumerate(units):
        label = unit & 0x800000FF
        if 0 < label < 256:  # a node that is reached by this byte: its parent's place xor its offset is place xor byte
            labels.setdefault(place ^ label, []).append((label, place))
    waiting = [(_offset(units[0]), b"")]
    while waiting:
        base, key = waiting.pop()
        for label, place in labels.get(base, ()):
            child, longer = place ^ _offset(units[place]), key + bytes([label])
            if units[place] >> 8 & 1:
                start = units[child] & 0x7FFFFFFF
                rules[longer.decode()] = texts[start : texts.index(b"\0", start)].decode()
            waiting.append((child, longer))
    return rules


def _offset(unit: int) -> int:
    return (unit >> 10) << ((unit & 0x200) >> 6)


def _piece(data: bytes, start: int, end: int) -> tuple[str, float, int]:
    text, score, kind = "", 0.0, NORMAL
    for field, wire, place, stop in _fields(data, start, end):
        if field == 1:
            text = data[place:stop].decode()
        elif field == 2 and wire == _FIXED32:
            (score,) = struct.unpack_from("<f", data, place)
        elif field == 3:
            kind = _varint(data, place)[0]
    return text, score, kind


def _fields(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """(number, wire type, start, end) of each field of a message. Errors: ValueError where it is none."""
    place = start
    while place < end:
        tag, place = _varint(data, place)
        wire = tag & 7
        if wire == _VARINT:
            stop = _varint(data, place)[1]
        elif wire == _BYTES:
            length, place = _varint(data, place)
            stop = place + length
        elif wire in (_FIXED32, _FIXED64):
            stop = place + (4 if wire == _FIXED32 else 8)
        else:
            raise ValueError("not a message")
        if stop > end:
            raise ValueError("cut short")
        yield tag >> 3, wire, place, stop
        place = stop


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A number of variable length, and where it ends. Errors: IndexError at the end of the data."""
    byte = data[place]
    if byte < 128:  # most are one byte
        return byte, place + 1
    value, shift = byte & 127, 7
    while byte >= 128:
        place += 1
        byte = data[place]
        value |= (byte & 127) << shift
        shift += 7
    return value, place + 1
