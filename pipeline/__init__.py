"""The core: configuration, stages, freshness, shards, leases, progress, the report's binding and the command line.

It knows no NLP. Packages (``corpus``, ``tokenizer``, ``pretrain``, ``finetune``) hand it stages; it runs them.

Public: ``Stage`` and ``Package`` describe stages, ``Section`` and ``setting`` their settings, ``Dag`` joins packages,
``make_plan`` says what would run, ``run`` runs what a ``Selection`` names. They are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.config import Section, setting
    from pipeline.dag import Dag
    from pipeline.plan import make_plan
    from pipeline.runner import Selection, run
    from pipeline.stage import Package, Stage

__all__ = ["Dag", "Package", "Section", "Selection", "Stage", "make_plan", "run", "setting"]

__version__ = "0.1.0"

_MODULES = {
    "Dag": "pipeline.dag",
    "Package": "pipeline.stage",
    "Section": "pipeline.config",
    "Selection": "pipeline.runner",
    "Stage": "pipeline.stage",
    "make_plan": "pipeline.plan",
    "run": "pipeline.runner",
    "setting": "pipeline.config",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
