"""The rule by which identifiers are combined: against a plain one, learnt, and through its card."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.language.accuracy import accuracy
from corpus.language.combination.rule import (
    LENGTHS,
    PRIOR_WEIGHTS,
    Combination,
    Examples,
    Voter,
    VoterInput,
    all_codes,
    learn,
)
from corpus.language.identifier import load_identifier
from corpus.language.prior.base_rates import prior_of
from corpus.language.settings import LanguageId


def weight_at(weights: list[float], length: int) -> float:
    """Linear in the logarithm between LENGTHS, constant beyond."""
    if length <= LENGTHS[0]:
        return weights[0]
    for place in range(len(LENGTHS) - 1):
        low, high = LENGTHS[place], LENGTHS[place + 1]
        if length <= high:
            share = math.log(length / low) / math.log(high / low)
            return weights[place] * (1 - share) + weights[place + 1] * share
    return weights[-1]


def plain_probabilities(rule: Combination, found: list[dict[str, float]], length: int) -> dict[str, float]:
    """The rule as it is written down."""
    rarity = weight_at(rule.prior_weights.tolist(), length)
    products = {code: prior**rarity for code, prior in zip(rule.codes, rule.prior.tolist(), strict=True)}
    for voter, likely in zip(rule.voters, found, strict=True):
        weight = weight_at(voter.weights.tolist(), length)
        for row, code in enumerate(rule.codes):
            evidence = sum(likely[label] * voter.confusion[row, place] for place, label in enumerate(voter.labels))
            products[code] *= (evidence + 1e-6) ** weight
    return {code: product / sum(products.values()) for code, product in products.items()}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 5, 9, 35, 120, 900]), st.sampled_from([2, 3]))
def test_the_rule(seed, length, voters):
    rng = np.random.default_rng(seed)
    labels = [["de", "en", "sw"], ["de", "en", "zu"], ["en", "zxx"]][:voters]
    made = [
        Voter(
            "one",
            names,
            rng.dirichlet([1] * len(names), 4).astype(np.float32),
            rng.uniform(0, 2, len(LENGTHS)).astype(np.float32),
        )
        for names in labels
    ]
    codes = all_codes(labels)
    prior = np.array([2.5, 2, 1, 0.1], np.float32)
    rule = Combination(codes, tuple(made), prior, rng.uniform(0, 1, len(LENGTHS)).astype(np.float32))
    assert rule.codes == ["de", "en", "sw", "zu"]
    found = [rng.dirichlet([1] * len(names), 2).astype(np.float32) for names in labels]
    for text, got in enumerate(rule.probabilities(found, [length, length])):
        named = [dict(zip(names, one[text].tolist(), strict=True)) for names, one in zip(labels, found, strict=True)]
        expected = plain_probabilities(rule, named, length)
        assert got.tolist() == pytest.approx([expected[code] for code in rule.codes], abs=1e-4)


def test_learning_the_rule():
    """The first model takes zu for sw; ours knows de and zu, but is often wrong about de, and guesses on short text."""
    truth = ["de", "zu", "sw"] * 20
    base = np.array([[0.9, 0.1], [0.2, 0.8], [0.1, 0.9]] * 20, np.float32)
    own = np.array([[0.4, 0.6], [0.1, 0.9], [0.5, 0.5]] * 10 + [[0.5, 0.5]] * 30, np.float32)
    examples = Examples(truth, [200] * 30 + [5] * 30, np.ones((60, 3), bool))
    rule = learn(
        [VoterInput("base", ["de", "sw"], base), VoterInput("own", ["de", "zu"], own)],
        examples,
        {"de": 1, "sw": 0.5, "zu": 1},
    )
    assert rule.prior.tolist() == [1, 0.5, 1]
    assert rule.prior_weights.tolist() == pytest.approx(PRIOR_WEIGHTS)
    first, second = rule.voters
    assert rule.codes == ["de", "sw", "zu"]
    assert first.confusion[2, 1] == pytest.approx(0.8, abs=0.05)
    assert second.confusion[0, 1] == pytest.approx(0.55, abs=0.06)
    assert second.confusion[1].tolist() == pytest.approx([0.5, 0.5], abs=0.01)
    assert second.weights[0] < second.weights[-1]
    predicted = [rule.codes[i] for i in rule.probabilities([base, own], examples.lengths).argmax(1)]
    assert accuracy(truth[:30], predicted[:30])["right"] > 0.6
    assert predicted[:2] == ["de", "zu"]


def test_a_rule_goes_through_its_card():
    weights = np.arange(len(LENGTHS), dtype=np.float32)
    made = Voter("one", ["a"], np.ones((2, 1), np.float32), weights)
    prior = np.array([1.5, 0.25], np.float32)
    card = Combination(["a", "b"], (made,), prior, weights / np.float32(8)).to_card()
    again = Combination.from_card(json.loads(json.dumps(card)))
    assert (again.codes, again.prior.tolist()) == (["a", "b"], [1.5, 0.25])
    assert again.prior_weights.tolist() == (weights / 8).tolist()
    (voter,) = again.voters
    assert (voter.identifier, voter.labels, voter.weights.tolist()) == ("one", ["a"], weights.tolist())
    assert voter.confusion.tolist() == [[1.0], [1.0]]


def test_the_prior_by_base_rate():
    prior = prior_of(["en", "es", "ff", "gl", "lad", "xh", "zh"], 0.25, 0.03)
    assert sorted(prior, key=lambda code: -prior[code]) == ["en", "zh", "es", "gl", "ff", "xh", "lad"]
    assert prior["ff"] == prior["xh"] == pytest.approx((1e-4 / 1e-3) ** 0.25)  # rarer than that is as rare
    assert prior["lad"] == 0.03
    assert set(prior_of(["en", "ff"], 0, 0.03).values()) == {1}


def test_the_prior_decides_where_models_do_not():
    """Two languages with the same evidence: the prior decides, less for a longer text."""
    same = Voter("one", ["a"], np.ones((2, 1), np.float32), np.ones(len(LENGTHS), np.float32))
    rule = Combination(["a", "b"], (same,), np.array([1, 0.1], np.float32), np.array(PRIOR_WEIGHTS, np.float32))
    found, lengths = [np.ones((3, 1), np.float32)], [5, 35, 500]
    likely = rule.probabilities(found, lengths)[:, 1]
    assert likely.tolist() == pytest.approx([0.1**u / (1 + 0.1**u) for u in (1, 0.83, 0.5)], rel=1e-3)
    assert rule.probabilities(found, lengths, with_prior=False).tolist() == [[0.5, 0.5]] * 3


def test_a_text_with_too_few_letters_has_no_language():
    texts = ["ab", "abc", "да", "я", "猫", "12345", "12 a"]
    least = {value: LanguageId(labels="cc100", own_model="built-in", least_letters=value) for value in (0, 3)}
    names, scores = load_identifier(least[3]).identify(texts)
    assert [name != "" for name in names] == [False, True, True, False, True, False, False]
    assert (scores > 0).tolist() == [name != "" for name in names]
    assert all(load_identifier(least[0]).identify(texts)[0])
    assert "least_letters" in LanguageId().inert()
