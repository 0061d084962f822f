"""Words and their tags: first tokens alone are tagged, no word is lost, whatever the length of the sentence."""

from __future__ import annotations

from itertools import chain, pairwise
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetune.heads.encoding import IGNORED
from finetune.heads.tagging import encode_sentences, parts, tags_of
from tokenizer.folder import load_tokenizer

LABELS = ("O", "B-PER", "I-PER", "B-LOC")
WORDS = ["Melbourne", "(", "Australia", ")", "25", "may", "Ünïcode", "中文", "\u200b", "internationalisation"]


def perfect(encoded) -> np.ndarray:
    scores = np.zeros((len(encoded.tokens), len(LABELS)), np.float32)
    reported = encoded.labels != IGNORED
    scores[np.flatnonzero(reported), encoded.labels[reported]] = 1
    scores[~reported, 3] = 5  # what later tokens and the special ones say must not matter
    return scores


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    sentences=st.lists(
        st.lists(st.tuples(st.sampled_from(WORDS), st.integers(0, 3)), max_size=12), min_size=1, max_size=4
    ),
    longest=st.integers(4, 30),
)
def test_every_word_gets_its_tag_back(export: Path, sentences: list[list[tuple[str, int]]], longest: int) -> None:
    tokenizer = load_tokenizer(export)
    words = [[word for word, _ in one] for one in sentences]
    encoded = encode_sentences(words, [[tag for _, tag in one] for one in sentences], tokenizer, longest)
    found = tags_of(perfect(encoded), encoded, [len(one) for one in words], LABELS)
    empty = len(tokenizer.encode("\u200b")) == 0
    expected = [["O" if empty and word == "\u200b" else LABELS[tag] for word, tag in one] for one in sentences]
    assert found == expected
    assert encoded.lengths.max() <= longest
    assert sorted(set(encoded.examples.tolist())) == list(range(len(sentences)))


def test_first_tokens_alone_are_tagged(export: Path) -> None:
    tokenizer = load_tokenizer(export)
    words = ["internationalisation", "of", "Melbourne"]
    tokens = [tokenizer.encode(word).tolist() for word in words]
    assert len(tokens[0]) > 1
    encoded = encode_sentences([words], [[1, 0, 3]], tokenizer, 64)
    assert encoded.tokens.tolist() == [0, *chain(*tokens), 2]
    expected = [IGNORED]
    for tag, one in zip([1, 0, 3], tokens, strict=True):
        expected += [tag, *[IGNORED] * (len(one) - 1)]
    assert encoded.labels.tolist() == [*expected, IGNORED]


def test_words_tokenised_alone_are_the_words_of_the_sentence(export: Path) -> None:
    tokenizer = load_tokenizer(export)
    words = [word for word in WORDS if word != "\u200b"]
    joined = tokenizer.encode(" ".join(words)).tolist()
    assert joined == [number for word in words for number in tokenizer.encode(word).tolist()]


@given(st.lists(st.integers(0, 7), max_size=40), st.integers(7, 20))
def test_parts_fit_and_follow_one_another(lengths: list[int], most: int) -> None:
    found = parts(lengths, most)
    assert [place for start, end in found for place in range(start, end)] == list(range(len(lengths)))
    assert all(sum(lengths[start:end]) <= most for start, end in found)
    for (start, end), (_, following) in pairwise(found):
        assert start < end
        assert following > end
        assert sum(lengths[start : end + 1]) > most, "a row is filled before the next begins"
