"""The clean text that is embedded, for tests and benchmarks."""

from __future__ import annotations

import lzma
from pathlib import Path

FOLDER = Path(__file__).with_name("clean")


def clean_text(language: str, start: int, stop: int) -> list[str]:
    """Documents ``start`` to ``stop`` of a language."""
    text = lzma.decompress((FOLDER / f"{language}.txt.xz").read_bytes()).decode()
    return text.splitlines()[start:stop]
