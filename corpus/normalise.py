"""The two normalisations of CCNet: of lines before they are hashed, of documents before the language model reads them.

Source: cc_net/text_normalizer.py at bda555b (the code, where it and the CCNet paper differ).
"""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import cache

# fmt: off
ASCII_LOOK_ALIKES = {
    "，": ",", "。": ".", "、": ",", "„": '"', "”": '"', "“": '"', "«": '"', "»": '"', "１": '"', "」": '"', "「": '"',
    "《": '"', "》": '"', "´": "'", "∶": ":", "：": ":", "？": "?", "！": "!", "（": "(", "）": ")", "；": ";",
    "–": "-", "—": " - ", "．": ". ", "～": "~", "’": "'", "…": "...", "━": "-", "〈": "<", "〉": ">", "【": "[",
    "】": "]", "％": "%", "►": "-",
}
# fmt: on
"""The 34 punctuation characters of cc_net, and what it writes in their place for the language model."""

_CONTROLS = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0)]))
_CONTROLS_BUT_NEWLINE = _CONTROLS.replace("\n", "")

_DIGIT = re.compile(r"\d")
_PUNCTUATION_OR_CONTROL = re.compile(f"[{''.join(ASCII_LOOK_ALIKES)}{re.escape(_CONTROLS_BUT_NEWLINE)}]")
_CONTROL = re.compile(f"[{re.escape(_CONTROLS)}]+")
_PUNCTUATION = re.compile(f"[{''.join(ASCII_LOOK_ALIKES)}]")


@cache
def _nonspacing_marks() -> re.Pattern[str]:
    """All characters of category Mn. It takes 0.3 s to find them: only when there is text to be normalised."""
    marks = [code for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) == "Mn"]
    starts = [code for code in marks if unicodedata.category(chr(code - 1)) != "Mn"]
    ends = [code for code in marks if code == sys.maxunicode or unicodedata.category(chr(code + 1)) != "Mn"]
    ranges = (f"{chr(start)}-{chr(end)}" for start, end in zip(starts, ends, strict=True))
    return re.compile(f"[{''.join(ranges)}]+")


def normalise_lines_for_hash(lines: str) -> str:
    """Normalise many lines at once: lower case, digits to 0, the 34 characters and the controls gone.

    ``lines`` are stripped lines joined by newlines; so are the lines returned, one for one. The newline is no cased
    letter, so lowering them together gives the same as one by one, the final sigma of Greek included.
    """
    return _PUNCTUATION_OR_CONTROL.sub("", _DIGIT.sub("0", lines.lower()))


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
