"""Masking: its statistics, its properties, and a plain twin of the vectorised drawing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain.data.masking import MaskedVocabulary, Masker
from pretrain.data.masking_strategies import AMOUNT, POSITIONS
from pretrain.rng import mix, uniform

VOCABULARY = 50
MASK = VOCABULARY - 1


def sequences_of(count: int, length: int, seed: int = 0, low: int = 4) -> np.ndarray:
    sequences = np.random.default_rng(seed).integers(low, MASK, (count, length))
    sequences[:, 0] = 0
    return sequences


def mask(sequences: np.ndarray, rate: float = 0.15, seed: int = 1, step: int = 0):
    return Masker(MaskedVocabulary.plain(VOCABULARY), rate, seed).mask(sequences, step, np.arange(len(sequences)))


@given(
    length=st.integers(1, 40),
    count=st.integers(1, 6),
    rate=st.floats(0.01, 0.99),
    step=st.integers(0, 2**62),
    data=st.integers(0, 2**32 - 1),
)
@settings(max_examples=150, deadline=None)
def test_only_ordinary_tokens_are_drawn_and_the_rest_is_untouched(length, count, rate, step, data) -> None:
    sequences = np.random.default_rng(data).integers(0, VOCABULARY, (count, length))
    batch = mask(sequences, rate, step=step)
    assert ((batch.labels >= 4) & (batch.labels < MASK)).all()
    assert (sequences[batch.rows, batch.columns] == batch.labels).all()
    untouched = np.ones(sequences.shape, bool)
    untouched[batch.rows, batch.columns] = False
    assert (batch.ids[untouched] == sequences[untouched]).all()
    ordinary = ((sequences >= 4) & (sequences < MASK)).sum(1)
    drawn = np.bincount(batch.rows, minlength=count)
    assert ((drawn == np.floor(rate * ordinary)) | (drawn == np.floor(rate * ordinary) + 1)).all()


def test_plain_twin() -> None:
    sequences = sequences_of(20, 33, low=1)
    batch = mask(sequences, seed=9, step=7)
    drawn = set(zip(batch.rows.tolist(), batch.columns.tolist(), strict=True))
    for row, sequence in enumerate(sequences):
        key = mix(9, 7, row)
        places = [c for c, token in enumerate(sequence) if 4 <= token < MASK]
        amount = int(0.15 * len(places) + float(uniform(key, AMOUNT)))
        places.sort(key=lambda c: float(uniform(mix(key, c), POSITIONS)))
        assert {c for r, c in drawn if r == row} == set(places[:amount])


def test_shares_are_the_papers() -> None:
    sequences = sequences_of(4000, 101)
    batch = mask(sequences)
    assert len(batch.labels) / (4000 * 100) == pytest.approx(0.15, abs=0.002)
    seen = batch.ids[batch.rows, batch.columns]
    assert (seen == MASK).mean() == pytest.approx(0.8, abs=0.005)
    # One in 45 random tokens is the token itself.
    assert ((seen == batch.labels).mean()) == pytest.approx(0.1 + 0.1 / 45, abs=0.005)
    replaced = seen[(seen != MASK) & (seen != batch.labels)]
    frequencies = np.bincount(replaced, minlength=VOCABULARY)
    assert frequencies[:4].sum() == frequencies[MASK] == 0
    assert frequencies[4:MASK].min() > 0.6 * len(replaced) / 45
    columns = np.bincount(batch.columns, minlength=101)
    assert columns[0] == 0
    assert columns[1:].std() / columns[1:].mean() < 0.06  # 600 a column: 4 % of chance


def test_rounding_is_at_random_and_right_in_the_mean() -> None:
    drawn = np.bincount(mask(sequences_of(5000, 11)).rows, minlength=5000)  # 10 tokens: 1.5 in the mean
    assert set(drawn.tolist()) == {1, 2}
    assert drawn.mean() == pytest.approx(1.5, abs=0.03)


def test_same_words_same_masks_other_words_other_masks() -> None:
    sequences = sequences_of(8, 64)
    first = mask(sequences, step=3)
    assert (mask(sequences, step=3).ids == first.ids).all()
    assert (mask(sequences, step=4).ids != first.ids).any()
    assert (mask(sequences, seed=2, step=3).ids != first.ids).any()
    second_half = Masker(MaskedVocabulary.plain(VOCABULARY), 0.15, 1).mask(sequences[4:], 3, np.arange(4, 8))
    assert (second_half.ids == first.ids[4:]).all()  # whoever holds the sequence masks it alike


@given(size=st.integers(1, 9), count=st.integers(1, 9))
@settings(deadline=None)
def test_micro_batches_are_the_batch(size: int, count: int) -> None:
    batch = mask(sequences_of(count, 30))
    parts = list(batch.split(size))
    assert max(len(part.ids) for part in parts) <= size
    assert (np.concatenate([part.ids for part in parts]) == batch.ids).all()
    assert (np.concatenate([part.labels for part in parts]) == batch.labels).all()
    for part in parts:
        assert len(part.masked_positions) == len(part.labels)
    flat = np.concatenate([part.masked_positions + size * number * 30 for number, part in enumerate(parts)])
    assert (flat == batch.masked_positions).all()


def test_keep_is_none_without_padding() -> None:
    sequences = sequences_of(2, 10)
    assert mask(sequences).attention_mask is None
    sequences[1, 5:] = 1
    attention_mask = mask(sequences).attention_mask
    assert attention_mask is not None
    assert attention_mask.tolist() == [[True] * 10, [True] * 5 + [False] * 5]
