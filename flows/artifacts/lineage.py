"""What was made from what, as an artifact of a flow run.

Prefect has assets for this, but a server of one's own only stores their events and shows them nowhere. The table has
what ``xlmr status --json`` prints: an output is known by its key, and names the keys of what it was made from.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prefect.artifacts import create_table_artifact

from pipeline.manifest import read_manifest
from pipeline.plan import KEY_LENGTH
from pipeline.status import lineage


def show_lineage(outputs: Iterable[Path]) -> None:
    """A row for each of these complete outputs; no artifact where there is none."""
    found = [(output, read_manifest(output)) for output in outputs]
    rows = [row_of(lineage(output, manifest)) for output, manifest in found if manifest]
    if rows:
        create_table_artifact(rows, key="lineage", description="Each output, and what it was made from, by their keys")


def row_of(record: dict[str, Any]) -> dict[str, str]:
    """A record of ``lineage`` as a row of text: keys of inputs, and checksums of files from outside."""
    inputs = [f"{name} {source['key'][:KEY_LENGTH]}" for name, source in record["inputs"].items()]
    outside = [f"{name} {checksum[:KEY_LENGTH]}" for name, checksum in sorted(record["outside"].items())]
    return {
        "stage": record["stage"],
        "key": record["key"][:KEY_LENGTH],
        "made from": ", ".join([*inputs, *outside]),
        "output": record["output"],
        "made": record["started"][:19],
        "code": record["git_commit"],
    }
