"""The tokenizer package: a SentencePiece vocabulary trained on the corpus, and the corpus as sequences of token ids.

corpus.regroup -> sample (training text) -> train (the model) -> encode (sequences of ids) -> pretraining.

Public: ``load`` and the ``Tokenizer`` that it returns. They are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizer.folder import load_tokenizer as load
    from tokenizer.pieces import Tokenizer

__all__ = ["Tokenizer", "load"]

_PLACES = {"Tokenizer": ("tokenizer.pieces", "Tokenizer"), "load": ("tokenizer.folder", "load_tokenizer")}


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PLACES[name]
    return getattr(import_module(module), attribute)
