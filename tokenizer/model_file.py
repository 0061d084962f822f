"""A SentencePiece model file, read and changed without SentencePiece: its pieces, its normalisation, its scores.

bytes of a .model -> ModelFile; bytes and a number of bits -> bytes with rounded scores.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from pipeline.errors import XlmrError
from tokenizer.model_proto import ModelProto

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
"""ModelProto.SentencePiece.Type."""

KINDS = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}
"""TrainerSpec.ModelType."""


@dataclass(frozen=True)
class ModelFile:
    """The content of a model file. ``scores`` (float32) and ``types`` are arrays [pieces], by SentencePiece's ids."""

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
        """Every character of the pieces that text can become."""
        of_text = np.flatnonzero((self.types == NORMAL) | (self.types == USER_DEFINED))
        return frozenset("".join(self.pieces[number] for number in of_text))

    @cached_property
    def user_defined(self) -> frozenset[str]:
        """Pieces that are always one piece, whatever their score, and that are not normalised."""
        return frozenset(self.pieces[number] for number in np.flatnonzero(self.types == USER_DEFINED))

    @property
    def rules(self) -> Mapping[str, str]:
        """The normalisation as a table: what is replaced, leftmost and longest first, by what.

        Errors: XlmrError where it cannot be read.
        """
        try:
            return read_charsmap(self.charsmap)
        except (ValueError, IndexError):
            raise XlmrError("the table of its normalisation is damaged", "copy the model again") from None


def read_model(path: Path) -> ModelFile:
    """Read a model file. Errors: XlmrError naming it where it is none, or cut short."""
    return parse_model(path.read_bytes(), path)


def parse_model(data: bytes, path: Path) -> ModelFile:
    """The same of its bytes; ``path`` is named in errors."""
    proto = parse_proto(data, path)
    trainer, normaliser = proto.trainer_spec, proto.normalizer_spec
    return ModelFile(
        kind=KINDS.get(trainer.model_type, "unknown"),
        pieces=[piece.piece for piece in proto.pieces],
        scores=np.array([piece.score for piece in proto.pieces], dtype=np.float32),
        types=np.array([piece.type for piece in proto.pieces]),
        byte_fallback=trainer.byte_fallback,
        split_by_white_space=trainer.split_by_whitespace,
        white_space_as_suffix=trainer.treat_whitespace_as_suffix,
        normalisation=normaliser.name,
        charsmap=normaliser.precompiled_charsmap,
        dummy_prefix=normaliser.add_dummy_prefix,
        remove_extra_white_space=normaliser.remove_extra_whitespaces,
        escape_white_space=normaliser.escape_whitespaces,
    )


def parse_proto(data: bytes, path: Path) -> Any:
    """The message in a model file. Errors: XlmrError where it is none, or cut short.

    SentencePiece itself takes a file that ends between two pieces, and normalises nothing from then on.
    """
    broken = XlmrError(
        f"{path}: not a SentencePiece model, or cut short", "copy it again, or run tokenizer.train again"
    )
    try:
        proto = ModelProto.FromString(data)
        proto.normalizer_spec.name.encode()  # strings are checked when they are read, and are bytes if they are none
        texts = all(isinstance(piece.piece, str) and math.isfinite(piece.score) for piece in proto.pieces)
    except (DecodeError, UnicodeError, AttributeError):
        raise broken from None
    # Models of other trainers (Llama, T5) have fewer or more pieces than their trainer_spec.vocab_size.
    whole = proto.HasField("normalizer_spec") and proto.HasField("trainer_spec") and proto.trainer_spec.vocab_size
    if not (proto.pieces and whole and texts and is_sound(proto.normalizer_spec.precompiled_charsmap)):
        raise broken
    return proto


def round_scores(data: bytes, bits: int) -> bytes:
    """The same model with every score rounded to a multiple of 2^-bits, as a float32 holds it exactly.

    Sums of such scores are exact in 32 bits up to 2^(24 - bits), so that a text's best pieces do not depend on who adds
    them up, in which order, in how many bits.
    """
    proto = ModelProto.FromString(data)
    for piece in proto.pieces:
        piece.score = float(np.ldexp(np.rint(np.ldexp(piece.score, bits)), -bits))
    return bytes(proto.SerializeToString())


NODES_AT_MOST = 1 << 21
"""Limit of visited nodes of a charsmap, each counted once for every key through it: nmt_nfkc has an eighth."""


def is_sound(charsmap: bytes) -> bool:
    """Whether all places that a charsmap names lie inside it and begin a text. SentencePiece follows them unchecked."""
    if not charsmap:
        return True
    size = struct.unpack_from("<I", charsmap)[0] if len(charsmap) > 4 else 0
    if not size or size % 1024 or 4 + size >= len(charsmap) or charsmap[-1]:
        return False
    units = np.frombuffer(charsmap, "<u4", size // 4, 4)
    is_value = units >> 31 == 1
    nodes, values = units[~is_value], units[is_value] & 0x7FFFFFFF
    children = np.flatnonzero(~is_value) ^ ((nodes >> 10).astype(np.int64) << ((nodes & 0x200) >> 6))
    texts = np.frombuffer(charsmap, np.uint8, offset=4 + size)
    if children.max(initial=0) >= len(units) or values.max(initial=0) >= len(texts) or not _is_text(texts.tobytes()):
        return False
    return not (texts[values] & 0xC0 == 0x80).any()  # no text begins within a character


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


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
    seen = 0
    while waiting:
        base, key = waiting.pop()
        seen += 1
        if seen > NODES_AT_MOST:
            raise ValueError("the charsmap leads back into itself")
        for label, place in labels.get(base, ()):
            child, longer = place ^ _offset(units[place]), key + bytes([label])
            if units[place] >> 8 & 1:
                start = units[child] & 0x7FFFFFFF
                rules[longer.decode()] = texts[start : texts.index(b"\0", start)].decode()
            waiting.append((child, longer))
    return rules


def _offset(unit: int) -> int:
    return (unit >> 10) << ((unit & 0x200) >> 6)
