"""Checks the header of a KenLM binary against the size of its file before KenLM maps it.

Source: kpu/kenlm, lm/binary_format.cc (Sanity, FixedWidthParameters), format version 5.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path

from pipeline.errors import XlmrError

MOST_ORDER = 6
"""What the kenlm package is built for."""
_MAGIC = b"mmap lm http://kheafield.com/code format version 5\n\0"
_SANITY = struct.pack("<56sfffIIIQ", _MAGIC, 0.0, 1.0, -0.5, 1, 2**32 - 1, 0, 1)
_PARAMETERS = struct.Struct("<BxxxfiB3xI")  # order, probing multiplier, model type, has a vocabulary, search version
_MODEL_TYPES = range(6)
_LARGEST_MULTIPLIER = 100


def check_ngrams(path: Path) -> None:
    """Errors: XlmrError for a file that KenLM's build_binary did not write, or not to its end."""
    with path.open("rb") as handle:
        begin = handle.read(len(_SANITY) + _PARAMETERS.size + 8 * MOST_ORDER)
    if fault := _fault(begin, path.stat().st_size):
        raise XlmrError(
            f"{path}: cannot be loaded (not a KenLM binary: {fault})",
            "rerun corpus.language_models, or provide a complete file",
        )


def _fault(begin: bytes, size: int) -> str:
    if not begin.startswith(_MAGIC):
        return "its magic number or version is wrong"
    if len(begin) < len(_SANITY) + _PARAMETERS.size + 8 or begin[: len(_SANITY)] != _SANITY:
        return "its header is damaged or of another machine"
    order, multiplier, kind, has_vocabulary, _ = _PARAMETERS.unpack_from(begin, len(_SANITY))
    if not 2 <= order <= MOST_ORDER:
        return f"order {order}, where 2 to {MOST_ORDER} can be read"
    if kind not in _MODEL_TYPES or has_vocabulary > 1 or not math.isfinite(multiplier):
        return "its header has numbers that KenLM does not write"
    if not 1 < multiplier <= _LARGEST_MULTIPLIER:
        return f"a probing multiplier of {multiplier:g}"
    start = len(_SANITY) + _PARAMETERS.size
    if len(begin) < start + 8 * order:
        return "it is truncated"
    counts = struct.unpack_from(f"<{order}Q", begin, start)
    if not all(counts) or sum(counts) > size:
        return f"it says that it has {sum(counts):,} n-grams in {size:,} bytes"
    return ""
