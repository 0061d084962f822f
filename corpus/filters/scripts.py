"""Scripts: which letters belong to which, which languages are written in which, and which without spaces."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

# Ranges of code points (hexadecimal, both ends in) whose letters are the script's, after Scripts.txt of Unicode.
_RANGES = {
    "Latin": "41-aa ba-2b8 2e0-2e4 1d00-1d25 1d2c-1d5c 1d62-1d65 1d6b-1d77 1d79-1dbe 1e00-1eff 2071-209c 212a-212b "
    "2132-2132 214e-2184 2c60-2c7f a722-a787 a78b-a7ff ab30-ab64 ab66-ab69 fb00-fb06 ff21-ff5a 10780-107ba 1df00-1df2a",
    "Greek": "370-373 376-3e1 3f0-3ff 1d26-1d2a 1d5d-1d61 1d66-1d6a 1dbf-1dbf 1f00-1ffc 2126-2126 ab65-ab65",
    "Cyrillic": "400-52f 1c80-1c8a 1d2b-1d2b 1d78-1d78 a640-a69d",
    "Armenian": "531-588 fb13-fb17",
    "Hebrew": "5d0-5f2 fb1d-fb4f",
    "Arabic": "620-6ff 750-77f 870-8c9 fb50-fefc 1ee00-1eebb",
    "Devanagari": "904-97f a8f2-a8fe",
    "Bengali": "980-9fc",
    "Gurmukhi": "a05-a74",
    "Gujarati": "a85-af9",
    "Oriya": "b05-b71",
    "Tamil": "b83-bd0",
    "Telugu": "c05-c61",
    "Kannada": "c80-cf2",
    "Malayalam": "d04-d7f",
    "Sinhala": "d85-dc6",
    "Thai": "e01-e46",
    "Lao": "e81-edf",
    "Myanmar": "1000-108e a9e0-a9fe aa60-aa7f",
    "Georgian": "10a0-10ff 1c90-1cbf 2d00-2d2d",
    "Hangul": "1100-11ff 3131-318e a960-a97c ac00-d7fb ffa0-ffdc",
    "Ethiopic": "1200-138f 2d80-2dde ab01-ab2e 1e7e0-1e7fe",
    "Khmer": "1780-17dc",
    "Han": "3005-3005 303b-303b 3400-9fff f900-fad9 16fe3-16fe3 20000-323af",
    "Kana": "3041-30ff 31f0-31ff ff66-ff9d 1aff0-1b167",
    "Bopomofo": "3105-312f 31a0-31bf",
    "Mongolian": "1820-18aa",
}

# The 116 codes of CC100, and codes of lid.176 beside them. Where a language is written in several scripts, all of them.
_LANGUAGES = {
    "Latin": "af az bn_rom br bs ca cs cy da de en eo es et eu ff fi fr fy ga gd gl gn ha hi_rom hr ht hu id ig is it "
    "jv ku la lg li ln lt lv mg ms nl no nn nb ns om pl pt qu rm ro sc sk sl so sq sr ss su sv sw ta_rom te_rom tl tn "
    "tr ur_rom uz vi wo xh yo zu als ast ceb lb oc sh war kk tk tt",
    "Greek": "el",
    "Cyrillic": "az be bg bs kk ky mk mn ru sr ug uk uz sh ba cv ce tg tk tt os",
    "Armenian": "hy",
    "Hebrew": "he yi",
    "Arabic": "ar az fa ku kk ky ps sd ug ur uz arz azb ckb pnb",
    "Devanagari": "hi mr ne sa sd gom bh mai new",
    "Bengali": "as bn",
    "Gurmukhi": "pa",
    "Gujarati": "gu",
    "Oriya": "or",
    "Tamil": "ta",
    "Telugu": "te",
    "Kannada": "kn",
    "Malayalam": "ml",
    "Sinhala": "si",
    "Thai": "th",
    "Lao": "lo",
    "Myanmar": "my my_zaw",
    "Georgian": "ka",
    "Hangul": "ko",
    "Ethiopic": "am",
    "Khmer": "km",
    "Han": "ja ko zh zh-Hans zh-Hant wuu yue",
    "Kana": "ja",
    "Bopomofo": "zh zh-Hant",
    "Mongolian": "mn",
}

CHARACTERS_PER_WORD = {
    "zh": 2, "zh-Hans": 2, "zh-Hant": 2, "wuu": 2, "yue": 2, "ja": 2, "th": 4, "lo": 4, "km": 4, "my": 4, "my_zaw": 4,
}  # fmt: skip
"""Languages written without spaces between words, and how many characters are taken for a word there: our choice."""

NO_TERMINAL_PUNCTUATION = frozenset({"th", "lo"})
"""Languages whose sentences end without a mark."""

_NAMES = tuple(_RANGES)
_NO_LETTER = 255
_NO_SCRIPT = 254


def scripts_of(language: str) -> frozenset[str]:
    """The scripts that a language is written in; none for a language that is not known here."""
    return frozenset(script for script, languages in _LANGUAGES.items() if language in languages.split())


def script_share(text: str, language: str) -> float | None:
    """The share of the letters of ``text`` that are in the scripts of ``language``.

    None where the language is not known here. Text without letters has the share 0. Marks (vowel signs) do not count.
    """
    wanted = _wanted(language)
    if wanted is None:
        return None
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    by_script = np.bincount(_script_of_codes().take(codes), minlength=256)
    letters = int(by_script[:_NO_LETTER].sum())
    return float(by_script[wanted].sum()) / letters if letters else 0.0


@cache
def _wanted(language: str) -> npt.NDArray[np.int64] | None:
    scripts = scripts_of(language)
    return np.array([_NAMES.index(script) for script in sorted(scripts)]) if scripts else None


@cache
def _script_of_codes() -> npt.NDArray[np.uint8]:
    """The number of the script of each code point; other letters and what is no letter have numbers of their own."""
    codes = 0x110000
    letters = np.fromiter(map(str.isalpha, map(chr, range(codes))), bool, codes)
    table = np.full(codes, _NO_SCRIPT, np.uint8)
    for number, ranges in enumerate(_RANGES.values()):
        for pair in ranges.split():
            first, last = (int(end, 16) for end in pair.split("-"))
            table[first : last + 1] = number
    table[~letters] = _NO_LETTER
    return table
