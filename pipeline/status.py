"""``xlmr status``: what ran, when, how long, how many in and out, out of the manifests alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipeline.config import flatten
from pipeline.errors import XlmrError
from pipeline.manifest import Manifest, read_manifest


def find_manifests(run: Path) -> dict[Path, Manifest]:
    """The complete outputs under ``run`` (one project, or the folder of all), oldest first."""
    paths = sorted([*run.glob("*/*/manifest.json"), *run.glob("*/*/*/manifest.json")])
    found = {path.parent: manifest for path in paths if (manifest := read_manifest(path.parent)) is not None}
    return dict(sorted(found.items(), key=lambda item: item[1].started))


def describe_runs(run: Path) -> Iterator[str]:
    """A line for each complete output. Errors: XlmrError where there is none."""
    manifests = find_manifests(run)
    if not manifests:
        raise XlmrError(f"{run}: nothing has run there", "xlmr run configs/demo.yaml")
    for output, manifest in manifests.items():
        size = sum(record.size for record in manifest.files.values()) / 1e6
        yield (
            f"{manifest.started[:19]}  {manifest.seconds:8.1f} s  {size:9.1f} MB  {output}  {summary_of(manifest)}"
            + (f"  {len(manifest.warnings)} warnings" if manifest.warnings else "")
        )


def summary_of(manifest: Manifest, most: int = 4) -> str:
    """The first few plain counts of a manifest: ``documents 9,120 · lines 231,000``."""
    plain = [(n, v) for n, v in flatten(manifest.counts) if "." not in n and isinstance(v, int | float)]
    return " · ".join(f"{name} {value:,}" for name, value in plain[:most])
