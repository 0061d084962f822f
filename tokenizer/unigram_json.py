"""A ``tokenizer.json`` of XLM-R's kind as a SentencePiece model: pieces, scores, normalisation, ids and all.

transformers writes this file alone, without ``sentencepiece.bpe.model``. What SentencePiece cannot do alike is refused.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from pipeline.errors import XlmrError
from tokenizer.added import AddedToken
from tokenizer.model_file import BYTE, CONTROL, NORMAL, UNKNOWN, USER_DEFINED
from tokenizer.model_proto import ModelProto
from tokenizer.names import MASK, SPECIAL

USER_DEFINED_SCORE = -0.1
"""What SentencePiece counts for a user-defined piece, however long (unigram_model.cc: ``length * max_score_ - 0.1``,
``max_score_`` being about 0). A trained piece never has it: scores are multiples of 2^-10, or under -1."""

KIND = "tokenizers of XLM-R's kind are read: a unigram model, SentencePiece's normalisation, ▁ before each word"

UNIGRAM = "Unigram"

PLAIN_STEPS = {"Precompiled", "Strip"}
OWN_STEPS = {"Precompiled", "NFKC", "Replace"}
"""Of the normalisers that are written here (``normaliser_json``)."""

WORDS = {"WhitespaceSplit", "Metaspace", "Split"}


class _Json(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class _Model(_Json):
    vocab: list[tuple[str, FiniteFloat]] = Field(min_length=6)
    unk_id: int | None = None
    byte_fallback: bool = False


class _Step(_Json):
    """A normaliser or a pre-tokeniser; those that are a sequence hold others."""

    type: str
    normalizers: list[_Step] = []
    pretokenizers: list[_Step] = []
    precompiled_charsmap: str | None = None
    pattern: dict[str, str] | None = None
    content: str = ""
    replacement: str | None = None
    prepend_scheme: str | None = None
    add_prefix_space: bool = True
    split: bool = True

    def flat(self) -> Iterator[_Step]:
        """This step, or those in it."""
        inner = [*self.normalizers, *self.pretokenizers]
        if self.type != "Sequence":
            yield self
        for step in inner:
            yield from step.flat()


class _Kind(_Json):
    type: str = UNIGRAM  # older files do not have it


class _Kinds(_Json):
    model: _Kind


class TokenizerJson(_Json):
    """What is read of a ``tokenizer.json``."""

    model: _Model
    added_tokens: list[AddedToken] = []
    normalizer: _Step | None = None
    pre_tokenizer: _Step | None = None

    @property
    def mask(self) -> int:
        """The id of <mask>: the last of the vocabulary, or the first after it. -1 where it is neither."""
        if self.model.vocab[-1][0] == MASK:
            return len(self.model.vocab) - 1
        beyond = {token.content: token.id for token in self.added_tokens}
        return len(self.model.vocab) if beyond.get(MASK) == len(self.model.vocab) else -1


def read_bytes(file: Path) -> bytes:
    """What is in a file. Errors: XlmrError naming it."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise XlmrError(f"{file}: no such file", "name a folder with a tokenizer, or its file") from None
    except OSError as error:
        raise XlmrError(f"{file}: not readable ({error.strerror})", "check the file") from None


def read_tokenizer_json(file: Path) -> TokenizerJson:
    """Read and validate one. Errors: XlmrError naming the file and the key that is missing or of another kind."""
    data = read_bytes(file)
    try:
        kind = _Kinds.model_validate_json(data).model.type
        if kind != UNIGRAM:
            raise XlmrError(f"{file}: its model.type is {kind!r}, not {UNIGRAM!r}", KIND)
        return TokenizerJson.model_validate_json(data)
    except ValidationError as error:
        raise XlmrError(f"{file}: {first_fault(error)}", KIND) from None


def first_fault(error: ValidationError) -> str:
    """The first fault in a line: the key, and what is wrong with it."""
    fault = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, fault["loc"])) or "the file"
    return f"{place}: {fault['msg']}"


def to_model(read: TokenizerJson, file: Path) -> bytes:
    """The SentencePiece model of its pieces. Errors: XlmrError naming what it has that XLM-R's have not."""
    vocabulary = read.model.vocab
    if tuple(piece for piece, _ in vocabulary[:4]) != SPECIAL or read.model.unk_id not in {3, None}:
        raise XlmrError(f"{file}: its first pieces are not {' '.join(SPECIAL)}", KIND)
    if read.mask < 0:
        raise XlmrError(f"{file}: its last piece is not {MASK}", KIND)
    proto = ModelProto()
    for piece, kind in (("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL)):
        proto.pieces.add(piece=piece, score=0.0, type=kind)
    for piece, score in vocabulary[4 : read.mask]:
        kind = _type_of(piece, score, read.model.byte_fallback)
        proto.pieces.add(piece=piece, score=0.0 if kind in {BYTE, USER_DEFINED} else score, type=kind)
    trainer, normaliser = proto.trainer_spec, proto.normalizer_spec
    trainer.model_type, trainer.vocab_size = 1, len(proto.pieces)
    trainer.byte_fallback = read.model.byte_fallback
    trainer.split_by_whitespace = _splits_words(read, file)
    normaliser.precompiled_charsmap = _charsmap(read, file)
    normaliser.name = "precompiled" if normaliser.precompiled_charsmap else "identity"
    normaliser.add_dummy_prefix = normaliser.remove_extra_whitespaces = normaliser.escape_whitespaces = True
    return bytes(proto.SerializeToString())


def _type_of(piece: str, score: float, byte_fallback: bool) -> int:
    if byte_fallback and len(piece) == 6 and piece.startswith("<0x"):
        return BYTE
    return USER_DEFINED if score == USER_DEFINED_SCORE else NORMAL


def _splits_words(read: TokenizerJson, file: Path) -> bool:
    """Return whether no piece contains a space. Errors: XlmrError where ▁ is not set before each word."""
    steps = list(read.pre_tokenizer.flat()) if read.pre_tokenizer else []
    others = sorted({step.type for step in steps} - WORDS)
    spaces = [step for step in steps if step.type == "Metaspace"]
    if others or len(spaces) != 1:
        raise XlmrError(f"{file}: its pre_tokenizer {'has ' + others[0] if others else 'is not one Metaspace'}", KIND)
    (space,) = spaces
    if (
        space.replacement != "▁"
        or (space.prepend_scheme or ("always" if space.add_prefix_space else "never")) != "always"
    ):
        raise XlmrError(f"{file}: its pre_tokenizer does not set ▁ before each text", KIND)
    return space.split or any(step.type == "WhitespaceSplit" or _is_at_spaces(step) for step in steps)


def _is_at_spaces(step: _Step) -> bool:
    return step.type == "Split" and step.pattern == {"String": " "}


def _charsmap(read: TokenizerJson, file: Path) -> bytes:
    """The normalisation. Errors: XlmrError where it is more than SentencePiece's rules and its treatment of spaces."""
    steps = list(read.normalizer.flat()) if read.normalizer else []
    maps = [step.precompiled_charsmap or "" for step in steps if step.type == "Precompiled"]
    own = {step.type for step in steps} == OWN_STEPS and all(map(_is_own, steps))
    strange = [step.type for step in steps if step.type not in PLAIN_STEPS and not _is_of_spaces(step)]
    if len(maps) > 1 or (strange and not own):
        raise XlmrError(f"{file}: its normalizer has {strange[0] if strange else 'two of Precompiled'}", KIND)
    try:
        return base64.b64decode(maps[0], validate=True) if maps else b""
    except (binascii.Error, ValueError):
        raise XlmrError(f"{file}: normalizer.precompiled_charsmap is not base64", "copy the file again") from None


def _is_of_spaces(step: _Step) -> bool:
    r"""Whether a step only joins or strips spaces, as SentencePiece does anyway."""
    expression = (step.pattern or {}).get("Regex")
    return step.type == "Replace" and (expression, step.content) in {(" {2,}", " "), (" {2,}", "▁"), (r"\A | \z", "")}


def _is_own(step: _Step) -> bool:
    """Return whether a step is one of those that express SentencePiece's rules around NFKC (``normaliser_json``)."""
    if step.type != "Replace" or _is_of_spaces(step):
        return True
    pattern = step.pattern or {}
    if "Regex" in pattern:
        return pattern["Regex"].endswith(r"\K") or len(step.content) == 1
    return len(pattern.get("String", "")) == 1
