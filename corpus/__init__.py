"""CommonCrawl → CC100: fetch, hash, find duplicates, train language models, mine, cut into buckets, regroup.

Public: ``read``, ``deduplicate``, ``identify``, ``filter`` and ``score``. They are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from corpus.api import deduplicate, filter, identify, read, score  # noqa: A004 - as a method of a table is named

__all__ = ["deduplicate", "filter", "identify", "read", "score"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("corpus.api"), name)
