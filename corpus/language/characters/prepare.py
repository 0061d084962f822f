"""Prepares texts for identifiers: what does not differ by language is removed, and characters have one form.

Identifiers have learnt composed characters, mostly in lower case. In every profile but cc_net's, whose texts go to its
model as they are.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
"""Soft hyphens, spaces without width and marks of direction; not what joins letters (U+200C, U+200D)."""
_MARKUP = re.compile(r"</?[A-Za-z][^<>]{0,500}>|&(?:#\w{1,8}|[A-Za-z]{2,8});|https?://\S+|\bwww\.\S+|\S+@\S+\.\w+")
_TURKISH_CAPITALS = re.compile("[İĞƏ]")
_DOTTED = "i\u0307"
"""What Python makes of İ in lower case."""


def prepared(texts: Sequence[str]) -> list[str]:
    """The texts in NFC, without tags, addresses and invisible characters; in lower case if all letters are capitals."""
    return [_prepared(text) for text in texts]


def _prepared(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFC", _INVISIBLE.sub("", text))
    if "<" in text or "&" in text or "@" in text or "://" in text or "www." in text:
        text = _MARKUP.sub(" ", text)
    return lowered(text) if text.isupper() else text


def lowered(text: str) -> str:
    """Lower case. I becomes ı where a letter shows Turkish or Azerbaijani."""
    if _TURKISH_CAPITALS.search(text):
        text = text.replace("I", "ı")
    return text.lower().replace(_DOTTED, "i")
