"""How much of the crawl is in each language: a table of code and size, of CC100 or from a file of the user's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from corpus.language.labels import check_names
from corpus.language.settings import CC100
from pipeline.errors import XlmrError

OTHERS = 1e-7
"""The share of a language that the table lacks: as rare as the rarest of CC100."""
LEAST_SHARE, USUAL_SHARE = 1e-4, 1e-3
"""What rarer languages count as in a prior, so that text in them can still be found; and the share whose prior is 1."""


@lru_cache(maxsize=4)
def load_base_rates(name: str) -> Mapping[str, float]:
    """The share of each language, by code, of the table of ``document_prior.base_rates``.

    Errors: XlmrError for a file that is no such table.
    """
    path = Path(__file__).with_name("base_rates.tsv") if name == CC100 else Path(name)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise XlmrError(f"{path}: cannot be read ({error})", "give a table of code and size, in UTF-8") from None
    sizes: dict[str, float] = {}
    for number, line in enumerate(lines, 1):
        if line[:1] in ("", "#"):
            continue
        code, _, text = line.partition("\t")
        size = _number(text)
        if not code or size is None or code in sizes:
            raise XlmrError(
                f"{path}: line {number} is no code and size", "write a code, a tab and a number over 0, each code once"
            )
        sizes[code] = size
    if not sizes:
        raise XlmrError(f"{path}: names no language", "write a code, a tab and a number over 0 for each")
    check_names(sizes, f"{path}: the code")
    total = sum(sizes.values())
    return {code: size / total for code, size in sizes.items()}


def prior_of(codes: Sequence[str], exponent: float, outside: float) -> dict[str, float]:
    """The prior of each code: (its share of CC100 / USUAL_SHARE)^exponent; ``outside`` for one that CC100 lacks.

    A code that is split later (zh) has the shares of its parts together.
    """
    shares: dict[str, float] = {}
    for code, share in load_base_rates(CC100).items():
        for name in {code, code.partition("-")[0]}:
            shares[name] = shares.get(name, 0.0) + share
    return {
        code: (max(shares[code], LEAST_SHARE) / USUAL_SHARE) ** exponent if code in shares else outside
        for code in codes
    }


def _number(text: str) -> float | None:
    try:
        size = float(text)
    except ValueError:
        return None
    return size if size > 0 and math.isfinite(size) else None
