"""What CCNet makes of a document before the language model reads it.

Of lines before they are hashed: corpus/duplicates/normalise.py.
Source: cc_net/text_normalizer.py at bda555b (the code, where it and the CCNet paper differ).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import chain

# fmt: off
ASCII_LOOK_ALIKES = {
    "，": ",", "。": ".", "、": ",", "„": '"', "”": '"', "“": '"', "«": '"', "»": '"', "１": '"', "」": '"', "「": '"',
    "《": '"', "》": '"', "´": "'", "∶": ":", "：": ":", "？": "?", "！": "!", "（": "(", "）": ")", "；": ";",
    "–": "-", "—": " - ", "．": ". ", "～": "~", "’": "'", "…": "...", "━": "-", "〈": "<", "〉": ">", "【": "[",
    "】": "]", "％": "%", "►": "-",
}
# fmt: on
"""The 34 punctuation characters of cc_net, and what it writes in their place for the language model."""

CONTROLS = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0)]))

_DIGIT = re.compile(r"\d")
_CONTROL = re.compile(f"[{re.escape(CONTROLS)}]+")
_PUNCTUATION = re.compile(f"[{''.join(ASCII_LOOK_ALIKES)}]")


def changeable() -> Iterator[int]:
    """The code points that some step may change: the others are ideographs, private or nothing."""
    return chain(range(0x20000), range(0x2F800, 0x2FA20), range(0xE0000, 0xE1000))


@cache
def _nonspacing_marks() -> re.Pattern[str]:
    """All characters of category Mn. It takes 50 ms to find them: only when there is text to be normalised."""
    marks = [code for code in changeable() if unicodedata.category(chr(code)) == "Mn"]
    starts = [code for code in marks if unicodedata.category(chr(code - 1)) != "Mn"]
    ends = [code for code in marks if unicodedata.category(chr(code + 1)) != "Mn"]
    ranges = (f"{chr(start)}-{chr(end)}" for start, end in zip(starts, ends, strict=True))
    return re.compile(f"[{''.join(ranges)}]+")


def normalise_for_language_model(document: str) -> str:
    """Normalise one document: strip, lower, no accents (NFD without Mn), digits to 0, ASCII punctuation, no controls.

    Newlines are controls: a document becomes one line, its lines glued together.
    """
    text = document.strip().lower()
    if not text.isascii():
        text = _nonspacing_marks().sub("", unicodedata.normalize("NFD", text))
    text = _DIGIT.sub("0", text)
    if not text.isascii():
        text = _PUNCTUATION.sub(lambda match: ASCII_LOOK_ALIKES[match[0]], text)
    return _CONTROL.sub("", text)
