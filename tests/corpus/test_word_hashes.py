"""Words found by hashes are those that a dict finds; signs are removed from all texts at once as from one."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.language.models.own_model import in_words_alone, words_alone
from corpus.language.models.word_hashes import WordNumbers, hash_words

words = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), max_size=60, unique=True)


@given(words, words)
@settings(max_examples=60, deadline=None)
def test_numbers_are_those_of_a_dict(kept, asked):
    numbers = WordNumbers(len(kept))
    numbers.put(hash_words(pa.array(kept, pa.large_string())), np.arange(len(kept)))
    expected = {word: number for number, word in enumerate(kept)}
    found = numbers.find(hash_words(pa.array(asked + kept, pa.large_string())))
    assert found.tolist() == [expected.get(word, -1) for word in asked + kept]


def test_a_hash_is_of_the_word_alone():
    all_words = pa.array(["a", "", "aa", "ab", "ba", "ñandú", "a\0"], pa.large_string())
    hashes = hash_words(all_words).tolist()
    assert len(set(hashes)) == len(hashes)
    assert hash_words(all_words[3:]).tolist() == hashes[3:]


def test_words_that_are_forgotten():
    numbers = WordNumbers(2)
    hashes = hash_words(pa.array(["one", "two"], pa.large_string()))
    numbers.put(hashes, np.array([5, 6]))
    numbers.clear()
    assert numbers.find(hashes).tolist() == [-1, -1]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), min_size=1, max_size=20))
@settings(max_examples=100, deadline=None)
def test_signs_are_removed_from_all_texts_as_from_one(texts):
    found = in_words_alone(texts).to_pylist()
    assert [text.split() for text in found] == [words_alone(text).split() for text in texts]


@pytest.mark.parametrize("text", ["ΟΔΟΣ", "İSTANBUL—2", "x\ny", "", "a/b «c»", "می‌خواهم"])
def test_signs_of_single_texts(text):
    found = in_words_alone([text, "ΣΑΣ", text]).to_pylist()
    assert [one.split() for one in found] == [words_alone(one).split() for one in (text, "ΣΑΣ", text)]
