"""What a vocabulary holds: its pieces as a table, and how many of them are written in which script."""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import lru_cache
from pathlib import Path

from pipeline.storage import atomic_write
from tokenizer.pieces import Tokenizer

NO_SCRIPT = "digits, punctuation, signs"

_NAMES = {
    "CJK": "Han",
    "IDEOGRAPHIC": "Han",
    "FULLWIDTH": "Latin",
    "HALFWIDTH": "Katakana",
    "KATAKANA-HIRAGANA": "Katakana",
    "MODIFIER": NO_SCRIPT,
}
_FIRST_WORDS = {"MEETEI", "OL", "TAI", "NEW", "PHAGS-PA", "OLD", "CANADIAN"}


def write_table(tokenizer: Tokenizer, path: Path) -> None:
    """``vocabulary.tsv``: id, piece, score (natural logarithm of its probability), by id."""
    with atomic_write(path, "w") as table:
        table.write("id\tpiece\tscore\n")
        for number, (piece, score) in enumerate(zip(tokenizer.vocabulary, tokenizer.scores.tolist(), strict=True)):
            table.write(f"{number}\t{piece}\t{score:.6g}\n")


def pieces_by_script(tokenizer: Tokenizer) -> dict[str, int]:
    """How many pieces each script has, the special ones left out; most first."""
    counts = Counter(script_of(piece) for piece in tokenizer.vocabulary[4 : tokenizer.mask_token_id])
    return dict(counts.most_common())


def script_of(piece: str) -> str:
    """The script of a piece's first letter.

    Python knows no script property; the names of letters begin with their script (LATIN SMALL LETTER A), and
    where they do not (CJK UNIFIED IDEOGRAPH) the difference is fixed here.
    """
    letters = (sign for sign in piece if unicodedata.category(sign)[0] in "LM")
    return next((script for sign in letters if (script := _script_of_letter(sign)) != NO_SCRIPT), NO_SCRIPT)


@lru_cache(maxsize=1 << 16)
def _script_of_letter(sign: str) -> str:
    first, _, rest = unicodedata.name(sign, "").partition(" ")
    if first in _FIRST_WORDS:
        first = f"{first} {rest.partition(' ')[0]}"
    if first in {"", "COMBINING", "VARIATION"}:
        return NO_SCRIPT
    return _NAMES.get(first, first.capitalize())
