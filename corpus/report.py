"""What the report says of the corpus."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipeline.report import ReportSection


def sections(outputs: Mapping[str, Path]) -> list[ReportSection]:
    """The sections of this room, for the stages that have run."""
    return []
