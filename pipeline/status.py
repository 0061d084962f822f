"""``xlmr status``: what ran, when, how long, how many in and out, out of the manifests alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipeline.config import flatten
from pipeline.errors import XlmrError
from pipeline.json_file import DamagedFileError
from pipeline.manifest import Manifest, read_manifest


def find_manifests(run: Path) -> tuple[dict[Path, Manifest], list[str]]:
    """The complete outputs under ``run`` (one project, or the folder of all), oldest first; a line a damaged one."""
    found: dict[Path, Manifest] = {}
    damaged = []
    for path in sorted([*run.glob("*/*/manifest.json"), *run.glob("*/*/*/manifest.json")]):
        try:
            manifest = read_manifest(path.parent)
        except (DamagedFileError, OSError) as error:
            damaged.append(f"damaged: {error.problem if isinstance(error, DamagedFileError) else error}")
            continue
        if manifest is not None:
            found[path.parent] = manifest
    return dict(sorted(found.items(), key=lambda item: item[1].started)), damaged


def describe_runs(run: Path) -> Iterator[str]:
    """A line for each complete output, then one for each whose manifest is damaged. Errors: XlmrError for nothing."""
    manifests, damaged = find_manifests(run)
    if not manifests and not damaged:
        raise XlmrError(f"{run}: nothing has run there", "xlmr run configs/demo.yaml")
    for output, manifest in manifests.items():
        size = sum(record.size for record in manifest.files.values()) / 1e6
        yield (
            f"{manifest.started[:19]}  {manifest.seconds:8.1f} s  {size:9.1f} MB  {output}  {summary_of(manifest)}"
            + (f"  {len(manifest.warnings)} warnings" if manifest.warnings else "")
        )
    yield from damaged


def summary_of(manifest: Manifest, most: int = 4) -> str:
    """The first few plain counts of a manifest: ``documents 9,120 · lines 231,000``."""
    plain = [(n, v) for n, v in flatten(manifest.counts) if "." not in n and isinstance(v, int | float)]
    return " · ".join(f"{name} {value:,}" for name, value in plain[:most])
