"""What no model is asked: script of Chinese, encoding of Burmese, Latin letters; against plain twins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.language.characters import splitters
from corpus.language.characters.code_points import code_points, sums
from corpus.language.characters.splitters import is_romanised, is_traditional, is_zawgyi, split
from corpus.language.characters.zawgyi import zawgyi_probabilities

HAN_TABLE = Path(splitters.__file__).with_name("han.tsv")
HAN = dict(line.split("\t") for line in HAN_TABLE.read_text(encoding="utf-8").splitlines())

# From compatibility.tsv of google/myanmar-tools (Apache-2.0): probabilities of its Java implementation.
ZAWGYI = [
    ("ascii mixed with စင်္ကာပူမှာ unicode", 1.7578816048593336e-11),
    ("ascii mixed with ဘဂၤလားေဒရွ္႕ zawgyi", 0.9999999999720051),
    ("လူခပ်သိမ်း၏", 0.26211359963003),
]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(max_size=20), max_size=6))
def test_sums_over_texts(texts):
    points, starts = code_points(texts)
    assert sums(points, starts).tolist() == [sum(map(ord, text)) for text in texts]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(st.sampled_from(HAN["simplified"][:40] + HAN["traditional"][:40] + "中a "), max_size=9)))
def test_chinese_script_is_a_count(texts):
    def plain(text: str) -> bool:
        return sum(c in HAN["traditional"] for c in text) > sum(c in HAN["simplified"] for c in text)

    assert is_traditional(texts).tolist() == [plain(text) for text in texts]


def test_chinese_sets_do_not_meet():
    assert not set(HAN["simplified"]) & set(HAN["traditional"])
    assert set("国学语说与") <= set(HAN["simplified"])
    assert set("國學語說與") <= set(HAN["traditional"])
    assert not set("中文人一") & set(HAN["simplified"] + HAN["traditional"])


def test_zawgyi_probabilities_of_its_authors():
    texts = [text for text, _ in ZAWGYI]
    assert zawgyi_probabilities(texts) == pytest.approx([value for _, value in ZAWGYI], rel=1e-4)


def test_zawgyi_of_a_text_does_not_hang_on_its_neighbours():
    texts = ["", "abc", *(text for text, _ in ZAWGYI), "၅၂၀"]
    as_a_batch = zawgyi_probabilities(texts)
    alone = [zawgyi_probabilities([text])[0] for text in texts]
    assert np.allclose(as_a_batch, alone, rtol=1e-9)
    assert as_a_batch[0] == as_a_batch[1] == 0


def test_romanised():
    texts = ["aap kaise hain", "आप कैसे हैं", "", "123 !?", "Windows खोलें और फ़ाइल चुनें", "ÀÉ ñ अ"]
    assert is_romanised(texts).tolist() == [True, False, False, False, False, True]


def test_split_by_code():
    codes = ["zh", "zh", "my", "hi", "ta", "de", "my_zaw", "ur_rom", ""]
    texts = ["简体汉语", "國語", ZAWGYI[1][0], "kya hai", "தமிழ்", "國", ZAWGYI[0][0], "یہ کیا ہے", ""]
    assert split(codes, texts) == ["zh-Hans", "zh-Hant", "my_zaw", "hi_rom", "ta", "de", "my", "ur", ""]
    assert is_zawgyi([]).tolist() == []
    assert split([], []) == []
