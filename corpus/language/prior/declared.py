"""The language that a page declares, as a tag of BCP 47 (``de-AT``, ``zh_TW``), as a code of ours."""

from __future__ import annotations

from functools import lru_cache

from corpus.language.labels import load_table
from corpus.language.settings import CC100

_TRADITIONAL = {"hant", "tw", "hk", "mo"}
_FORMER = {"iw": "he", "in": "id", "ji": "yi", "mo": "ro", "jw": "jv"}
"""Codes that ISO 639 withdrew and pages still have."""
_ROMANISED = {"bn", "hi", "ta", "te", "ur"}


@lru_cache(maxsize=1024)
def declared_code(tag: str) -> str:
    """The code that the table of CC100 gives to the tag's language and script; '' where it is no such tag."""
    language, *rest = tag.strip().lower().replace("_", "-").split("-")
    if not (language.isascii() and language.isalpha() and 2 <= len(language) <= 3):
        return ""
    language = _FORMER.get(language, language)
    code = load_table(CC100).get(language, language)
    if code == "zh":
        return "zh-Hant" if _TRADITIONAL & set(rest) and "hans" not in rest else "zh-Hans"
    return f"{code}_rom" if "latn" in rest and code in _ROMANISED else code
