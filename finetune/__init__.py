"""The fine-tuning package: labelled tasks on top of the pretrained encoder, tested in languages never trained on.

Public: ``load``, the ``Predictor`` that it returns, and ``predict``. They are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from finetune.api import Predictor, load, predict

__all__ = ["Predictor", "load", "predict"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("finetune.api"), name)
