"""Pretraining: sequences of tokens in, a masked language model out (XLM-R and XLM-R XL/XXL).

Public: ``load`` and the ``PretrainedModel`` that it returns. They are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pretrain.api import PretrainedModel, load

__all__ = ["PretrainedModel", "load"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("pretrain.api"), name)
