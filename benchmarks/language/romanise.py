"""Native text of five languages in Latin letters, spelt as people spell it: training text for the romanised codes.

Nobody writes bn hi ta te ur in a scholarly transliteration on the web. A paragraph draws a manner of spelling (long
vowels doubled or not, v or w, sh or s …) and keeps to it; the inherent vowel is dropped where speech drops it; the
commonest words are spelt as everybody spells them. Urdu writes no short vowels: they are put between consonants by
rule.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

LANGUAGES = ("bn", "hi", "ta", "te", "ur")

Letters = dict[int, str]

# Places in a block of Unicode, the same in the four Brahmic scripts of India (from ISCII).
_BLOCK = {"hi": 0x900, "bn": 0x980, "ta": 0xB80, "te": 0xC00}
_ALL_CONSONANTS = "k kh g gh ng ch chh j jh ny t th d dh n t th d dh n n p ph b bh m y r r l l zh v sh sh s h"
_CONSONANTS: Letters = dict(zip(range(0x15, 0x3A), re.findall(r"\w+", _ALL_CONSONANTS), strict=True))
_CONSONANTS |= {0x5C: "r", 0x5D: "r", 0x5F: "y"}
_OWN_CONSONANTS: dict[str, Letters] = {
    "bn": {0x2F: "j", 0x35: "b", 0x1E: "n"},
    "ta": {0x24: "th", 0x1F: "t", 0x2B: "f", 0x31: "r", 0x33: "l", 0x28: "n", 0x29: "n", 0x1A: "s"},
}
_VOWELS: Letters = {
    0x05: "a", 0x06: "aa", 0x07: "i", 0x08: "ii", 0x09: "u", 0x0A: "uu", 0x0B: "ri", 0x0D: "e", 0x0E: "e", 0x0F: "E",
    0x10: "ai", 0x11: "o", 0x12: "o", 0x13: "O", 0x14: "au",
}  # fmt: skip
_SIGNS: Letters = {place + 0x38: sound for place, sound in _VOWELS.items() if place > 5}
_VIRAMA, _NUKTA = 0x4D, 0x3C
_NASALS: dict[str, Letters] = {
    "bn": {0x01: "", 0x02: "ng", 0x03: "h"},
    "hi": {0x01: "n", 0x02: "n", 0x03: "h"},
    "ta": {0x03: "h"},
    "te": {0x01: "n", 0x02: "n", 0x03: "h"},
}
_WITH_NUKTA = {"k": "q", "kh": "kh", "g": "gh", "d": "r", "dh": "rh", "ph": "f", "y": "y"}
_INHERENT = {"hi": "a", "bn": "o", "ta": "a", "te": "a"}
_UNSPOKEN = "*"
"""Stands after a consonant for its inherent vowel until it is known whether that is spoken."""

_URDU_LETTERS = {
    "ا": "a", "آ": "aa", "ب": "b", "پ": "p", "ت": "t", "ٹ": "t", "ث": "s", "ج": "j", "چ": "ch", "ح": "h", "خ": "kh",
    "د": "d", "ڈ": "d", "ذ": "z", "ر": "r", "ڑ": "r", "ز": "z", "ژ": "zh", "س": "s", "ش": "sh", "ص": "s", "ض": "z",
    "ط": "t", "ظ": "z", "ع": "a", "غ": "gh", "ف": "f", "ق": "q", "ک": "k", "گ": "g", "ل": "l", "م": "m", "ن": "n",
    "ں": "n", "و": "o", "ہ": "h", "ھ": "h", "ی": "i", "ے": "e", "ئ": "i", "ؤ": "o", "ۃ": "h", "َ": "a", "ِ": "i",
    "ُ": "u", "ً": "an", "ۂ": "h", "أ": "a", "ي": "i", "ك": "k", "ه": "h", "ة": "h",
}  # fmt: skip

_LONG = {
    "doubled": {"aa": "aa", "ii": "ee", "uu": "oo", "E": "e", "O": "o"},
    "simple": {"aa": "a", "ii": "i", "uu": "u", "E": "e", "O": "o"},
    "both": {"aa": "a", "ii": "ee", "uu": "oo", "E": "e", "O": "o"},
}
_VARIANTS = (("v", "w"), ("sh", "s"), ("chh", "ch"), ("zh", "l"), ("ph", "f"), ("th", "t"), ("ny", "n"))
_VARIANT_SHARE = 0.25


class Manner:
    """How one writer spells."""

    def __init__(self, rng: random.Random) -> None:
        self._long = _LONG[rng.choice(["doubled", "simple", "both", "simple"])]
        self._variants = [variant for variant in _VARIANTS if rng.random() < _VARIANT_SHARE]

    def spell(self, word: str) -> str:
        """The word with this writer's long vowels and variants."""
        word = re.sub(r"aa|ii|uu|E|O", lambda match: self._long[match[0]], word)
        for old, new in self._variants:
            word = word.replace(old, new)
        return word


def documents(code: str, native: Iterable[list[str]]) -> Iterator[list[str]]:
    """The same documents in Latin letters. The same text gives the same spelling."""
    common = _common_words(code)
    convert: Callable[[str], str] = urdu_word if code == "ur" else partial(brahmic_word, code)
    first, last = (0x600, 0x6FF) if code == "ur" else (_BLOCK[code], _BLOCK[code] + 0x7F)
    word = re.compile(f"[{chr(first)}-{chr(last)}\u200c\u200d]+")
    rng = random.Random(f"romanise {code}")
    for paragraphs in native:
        yield [_spelt(paragraph, word, common, convert, Manner(rng)) for paragraph in paragraphs]


def _spelt(
    paragraph: str, word: re.Pattern[str], common: dict[str, str], convert: Callable[[str], str], manner: Manner
) -> str:
    return word.sub(lambda match: manner.spell(common.get(match[0]) or convert(match[0])), paragraph)


def _common_words(code: str) -> dict[str, str]:
    lines = Path(__file__).with_name("romanised_words.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return {native: spelling for language, native, spelling in rows if language == code}


def brahmic_word(code: str, native: str) -> str:
    """A word of Hindi, Bengali, Tamil or Telugu; long vowels as aa ii uu E O."""
    consonants = _CONSONANTS | _OWN_CONSONANTS.get(code, {})
    sounds: list[str] = []
    for character in native:
        place = ord(character) - _BLOCK[code]
        if place in consonants:
            after_virama = sounds[-1:] == [""]
            sounds += ["y" if code == "bn" and place == 0x2F and after_virama else consonants[place], _UNSPOKEN]
        elif place == _NUKTA and len(sounds) > 1:
            sounds[-2] = "z" if (code, sounds[-2]) == ("hi", "j") else _WITH_NUKTA.get(sounds[-2], "y")
        elif sounds and (place in _SIGNS or place == _VIRAMA):
            sounds[-1] = _SIGNS.get(place, "")
        else:
            sounds.append(_VOWELS.get(place) or _NASALS[code].get(place, ""))
    return _spoken(sounds, code)


def _spoken(sounds: list[str], code: str) -> str:
    """With the inherent vowel where it is spoken: not at the end in Hindi and Bengali, nor before a full last vowel."""
    if code in ("hi", "bn") and len(sounds) > 2 and sounds[-1] == _UNSPOKEN:
        sounds[-1] = ""
    if code == "hi":
        for i in range(3, len(sounds) - 2):
            if sounds[i] == _UNSPOKEN and not {sounds[i - 2], sounds[i + 2]} & {"", _UNSPOKEN}:
                sounds[i] = ""
    return "".join(_INHERENT[code] if sound == _UNSPOKEN else sound for sound in sounds)


def urdu_word(native: str) -> str:
    """A word of Urdu, with short vowels where two consonants meet at every other place."""
    letters = [_URDU_LETTERS.get(character, "") for character in native]
    vowels = [letter[:1] in ("a", "i", "e", "o", "u", "") for letter in letters] + [False]
    spelt: list[str] = []
    for i, (character, letter) in enumerate(zip(native, letters, strict=True)):
        if character in "وی" and (i == 0 or vowels[i + 1]):
            spelt.append("w" if character == "و" else "y")
            continue
        if character == "ھ" and spelt[-1:] == ["a"]:
            spelt.pop()
        spelt.append(letter)
        if i % 2 == 0 and not vowels[i] and not vowels[i + 1] and i < len(letters) - 1:
            spelt.append("a")
    return "".join(spelt)
