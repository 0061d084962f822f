"""Which positions a model has to predict: single tokens, whole words, or spans of words.

A strategy is a function from ``Candidates`` to [n, length] bool. Its random numbers come from ``Candidates.uniform``,
so that a sequence gets the same mask on any rank and after any restart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import XlmrError
from pipeline.plug_ins import calling
from pretrain.choices import MASKING
from pretrain.rng import mix, uniform

Mask = NDArray[np.bool_]

POSITIONS, AMOUNT, TREATMENT, TOKEN, GROUPS, LENGTHS, LAST = range(7)
"""Which decision a random number is for."""

LONGEST_WORD = 16
"""Tokens. A longer run without white space is text of a script that writes none: each of its tokens is a word."""

SPAN_END, LONGEST_SPAN = 0.2, 10
"""A span ends after each word with p = 0.2, and has ten words at most: 3.8 on average (SpanBERT, section 3.1)."""


@dataclass(frozen=True)
class Candidates:
    """What a strategy chooses from.

    ``ids``          [n, length] int64: the sequences.
    ``maskable``     [n, length] bool: all tokens but the special ones.
    ``rate``         share of the maskable positions to predict.
    ``key``          [n] uint64: what the random numbers of each sequence are drawn by.
    ``begins_word``  [vocabulary] bool: tokens that follow white space; None where no tokenizer is known.
    """

    ids: NDArray[np.int64]
    maskable: Mask
    rate: float
    key: NDArray[np.uint64]
    begins_word: Mask | None = None

    @cached_property
    def amount(self) -> NDArray[np.int64]:
        """[n] positions to predict: rate × maskable ones, rounded up or down at random so that the mean is exact."""
        return np.floor(self.rate * self.maskable.sum(1) + uniform(self.key, AMOUNT)).astype(np.int64)

    @cached_property
    def cell(self) -> NDArray[np.uint64]:
        """[n, length]: what the random numbers of each position are drawn by."""
        return mix(self.key[:, None], np.arange(self.ids.shape[1]))

    def uniform(self, purpose: int) -> NDArray[np.float64]:
        """[n, length] numbers in [0, 1); other ones for each ``purpose``, any integer that the strategy chooses."""
        return uniform(self.cell, purpose)

    @cached_property
    def words(self) -> NDArray[np.int64]:
        """[n, length]: the number of the word that a position is in, from 0 in each sequence.

        Errors: XlmrError where no tokenizer is known.
        """
        if self.begins_word is None:
            raise XlmrError("whole words cannot be masked: no tokenizer says where words begin", "use masking: token")
        begins = self.begins_word[self.ids] | ~self.maskable
        begins[:, 1:] |= ~self.maskable[:, :-1]
        begins[:, :1] = True
        words = np.cumsum(begins, axis=1) - 1
        flat = words + np.arange(len(words))[:, None] * words.shape[1]
        long = np.bincount(flat.ravel(), minlength=words.size)[flat] > LONGEST_WORD
        return np.cumsum(begins | long, axis=1) - 1


def tokens(candidates: Candidates) -> Mask:
    """Single tokens, each as likely as any other: XLM-R's and RoBERTa's (fairseq's MaskTokensDataset)."""
    order = np.where(candidates.maskable, candidates.uniform(POSITIONS), 2.0)
    return order <= _smallest(order, candidates.amount)[:, None]


def whole_words(candidates: Candidates) -> Mask:
    """All tokens of a word, or none (BERT's whole-word masking)."""
    return _draw_groups(candidates, candidates.words)


def spans(candidates: Candidates) -> Mask:
    """Runs of whole words (SpanBERT, section 3.1): a sequence is cut into runs, some are drawn."""
    words = candidates.words
    return _draw_groups(candidates, np.take_along_axis(_runs(candidates.key, int(words.max(initial=0)) + 1), words, 1))


def _runs(key: NDArray[np.uint64], words: int) -> NDArray[np.int64]:
    """[n, words]: the number of the run that each word is in. Lengths are geometric, those above ten never drawn."""
    longer = 1 - SPAN_END
    drawn = uniform(mix(key[:, None], np.arange(words)), LENGTHS) * (1 - longer**LONGEST_SPAN)
    lengths = 1 + np.floor(np.log1p(-drawn) / np.log(longer)).astype(np.int64)  # of a run that begins there
    numbers, left = np.zeros(lengths.shape, np.int64), lengths[:, 0].copy()
    for word in range(1, words):  # over columns: all sequences at once
        left -= 1
        begins = left == 0
        numbers[:, word] = numbers[:, word - 1] + begins
        left[begins] = lengths[begins, word]
    return numbers


def _draw_groups(candidates: Candidates, groups: NDArray[np.int64]) -> Mask:
    """Whole groups [n, length] in random order, until there are as many positions as the rate asks for.

    The group that would exceed the amount is drawn with the probability that makes the mean exact.
    """
    count = int(groups.max(initial=0)) + 1
    rows = np.arange(len(groups))[:, None]
    flat = (rows * count + groups)[candidates.maskable]
    sizes = np.bincount(flat, minlength=len(groups) * count).reshape(-1, count)
    order = np.argsort(uniform(mix(candidates.key[:, None], np.arange(count)), GROUPS), axis=1)
    sorted_sizes = sizes[rows, order]
    before = np.cumsum(sorted_sizes, axis=1) - sorted_sizes
    left = candidates.amount[:, None] - before
    share = left / np.maximum(sorted_sizes, 1)
    drawn = np.zeros(sizes.shape, bool)
    drawn[rows, order] = (sorted_sizes > 0) & (uniform(candidates.key, LAST)[:, None] < share)
    return drawn[rows, groups] & candidates.maskable


def _smallest(order: NDArray[np.float64], amount: NDArray[np.int64]) -> NDArray[np.float64]:
    """The amount-th smallest number of each row; -1 where nothing is to be drawn."""
    ranked = np.sort(order, axis=1)
    last = ranked[np.arange(len(order)), np.maximum(amount - 1, 0)]
    return np.where(amount > 0, last, -1.0)


MaskingStrategy = Callable[[Candidates], Mask]


def strategy_of(name: str) -> MaskingStrategy:
    """The strategy that ``pretrain.data.masking`` names; of a user's, the result is checked. Errors: XlmrError."""
    strategy: MaskingStrategy = MASKING.load(name)
    if MASKING.is_own(name):
        return strategy
    string = MASKING.import_string(name)

    def checked(candidates: Candidates) -> Mask:
        with calling(string):
            mask = np.asarray(strategy(candidates))
        if mask.shape != candidates.ids.shape or mask.dtype != bool:
            raise XlmrError(
                f"pretrain.data.masking: {string} gives {mask.dtype} {mask.shape}, not bool {candidates.ids.shape}",
                "return which positions to predict, as candidates.maskable",
            )
        return mask & candidates.maskable

    return checked
