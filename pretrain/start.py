"""What a training starts from: an existing model, with the vocabulary of the sequences or with another.

A folder in Hugging Face's layout and the sequences' tokenizer -> each parameter's name and what makes its first value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import sentencepiece
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.counts import Counts
from pretrain.config_file import CONFIG, read_config
from pretrain.folder import check_tied, check_tokens, from_hugging_face, open_weights
from pretrain.model import TABLE, MaskedLanguageModel, ModelConfig, Values, initial_values
from pretrain.stages import other_shape
from tokenizer.folder import load_tokenizer
from tokenizer.pieces import Tokenizer

OF_TOKENS = (TABLE, "head.bias")
"""Parameters with a row a token."""

OWN = ("vocab_size", "dropout", "attention_dropout", "layer_norm_eps")
"""What may differ from the settings: rows and dropout are the settings', layer_norm_eps is the model's."""

APART = "\ue000"
"""A character of nobody's, which no token holds: what stands behind it is cut into tokens as if within a word."""

AT_ONCE = 2**14
"""Rows that are added up at once."""

FIRST = 4
"""Our ids before it are special: <s> <pad> </s> <unk>. SentencePiece's id n is n + 1 from there on."""


@dataclass(frozen=True)
class InitRows:
    """Which old rows each new one is the mean of: ``old[i]`` goes into ``new[i]``, of ``size`` rows."""

    old: NDArray[np.int64]
    new: NDArray[np.int64]
    size: int

    @property
    def parts(self) -> NDArray[np.int64]:
        """How many old rows each new one is made of [size]; 0 where there is nothing to make it of."""
        return np.bincount(self.new, minlength=self.size)

    def put(self, old: Tensor, into: Tensor) -> Tensor:
        """``into`` [rows, …] with the means of rows of ``old``. Rows without any, and those beyond, stay.

        No third tensor of that size is made: XXL's table has 4 GB, and every rank does this.
        """
        parts = torch.from_numpy(self.parts)
        into[: self.size][parts > 0] = 0
        for first in range(0, len(self.old), AT_ONCE):
            some = slice(first, first + AT_ONCE)
            into.index_add_(0, torch.from_numpy(self.new[some]), old[self.old[some]])
        into[: self.size] /= parts.clamp(min=1).view(-1, *[1] * (into.dim() - 1))
        return into


@dataclass(frozen=True)
class Start:
    """A model to start from: its folder, its architecture, and what its rows become for so many tokens."""

    folder: Path
    config: ModelConfig
    rows: InitRows
    tokens: int

    def values(self, model: MaskedLanguageModel, seed: int) -> Values:
        """The first value of each of ``model``'s parameters, whole, in fp32 on the CPU, read one after the other.

        Errors: XlmrError naming a tensor that is missing, or of another shape than its configuration says.
        """
        fresh = dict(initial_values(model, seed))
        weights = open_weights(self.folder, self.config)
        for name, tensor in from_hugging_face(weights, self.config, self.folder):
            yield name, partial(self._made, name, tensor, fresh[name])

    def _made(self, name: str, tensor: Tensor, fresh: Callable[[], Tensor]) -> Tensor:
        return self.rows.put(tensor, fresh()) if name in OF_TOKENS else tensor

    def counts(self) -> Counts:
        """How many tokens have the old model's row, how many the mean of several, and how many a row that is new."""
        parts = self.rows.parts[: self.tokens]
        found = {"taken": parts == 1, "composed": parts > 1, "new": parts == 0}
        return {f"tokens_{name}": int(which.sum()) for name, which in found.items()}


def read_start(folder: Path, architecture: ModelConfig, tokenizer: Path) -> Start:
    """The model in ``folder``, for sequences of the tokenizer in another folder.

    Errors: XlmrError for a model of another architecture, or a folder that lacks something.
    """
    config = read_config(folder)
    check_architecture(folder, config, architecture)
    check_tied(open_weights(folder, config), folder)
    old, new = load_tokenizer(folder), load_tokenizer(tokenizer)
    check_tokens(folder, old.vocab_size, config)
    if old.vocabulary == new.vocabulary:
        every = np.arange(min(config.vocab_size, architecture.vocab_size))
        rows = InitRows(every, every, len(every))
    else:
        rows = rows_between(old, new)
    return Start(folder, config, rows, new.vocab_size)


def check_architecture(folder: Path, config: ModelConfig, wanted: ModelConfig) -> None:
    """Errors: XlmrError telling all settings that differ, and what they have to be."""
    theirs, ours = ({k: v for k, v in asdict(one).items() if k not in OWN} for one in (config, wanted))
    differ = {name: value for name, value in theirs.items() if ours[name] != value}
    if differ:
        raise other_shape(folder / CONFIG, differ, ours)


def rows_between(old: Tokenizer, new: Tokenizer) -> InitRows:
    """For each id of the new vocabulary the ids of the old one that spell it: its own token, or those of its text.

    To begin with the mean of the parts is Gee et al. 2022 (Fast Vocabulary Transfer). Special ids meet their like, and
    tokens that were added to either vocabulary are tokens like the others.
    """
    row_of = {old.vocabulary[number]: number for number in _ordinary(old)}
    numbers = _ordinary(new)
    names = [new.vocabulary[number] for number in numbers]
    same = np.array([row_of.get(name, -1) for name in names])
    spelt = np.array([_is_text(new, number) for number in numbers.tolist()])
    missing = np.flatnonzero((same < 0) & spelt)
    lists: list[list[int]] = [[number] for number in same[same >= 0].tolist()]
    lists += [[number + 1 for number in parts] for parts in spell([names[n] for n in missing], old.processor)]
    owners = np.concatenate([numbers[same >= 0], numbers[missing]])
    flat = np.array([number for parts in lists for number in parts], np.int64)
    special = np.arange(FIRST)
    return InitRows(
        np.concatenate([special, flat, [old.mask_token_id]]),
        np.concatenate([special, np.repeat(owners, [len(parts) for parts in lists]), [new.mask_token_id]]),
        new.vocab_size,
    )


def _ordinary(tokenizer: Tokenizer) -> NDArray[np.int64]:
    """The ids that are not special ones of every XLM-R."""
    return np.array([n for n in range(FIRST, tokenizer.vocab_size) if n != tokenizer.mask_token_id])


def _is_text(tokenizer: Tokenizer, number: int) -> bool:
    """Whether a token stands for its own characters: not for a byte, and not for nothing."""
    if number > tokenizer.mask_token_id:
        return True
    known, token = tokenizer.processor, number - 1
    return not (known.is_byte(token) or known.is_control(token) or known.is_unused(token))


def spell(tokens: list[str], model: sentencepiece.SentencePieceProcessor) -> list[list[int]]:
    """SentencePiece's ids of each token's text, unknown ones left out; ▁ is a space, without it they are of a word."""
    skipped = len(model.encode(APART))
    texts = [token[1:] if token.startswith("▁") else APART + token for token in tokens]
    found = model.encode([text.replace("▁", " ") for text in texts])
    inside = [ids[skipped:] if text.startswith(APART) else ids for ids, text in zip(found, texts, strict=True)]
    return [[number for number in ids if number != model.unk_id()] for ids in inside]
