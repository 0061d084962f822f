"""Keeps the settings of masking beside a corpus, so that it is masked again when it is rebuilt from the crawl."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from corpus.filters.masking import PersonalDataMasker, make_masker
from corpus.filters.settings import Filters
from pipeline.manifest import read_manifest
from pipeline.storage import read_json, write_json

MASKS = "masks.json"

Masks = dict[str, Any]
"""The settings ``mask`` and ``placeholders`` of the filters."""


def masks_of(mined: Path) -> Masks | None:
    """What corpus.mine masked, by its manifest; None where that is nothing."""
    manifest = read_manifest(mined)
    filters = manifest.config.get("filters", {}) if manifest else {}
    return {name: filters[name] for name in ("mask", "placeholders")} if filters.get("mask") else None


def write_masks(corpus: Path, masks: Masks | None) -> None:
    """Keep it beside the corpus; no file where nothing was masked."""
    if masks:
        write_json(corpus / MASKS, masks)


def read_masks(corpus: Path) -> Masks | None:
    """What is kept beside the corpus."""
    return read_json(corpus / MASKS) if (corpus / MASKS).exists() else None


def masker_of(masks: Masks | None) -> PersonalDataMasker | None:
    """What masks again. Errors: pydantic's ValidationError for masks that are none of ours."""
    return make_masker(Filters.model_validate(masks)) if masks else None
