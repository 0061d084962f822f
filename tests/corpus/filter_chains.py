"""Chains of filters for tests, and text that passes them."""

from __future__ import annotations

from typing import Any

from corpus.filters.apply import FilterChain
from corpus.filters.settings import Filters, Kind

KINDS: tuple[Kind, ...] = ("email", "iban", "credit_card", "ipv4", "ipv6", "phone")
PROSE = [
    "The first line of this page has more words than most, and it ends with a full stop.",
    "Another of them follows, with something else to say about that; it is not too short.",
    "To be sure that there are fifty words in all, a third one is needed, and here it comes.",
    "Nobody would call these lines a list, a menu or a table of numbers, we should hope.",
]


def chain(**options: Any) -> FilterChain:
    return FilterChain(Filters(**options))


def check(lines: list[str], language: str = "en", url: str = "https://example.org/", **options: Any) -> str | None:
    return chain(**options).check([lines], [url], [language])[0]
