"""Reader of tokenizers: a ``.model`` file, a ``tokenizer.json``, or a folder with either or both.

In a folder with both files, the ``.model`` is the vocabulary, and ``tokenizer.json`` lists the tokens added to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import sentencepiece
from pydantic import BaseModel, ConfigDict, RootModel, ValidationError

from pipeline.errors import XlmrError
from tokenizer.added import AddedToken
from tokenizer.model_file import parse_proto
from tokenizer.names import ADDED, CONFIG, MASK, MODEL_FILE, SPECIAL, TOKENIZER
from tokenizer.pieces import Tokenizer
from tokenizer.unigram_json import first_fault, read_bytes, read_tokenizer_json, to_model


def load_tokenizer(path: Path | str) -> Tokenizer:
    """Return the tokenizer of a file or a folder, with its added tokens. ``tokenizer.load`` is this function.

    ``path`` is a folder that ``tokenizer.train`` or ``save_pretrained`` of transformers wrote, a SentencePiece model
    file, or a ``tokenizer.json``. Errors: XlmrError naming the file and what is wrong with it.

    >>> import tokenizer
    >>> vocabulary = tokenizer.load("vocabulary")
    >>> vocabulary.tokens(vocabulary.encode("human rights"))
    ['▁huma', 'n', '▁rights']
    """
    path = Path(path)
    if path.is_dir():
        return _of_folder(path)
    return _of_json(path) if path.suffix == ".json" else load_model(path)


def _of_folder(folder: Path) -> Tokenizer:
    model, described = folder / MODEL_FILE, folder / TOKENIZER
    if not model.is_file():
        if not described.is_file():
            raise XlmrError(
                f"{folder}: neither {MODEL_FILE} nor {TOKENIZER} is in it",
                "name a folder that tokenizer.train or save_pretrained wrote",
            )
        return _of_json(described)
    plain = load_model(model)
    if not described.is_file():
        return with_added(plain, _added_without_json(folder), folder)
    tokens = _read(_Described, described).added_tokens
    for token in tokens:
        if token.content == MASK and token.id != plain.mask_token_id:
            raise XlmrError(
                f"{described}: {MASK} is {token.id:,}, by {MODEL_FILE} beside it {plain.mask_token_id:,}",
                "they are not of one tokenizer; remove the one that is wrong",
            )
    return with_added(plain, tokens, described)


def _of_json(file: Path) -> Tokenizer:
    read = read_tokenizer_json(file)
    return with_added(model_from_bytes(to_model(read, file), file), read.added_tokens, file)


def load_model(file: Path) -> Tokenizer:
    """From a SentencePiece model file, without added tokens. Errors: XlmrError naming it."""
    data = read_bytes(file)
    parse_proto(data, file)
    return model_from_bytes(data, file)


def model_from_bytes(data: bytes, file: Path) -> Tokenizer:
    """From the bytes of a model; ``file`` is named in errors."""
    try:
        processor = sentencepiece.SentencePieceProcessor(model_proto=data)
    except (RuntimeError, OSError):
        raise XlmrError(f"{file}: not a SentencePiece model", "run tokenizer.train again") from None
    if (processor.unk_id(), processor.bos_id(), processor.eos_id(), processor.pad_id()) != (0, 1, 2, -1):
        raise XlmrError(f"{file}: its <unk> <s> </s> are not 0 1 2", "train it with tokenizer.train")
    return Tokenizer(processor, data, source=file)


def with_added(plain: Tokenizer, tokens: Sequence[AddedToken], file: Path) -> Tokenizer:
    """The same tokenizer with added tokens; the special ones of every XLM-R are left out of them.

    Errors: XlmrError where ids have gaps, so that a row of the model would have no token, or are used twice.
    """
    special = {*range(len(SPECIAL)), plain.mask_token_id}
    added = sorted((token for token in tokens if token.id not in special), key=lambda token: token.id)
    beyond = [token.id for token in added if token.id > plain.mask_token_id]
    if beyond != list(range(plain.mask_token_id + 1, plain.mask_token_id + 1 + len(beyond))):
        raise XlmrError(
            f"{file}: the ids of its added tokens do not follow one another from {plain.mask_token_id + 1:,} on",
            "add them again with transformers' add_tokens",
        )
    if twice := _twice([token.content for token in added]):
        raise XlmrError(f"{file}: the added token {twice!r} is listed twice", "remove one of them")
    return Tokenizer(plain.processor, plain.model, added, plain.source) if added else plain


def _twice(contents: Sequence[str]) -> str | None:
    return next((content for number, content in enumerate(contents) if content in contents[:number]), None)


class _Described(BaseModel):
    """What is read of a tokenizer.json beside a model file."""

    added_tokens: list[AddedToken] = []


class _Token(BaseModel):
    """An added token in tokenizer_config.json, which has its id as key."""

    model_config = ConfigDict(extra="allow", strict=True)


class _Config(BaseModel):
    """What is read of a tokenizer_config.json of transformers 4."""

    added_tokens_decoder: dict[int, _Token] = {}


_Read = TypeVar("_Read", bound=BaseModel)


def _read(kind: type[_Read], file: Path) -> _Read:
    """A file of JSON. Errors: XlmrError naming it and the first key that is wrong."""
    try:
        return kind.model_validate_json(read_bytes(file))
    except ValidationError as error:
        raise XlmrError(f"{file}: {first_fault(error)}", "copy the file again") from None


def _added_without_json(folder: Path) -> list[AddedToken]:
    """Return the added tokens in the files of transformers' slow tokenizers."""
    config, added = folder / CONFIG, folder / ADDED
    decoder = _read(_Config, config).added_tokens_decoder if config.is_file() else {}
    if decoder:
        return _tokens([{"id": number, **(token.model_extra or {})} for number, token in decoder.items()], config)
    ids = _read(_Ids, added).root if added.is_file() else {}
    return _tokens([{"id": number, "content": content} for content, number in ids.items()], added)


class _Ids(RootModel[dict[str, int]]):
    """added_tokens.json."""


def _tokens(entries: list[dict[str, Any]], file: Path) -> list[AddedToken]:
    try:
        return [AddedToken.model_validate(entry) for entry in entries]
    except ValidationError as error:
        raise XlmrError(f"{file}: an added token: {first_fault(error)}", "copy the file again") from None
