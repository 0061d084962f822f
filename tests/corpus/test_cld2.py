"""CLD2 as a voter: its names of languages, several in a text, and characters that it does not take."""

from __future__ import annotations

import unicodedata

import numpy as np
import pycld2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.language.labels import NO_LANGUAGE
from corpus.language.models.cld2 import Cld2

KNOWN = {"de", "en", "fr", "he", "jv", "sr", "zh", "ru", "ja"}
GERMAN = "Das Wetter ist heute schön, und wir gehen zusammen in den Wald spazieren."
FRENCH = "Le temps est beau aujourd'hui et nous allons nous promener ensemble dans la forêt."


@pytest.fixture(scope="module")
def cld2() -> Cld2:
    return Cld2(KNOWN)


def best(cld2: Cld2, *texts: str) -> list[str]:
    return [cld2.codes[place] for place in cld2.probabilities(texts).argmax(1)]


def test_its_names_are_ours(cld2):
    assert set(cld2.codes) == KNOWN | {NO_LANGUAGE}
    texts = ["שלום לכולם, מה שלומכם היום", "繁體中文的說明文件和學習資料", "我们一起学习中文的说明文件", GERMAN]
    assert best(cld2, *texts) == ["he", "zh", "zh", "de"]


def test_what_it_cannot_say_and_what_others_do_not_know(cld2):
    assert best(cld2, "", "12345", "Det er en norsk setning om været i dag og i morgen.") == [NO_LANGUAGE] * 3


def test_the_shares_of_two_languages(cld2):
    likely = dict(zip(cld2.codes, cld2.probabilities([f"{GERMAN * 3} {FRENCH * 3}"])[0].tolist(), strict=True))
    assert likely["de"] == pytest.approx(0.5, abs=0.15)
    assert likely["fr"] == pytest.approx(0.5, abs=0.15)


def test_a_character_that_it_does_not_take_is_left_out(cld2):
    refused = [chr(point) for point in (0, 8, 11, 31, 127, 133, 0xFDD0, 0xFFFE, 0x1FFFF, 0x10FFFF)]
    for character in refused:
        with pytest.raises(pycld2.error):
            pycld2.detect(character + GERMAN)
    assert best(cld2, *(character + GERMAN for character in refused)) == ["de"] * len(refused)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), max_size=5))
def test_any_text_has_probabilities(texts):
    likely = Cld2(KNOWN).probabilities(texts)
    assert likely.shape == (len(texts), len(KNOWN) + 1)
    assert np.allclose(likely.sum(1), 1, atol=1e-5)


def test_every_character_is_taken_by_itself(cld2):
    """Those of the basic plane that are no letters, signs or surrogates."""
    points = (chr(point) for point in range(0x10000) if unicodedata.category(chr(point)) in ("Cc", "Cn", "Cf"))
    likely = cld2.probabilities([f"abc {character}" for character in points])
    assert np.isfinite(likely).all()
