"""Masking: its statistics, its properties, and a plain twin of the vectorised drawing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain.chance import mix, uniform
from pretrain.data.masking import AMOUNT, POSITIONS, MaskedVocabulary, mask_samples

VOCABULARY = 50
MASK = VOCABULARY - 1


def samples_of(count: int, length: int, seed: int = 0, low: int = 4) -> np.ndarray:
    samples = np.random.default_rng(seed).integers(low, MASK, (count, length))
    samples[:, 0] = 0
    return samples


def mask(samples: np.ndarray, rate: float = 0.15, seed: int = 1, update: int = 0):
    return mask_samples(samples, MaskedVocabulary.plain(VOCABULARY), rate, seed, update, np.arange(len(samples)))


@given(
    length=st.integers(1, 40),
    count=st.integers(1, 6),
    rate=st.floats(0.01, 0.99),
    update=st.integers(0, 2**62),
    data=st.integers(0, 2**32 - 1),
)
@settings(max_examples=150, deadline=None)
def test_only_ordinary_pieces_are_drawn_and_the_rest_is_untouched(length, count, rate, update, data) -> None:
    samples = np.random.default_rng(data).integers(0, VOCABULARY, (count, length))
    batch = mask(samples, rate, update=update)
    assert ((batch.targets >= 4) & (batch.targets < MASK)).all()
    assert (samples[batch.rows, batch.columns] == batch.targets).all()
    untouched = np.ones(samples.shape, bool)
    untouched[batch.rows, batch.columns] = False
    assert (batch.ids[untouched] == samples[untouched]).all()
    ordinary = ((samples >= 4) & (samples < MASK)).sum(1)
    drawn = np.bincount(batch.rows, minlength=count)
    assert ((drawn == np.floor(rate * ordinary)) | (drawn == np.floor(rate * ordinary) + 1)).all()


def test_plain_twin() -> None:
    samples = samples_of(20, 33, low=1)
    batch = mask(samples, seed=9, update=7)
    drawn = set(zip(batch.rows.tolist(), batch.columns.tolist(), strict=True))
    for row, sample in enumerate(samples):
        key = mix(9, 7, row)
        places = [c for c, piece in enumerate(sample) if 4 <= piece < MASK]
        amount = int(0.15 * len(places) + float(uniform(key, AMOUNT)))
        places.sort(key=lambda c: float(uniform(mix(key, c), POSITIONS)))
        assert {c for r, c in drawn if r == row} == set(places[:amount])


def test_shares_are_the_papers() -> None:
    samples = samples_of(4000, 101)
    batch = mask(samples)
    assert len(batch.targets) / (4000 * 100) == pytest.approx(0.15, abs=0.002)
    seen = batch.ids[batch.rows, batch.columns]
    assert (seen == MASK).mean() == pytest.approx(0.8, abs=0.005)
    # One in 45 random pieces is the piece itself.
    assert ((seen == batch.targets).mean()) == pytest.approx(0.1 + 0.1 / 45, abs=0.005)
    replaced = seen[(seen != MASK) & (seen != batch.targets)]
    frequencies = np.bincount(replaced, minlength=VOCABULARY)
    assert frequencies[:4].sum() == frequencies[MASK] == 0
    assert frequencies[4:MASK].min() > 0.6 * len(replaced) / 45
    columns = np.bincount(batch.columns, minlength=101)
    assert columns[0] == 0
    assert columns[1:].std() / columns[1:].mean() < 0.06  # 600 a column: 4 % of chance


def test_rounding_is_at_random_and_right_in_the_mean() -> None:
    drawn = np.bincount(mask(samples_of(5000, 11)).rows, minlength=5000)  # 10 pieces: 1.5 in the mean
    assert set(drawn.tolist()) == {1, 2}
    assert drawn.mean() == pytest.approx(1.5, abs=0.03)


def test_same_words_same_masks_other_words_other_masks() -> None:
    samples = samples_of(8, 64)
    first = mask(samples, update=3)
    assert (mask(samples, update=3).ids == first.ids).all()
    assert (mask(samples, update=4).ids != first.ids).any()
    assert (mask(samples, seed=2, update=3).ids != first.ids).any()
    second_half = mask_samples(samples[4:], MaskedVocabulary.plain(VOCABULARY), 0.15, 1, 3, np.arange(4, 8))
    assert (second_half.ids == first.ids[4:]).all()  # whoever holds the sample masks it alike


@given(size=st.integers(1, 9), count=st.integers(1, 9))
@settings(deadline=None)
def test_micro_batches_are_the_batch(size: int, count: int) -> None:
    batch = mask(samples_of(count, 30))
    parts = list(batch.split(size))
    assert max(len(part.ids) for part in parts) <= size
    assert (np.concatenate([part.ids for part in parts]) == batch.ids).all()
    assert (np.concatenate([part.targets for part in parts]) == batch.targets).all()
    for part in parts:
        assert len(part.where) == len(part.targets)
    flat = np.concatenate([part.where + size * number * 30 for number, part in enumerate(parts)])
    assert (flat == batch.where).all()


def test_keep_is_none_without_padding() -> None:
    samples = samples_of(2, 10)
    assert mask(samples).keep is None
    samples[1, 5:] = 1
    keep = mask(samples).keep
    assert keep is not None
    assert keep.tolist() == [[True] * 10, [True] * 5 + [False] * 5]
