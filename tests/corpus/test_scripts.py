"""Preparing texts for identifiers, and the rule that a language is written in the text's main script."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.language.text_sources import OTHER_SCRIPTS, in_the_other_alphabet
from corpus.language.characters.prepare import lowered, prepared
from corpus.language.characters.scripts import WrittenLanguages, main_scripts
from corpus.language.identifier import load_identifier
from corpus.language.settings import LanguageId

KOREAN = "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다."
CZECH = "Všichni lidé rodí se svobodní a sobě rovní co do důstojnosti a práv."
TURKISH = "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar."


@pytest.mark.parametrize(
    ("text", "script"),
    [("Visa", "Latin"), ("本店接受 Visa、MasterCard 付款", "Han"), ("東京タワーは高い", "Hiragana"),
     ("カタカナ", "Hiragana"), ("大韓民國의 歷史", "Hangul"), ("8.1 – 2013", ""), ("", ""), ("ქართული", "Georgian"),
     ("Скачать Windows 8.1", "Cyrillic"), ("中文の店名称接受付款服务支持本店接受信用卡", "Han")],
)  # fmt: skip
def test_main_scripts(text, script):
    assert main_scripts([text, "x"]) == [script, "Latin"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(st.characters(), max_size=30), max_size=5))
def test_the_main_script_does_not_depend_on_the_batch(texts):
    assert main_scripts(texts) == [main_scripts([text])[0] for text in texts]
    assert WrittenLanguages(["de", "x-y"]).allowed(texts).shape == (len(texts), 2)


def test_languages_that_are_written_in_a_script():
    languages = WrittenLanguages(["zh", "ja", "sr", "smn-unknown", "de"])
    assert languages.allowed(["中文", "かな", "да", "da", "12"]).tolist() == [
        [True, True, False, True, False],
        [False, True, False, True, False],
        [False, False, True, True, False],
        [False, False, True, True, True],
        [True] * 5,
    ]


def test_every_code_of_the_built_in_identifier_is_in_the_table():
    codes = load_identifier(LanguageId(labels="cc100", own_model="built-in")).codes
    texts = ["Latin", "кирилица", "العربية", "中文", "かな", "한글", "हिन्दी", "ქართული"]
    unknown = [
        code for code, all_fit in zip(codes, WrittenLanguages(codes).allowed(texts).all(0), strict=True) if all_fit
    ]
    assert unknown == []


@pytest.mark.parametrize("identifier", [LanguageId(labels="cc100"), LanguageId(labels="cc100", own_model="built-in")])
def test_normal_form_and_capitals_do_not_change_the_language(identifier):
    texts = [KOREAN, CZECH, TURKISH]
    expected = load_identifier(identifier).identify(texts)[0]
    assert expected == ["ko", "cs", "tr"]
    for form in ("NFD", "NFC"):
        assert load_identifier(identifier).identify([unicodedata.normalize(form, t) for t in texts])[0] == expected
    capitals = [text.replace("i", "İ").upper() if text == TURKISH else text.upper() for text in texts]
    assert load_identifier(identifier).identify(capitals)[0] == expected


def test_a_chinese_line_with_a_latin_name():
    for own_model in ("", "built-in"):
        found = load_identifier(LanguageId(labels="cc100", own_model=own_model)).identify(
            ["本店接受 Visa、MasterCard 付款", "𓀀𓀁𓀂"]
        )
        assert found[0] == ["zh-Hans", ""]
        assert found[1][1] == 0


def test_prepared():
    assert prepared(["<b>Haus</b>&nbsp;und", "Sil\u00adbe\u200b", "IST DAS", "e\u0301", "می\u200cخواهم"]) == [
        " Haus  und",
        "Silbe",
        "ist das",
        "é",
        "می\u200cخواهم",
    ]
    assert prepared(["see https://a.example/x now", "me@a.example", "R&D here <3"]) == ["see   now", " ", "R&D here <3"]
    assert (lowered("IŞIK DAĞ İL"), lowered("TITLE")) == ("ışık dağ il", "title")


def test_spelling_in_the_other_script():
    """As the Declaration is written in both scripts by its translators."""
    texts = {
        "ug": ("ئادەم زاتىدىنلا ئەركىن، ئىززەت-ھۆرمەت ۋە ھوقۇقتا", "adem zatidinla erkin, izzet-hörmet we hoquqta"),
        "sr": ("Сва људска бића рађају се слободна", "sva ljudska bića rađaju se slobodna"),
        "uz": (
            "qadr-qimmat va huquqlarda teng bo‘lib tug‘iladilar",
            "қадр-қиммат ва ҳуқуқларда тенг бўлиб туғиладилар",
        ),
    }
    for code, (one, other) in texts.items():
        ((spelt,),) = in_the_other_alphabet(code, [[one]])
        assert spelt == other
        assert main_scripts([spelt]) == [OTHER_SCRIPTS[code]]
