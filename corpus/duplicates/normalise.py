"""What CCNet makes of a line before it is hashed. Lines come as text and leave as bytes, many at once.

Source: cc_net/text_normalizer.py at bda555b, normalize_for_dedup (the code, where it and the CCNet paper differ).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from corpus.normalise import ASCII_LOOK_ALIKES, CONTROLS

_CONTROLS = CONTROLS.replace("\n", "")
_DIGIT = re.compile(r"\d")
_ASCII_FOR_HASH = bytes(ord("0") if chr(c).isdecimal() else ord(chr(c).lower()) for c in range(0x80)) + bytes(0x80)
_ASCII_CONTROLS = _CONTROLS.encode("latin-1")
_NOTHING = 0xFFFFFFFF
_NOT_ONE_BY_ONE = "Σİ"
"""The letters whose lower case depends on what is around them, or is two characters."""


@cache
def _characters_for_hash() -> npt.NDArray[np.uint32]:
    """What stands for each code point in what is hashed: lower case, digits to 0; _NOTHING if it is left out."""
    codes = np.arange(sys.maxunicode + 1, dtype="<u4")
    codes[[ord(letter) for letter in _NOT_ONE_BY_ONE]] = 0  # lines that hold them come in lower case
    text = _DIGIT.sub("0", codes.tobytes().decode("utf-32-le", "surrogatepass").lower())
    table = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").copy()
    # The full-width 1 is among the 34, but as a digit it has become 0 by then.
    table[[ord(letter) for letter in (*ASCII_LOOK_ALIKES, *_CONTROLS) if not _DIGIT.match(letter)]] = _NOTHING
    return table


def normalise_lines_for_hash(lines: Sequence[str]) -> list[bytes]:
    """Normalise lines, stripped and without newlines: lower case, digits to 0, the 34 characters and controls gone.

    ``lines`` is not empty. Returned in UTF-8, one for one. No loop over characters: text in ASCII goes by a table of
    bytes, six times as fast as other text by a table of code points; so lines in ASCII are best given by themselves.
    """
    text = "\n".join(lines)
    if text.isascii():
        return text.encode("ascii").translate(_ASCII_FOR_HASH, _ASCII_CONTROLS).split(b"\n")
    if any(letter in text for letter in _NOT_ONE_BY_ONE):
        text = "\n".join([line.lower() if any(c in line for c in _NOT_ONE_BY_ONE) else line for line in lines])
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    codes = _characters_for_hash().take(points, mode="clip")  # all are in the table; clip is what is quick
    codes = codes[codes != _NOTHING]
    return codes.tobytes().decode("utf-32-le", "surrogatepass").encode("utf-8", "surrogatepass").split(b"\n")
