"""Keeps the settings of reading that are not default beside a corpus, so that it is rebuilt with the same ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from corpus.crawl.settings import Read
from pipeline.manifest import read_manifest
from pipeline.storage import read_json, write_json

READING = "reading.json"
_NAMES = ("main_content", "normal_form", "columns")
"""The settings that decide which lines a record has. Limits and titles do not: every line is looked up by number."""

Reading = dict[str, Any]


def reading_of(mined: Path) -> Reading | None:
    """The settings of reading that corpus.mine had, by its manifest; None where that is the default."""
    manifest = read_manifest(mined)
    read = manifest.config.get("read", {}) if manifest else {}
    usual = Read().model_dump()
    return {name: read[name] for name in _NAMES if name in read and read[name] != usual[name]} or None


def write_reading(corpus: Path, reading: Reading | None) -> None:
    """Keep it beside the corpus; no file where it is the default."""
    if reading:
        write_json(corpus / READING, reading)


def read_reading(corpus: Path) -> Reading | None:
    """What is kept beside the corpus."""
    return read_json(corpus / READING) if (corpus / READING).exists() else None


def read_like(read: Read, reading: Reading | None) -> Read:
    """``read`` with what was kept. Errors: pydantic's ValidationError for settings that are none of ours."""
    return Read.model_validate({**read.model_dump(), **(reading or {})})
