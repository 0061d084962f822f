"""``xlmr status``: what ran, when, how long, how many in and out, out of the manifests alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from pipeline.config import flatten
from pipeline.errors import XlmrError
from pipeline.formatting import counted, readable
from pipeline.json_file import DamagedFileError
from pipeline.manifest import Manifest, read_manifest


def find_manifests(run: Path) -> tuple[dict[Path, Manifest], dict[Path, str]]:
    """The complete outputs under ``run`` (one project, or the folder of all), oldest first; what is wrong with others.

    Errors: XlmrError where there is neither.
    """
    found: dict[Path, Manifest] = {}
    damaged: dict[Path, str] = {}
    for path in sorted([*run.glob("*/*/manifest.json"), *run.glob("*/*/*/manifest.json")]):
        try:
            manifest = read_manifest(path.parent)
        except (DamagedFileError, OSError) as error:
            damaged[path.parent] = error.problem if isinstance(error, DamagedFileError) else str(error)
            continue
        if manifest is not None:
            found[path.parent] = manifest
    if not found and not damaged:
        raise XlmrError(f"{run}: nothing has run there", "xlmr run configs/demo.yaml")
    return dict(sorted(found.items(), key=lambda item: item[1].started)), damaged


def describe_runs(run: Path) -> Iterator[str]:
    """A line for each complete output, then one for each whose manifest is damaged. Errors: XlmrError for nothing."""
    manifests, damaged = find_manifests(run)
    for output, manifest in manifests.items():
        warnings = f"  {counted(len(manifest.warnings), 'warning')}" if manifest.warnings else ""
        yield (
            f"{manifest.started[:19]}  {manifest.seconds:8.1f} s  {_bytes(manifest) / 1e6:9.1f} MB  {output}"
            f"  {summary_of(manifest)}{warnings}"
        )
    yield from (f"damaged: {problem}" for problem in damaged.values())


def records_of_runs(run: Path) -> Iterator[dict[str, Any]]:
    """The same as records, each of ``lineage``; of a damaged output, what is wrong with it."""
    manifests, damaged = find_manifests(run)
    yield from (lineage(output, manifest) for output, manifest in manifests.items())
    yield from ({"output": str(output), "damaged": problem} for output, problem in damaged.items())


def lineage(output: Path, manifest: Manifest) -> dict[str, Any]:
    """A manifest, and where it is: what the output was made from, by key, and what it cost. Files are only counted."""
    record = {one.name: getattr(manifest, one.name) for one in fields(manifest)}
    return {"output": str(output), **record, "files": len(manifest.files), "bytes": _bytes(manifest)}


def _bytes(manifest: Manifest) -> int:
    return sum(record.size for record in manifest.files.values())


def summary_of(manifest: Manifest, most: int = 4) -> str:
    """The first few plain counts of a manifest: ``documents 9,120 · lines 231,000``; else ``kept.documents 9,120``."""
    numbers = [(n, v) for n, v in flatten(manifest.counts) if isinstance(v, int | float)]
    plain = [one for one in numbers if "." not in one[0]] or [one for one in numbers if one[0].count(".") == 1]
    return " · ".join(f"{name} {readable(value):,}" for name, value in plain[:most])
