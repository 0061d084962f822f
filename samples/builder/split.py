"""Which part of the sample a page belongs to, from a hash of its path alone.

All translations of a page go to the same part, so nothing is seen in two of them in any language.
"""

import hashlib
from typing import Final, Literal

Part = Literal["crawl", "crawl-en", "clean", "train", "dev", "test"]

# Modules of the office suite that the task tells apart: all with enough pages, so without sdraw and schart.
LABELS: Final = ("sbasic", "scalc", "sdatabase", "simpress", "smath", "swriter")

# "crawl-en" pages enter the crawl in English only: most translations keep English lines, and the English page
# itself would be lost, line by line, to the deduplication of the crawl.
_LARGE: Final[dict[Part, float]] = {
    "train": 0.52,
    "dev": 0.07,
    "test": 0.14,
    "clean": 0.04,
    "crawl": 0.16,
    "crawl-en": 0.07,
}
_SMALL: Final[dict[Part, float]] = {"train": 0.54, "dev": 0.10, "test": 0.26, "crawl": 0.10}
_SHARES: Final[dict[str, dict[Part, float]]] = {
    "libreoffice/sbasic": _LARGE,
    "libreoffice/scalc": _LARGE,
    "libreoffice/swriter": _LARGE,
    "libreoffice/simpress": _SMALL,
    "libreoffice/smath": _SMALL,
    "libreoffice/sdatabase": _SMALL,
    "libreoffice": {"clean": 0.22, "crawl": 0.53, "crawl-en": 0.25},
    "gnome": {"clean": 0.40, "crawl": 0.45, "crawl-en": 0.15},
    "handbook": {"clean": 0.35, "crawl": 0.45, "crawl-en": 0.20},
    "udhr": {"crawl": 1.0},
}


def unit_hash(*words: str) -> float:
    """A number in [0, 1) that depends on the words alone."""
    digest = hashlib.sha256("\x1f".join(words).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def label_of(page: str) -> str:
    """The first folder of a page's path: the module that the page is about."""
    return page.split("/", 1)[0]


def part_of(source: str, page: str) -> Part:
    """The part that a page of a source belongs to, in every language."""
    shares = _SHARES.get(f"{source}/{label_of(page)}") or _SHARES[source]
    position, edge = unit_hash("part", source, page), 0.0
    for part, share in shares.items():
        edge += share
        if position < edge:
            return part
    return next(reversed(shares))
