"""Whole words and spans: whole groups are drawn, as many positions as the rate asks for, and plain twins agree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import XlmrError
from pretrain.data.masking import MaskedVocabulary, Masker
from pretrain.data.masking_strategies import (
    LONGEST_SPAN,
    LONGEST_WORD,
    Candidates,
    MaskingStrategy,
    _runs,
    spans,
    whole_words,
)
from pretrain.rng import mix

VOCABULARY, MASK = 60, 59
BEGINS = np.arange(VOCABULARY) % 3 == 0
"""A third of the ids follow white space."""


def candidates_of(ids: np.ndarray, rate: float = 0.15, seed: int = 1) -> Candidates:
    return Candidates(ids, (ids >= 4) & (ids != MASK), rate, mix(seed, np.arange(len(ids))), BEGINS)


def plain_words(ids: list[int]) -> list[list[int]]:
    """The maskable positions of each word, the obvious way."""
    runs: list[list[int]] = []
    open_run = False
    for place, token in enumerate(ids):
        if token < 4 or token == MASK:
            open_run = False
        elif open_run and not BEGINS[token]:
            runs[-1].append(place)
        else:
            runs.append([place])
            open_run = True
    return [part for run in runs for part in ([run] if len(run) <= LONGEST_WORD else [[place] for place in run])]


def places_of(mask: np.ndarray) -> set[int]:
    return set(np.flatnonzero(mask).tolist())


@given(length=st.integers(1, 60), rate=st.floats(0.02, 0.9), seed=st.integers(0, 10**6))
@settings(max_examples=150, deadline=None)
def test_words_are_masked_whole(length: int, rate: float, seed: int) -> None:
    ids = np.random.default_rng(seed).integers(0, VOCABULARY, (5, length))
    found = candidates_of(ids, rate, seed)
    mask = whole_words(found)
    for row in range(5):
        words, drawn = plain_words(ids[row].tolist()), places_of(mask[row])
        assert all(set(word) <= drawn or not set(word) & drawn for word in words)
        assert drawn <= {place for word in words for place in word}
        longest = max(map(len, words), default=0)
        assert abs(len(drawn) - found.amount[row]) <= max(longest - 1, 0)


@pytest.mark.parametrize("strategy", [whole_words, spans])
def test_as_many_positions_as_the_rate_asks_for(strategy: MaskingStrategy) -> None:
    ids = np.random.default_rng(3).integers(4, MASK, (4000, 64))
    found = candidates_of(ids)
    assert strategy(found).mean() == pytest.approx(0.15, rel=0.02)


def test_spans_are_longer_than_words_and_of_whole_ones() -> None:
    ids = np.random.default_rng(4).integers(4, MASK, (2000, 64))
    found = candidates_of(ids)
    mask = spans(found)
    words = found.words
    for row in range(50):
        touched = set(words[row][mask[row]].tolist())
        assert all(mask[row][words[row] == word].all() for word in touched)
    assert runs_of(mask).mean() > 1.7 * runs_of(whole_words(found)).mean()


def runs_of(mask: np.ndarray) -> np.ndarray:
    """Lengths of the runs of masked positions."""
    edges = np.flatnonzero(np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8).ravel()))
    return edges[1::2] - edges[::2]


def test_a_span_has_the_words_of_the_paper() -> None:
    """3.8 words in the mean, ten at most (SpanBERT, section 3.1)."""
    numbers = _runs(mix(2, np.arange(2000)), 300)
    lengths = np.concatenate([np.bincount(row)[:-1] for row in numbers])  # the last one is cut off
    assert lengths.max() == LONGEST_SPAN
    assert lengths.mean() == pytest.approx(3.8, rel=0.01)
    assert np.mean(lengths == 1) == pytest.approx(0.2 / (1 - 0.8**10), rel=0.03)


def test_text_without_white_space_is_masked_by_token() -> None:
    ids = np.full((200, 40), 7)
    ids[:, 0] = 0
    assert runs_of(whole_words(candidates_of(ids))).mean() < 1.5


@pytest.mark.parametrize("strategy", [whole_words, spans])
def test_masks_depend_on_seed_step_and_name_alone(strategy: MaskingStrategy) -> None:
    ids = np.random.default_rng(5).integers(4, MASK, (600, 50))
    masker = Masker(MaskedVocabulary(VOCABULARY, MASK, BEGINS), 0.15, 1, strategy)
    whole = masker.mask(ids, 3, np.arange(600))
    half = masker.mask(ids[300:], 3, np.arange(300, 600))
    assert (whole.ids[300:] == half.ids).all()
    assert (masker.mask(ids, 4, np.arange(600)).ids != whole.ids).any()
    assert (ids[whole.rows, whole.columns] == whole.labels).all()


def test_words_need_a_tokenizer() -> None:
    masker = Masker(MaskedVocabulary.plain(VOCABULARY), 0.15, 1, whole_words)
    with pytest.raises(XlmrError, match="whole words cannot be masked: no tokenizer says where words begin; use"):
        masker.mask(np.full((2, 8), 7), 0, np.arange(2))
