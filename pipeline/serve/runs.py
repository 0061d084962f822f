"""What there is to show of the runs of a folder: manifests -> runs, each with its outputs, pages and figures.

Files are found in manifests, not by a walk through outputs, which may hold a file for each of many thousand shards.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

from pipeline.json_file import DamagedFileError
from pipeline.manifest import MANIFEST, Manifest, read_manifest
from pipeline.status import summary_of

PAGES, FIGURES = (".html",), (".svg", ".png")
SHOWN = {
    ".html": "text/html; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".json": "application/json",
    ".jsonl": "text/plain; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
    ".tsv": "text/plain; charset=utf-8",
}
"""Files that are served, by their suffix, and their media type. A run's text and weights are not among them."""
STUDIES = "studies"
"""Folder of a project with the pages of its studies."""


@dataclass(frozen=True)
class OutputLine:
    """One complete output. ``shown`` are its pages and figures, as paths within the project's folder."""

    stage: str
    key: str
    started: str
    seconds: float
    counts: str
    warnings: tuple[str, ...]
    shown: tuple[str, ...]


@dataclass(frozen=True)
class ShownRun:
    """One project. ``report`` is the newest page of the whole run, as a path within the project's folder."""

    project: str
    outputs: tuple[OutputLine, ...]
    damaged: tuple[str, ...]
    report: str | None
    pages: tuple[str, ...]
    figures: tuple[str, ...]

    @property
    def last(self) -> str:
        """When its last output was begun; empty if there is none."""
        return max((output.started for output in self.outputs), default="")


def projects_in(runs: Path) -> list[str]:
    """The folders of ``runs`` that hold an output or a page, by name."""
    folders = [folder for folder in sorted(runs.iterdir()) if folder.is_dir() and not folder.name.startswith(".")]
    return [folder.name for folder in folders if any(folder.glob(f"*/*/{MANIFEST}")) or any(folder.glob("*.html"))]


def read_run(runs: Path, project: str) -> ShownRun:
    """What there is of a project, its outputs oldest first."""
    folder = runs / project
    outputs, damaged = [], []
    for path in sorted(folder.glob(f"*/*/{MANIFEST}")):
        try:
            outputs.append(_line_of(folder, path, path.stat().st_mtime_ns))
        except DamagedFileError as error:
            damaged.append(error.problem)
        except OSError:  # another process has removed it since
            continue
    outputs.sort(key=lambda output: output.started)
    names = [name for output in outputs for name in output.shown] + list(_beside_outputs(folder))
    pages = [name for name in names if name.endswith(PAGES)]
    reports = [name for name in pages if name.endswith("report.html")]
    newest = max(reports, key=lambda name: _modified(folder / name), default=None)
    figures = tuple(name for name in names if name.endswith(FIGURES))
    return ShownRun(project, tuple(outputs), tuple(damaged), newest, tuple(pages), figures)


@lru_cache(maxsize=4096)
def _line_of(folder: Path, path: Path, mtime_ns: int) -> OutputLine:
    """Of one manifest; read again when its file has another modification time."""
    del mtime_ns
    manifest = read_manifest(path.parent)
    if manifest is None:
        raise FileNotFoundError(path)
    return OutputLine(
        stage=manifest.stage,
        key=manifest.key,
        started=manifest.started,
        seconds=manifest.seconds,
        counts=summary_of(manifest),
        warnings=tuple(manifest.warnings),
        shown=tuple(_shown_of(manifest, path.parent.relative_to(folder))),
    )


def _shown_of(manifest: Manifest, output: Path) -> Iterator[str]:
    for name in sorted(manifest.files):
        if name.endswith((*PAGES, *FIGURES)):
            yield (output / name).as_posix()


def _beside_outputs(folder: Path) -> Iterator[str]:
    """Pages that commands have written: ``xlmr report``, ``xlmr study``."""
    for path in sorted([*folder.glob("*"), *(folder / STUDIES).rglob("*")]):
        inner = path.relative_to(folder)
        if path.suffix in (*PAGES, *FIGURES) and not any(name.startswith(".") for name in inner.parts):
            yield inner.as_posix()


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def file_address(base: str, project: str, inner: str) -> str:
    """Where a server at ``base`` shows a file of a project; ``inner`` is its path within the project's folder."""
    return f"{base.rstrip('/')}/{quote(project)}/files/{quote(inner)}"


def file_in(runs: Path, inner: str) -> Path | None:
    """The file of ``runs`` at a path of an address; None for what is not there or not to be served.

    Nothing outside the folder is served, through links neither, no hidden file, and only what ``SHOWN`` lists.
    """
    names = inner.split("/")
    if any(not name or name.startswith(".") or "\0" in name or "\\" in name for name in names):
        return None
    root = runs.resolve()
    try:
        path = root.joinpath(*names).resolve()
        inside = path.is_relative_to(root) and not any(name.startswith(".") for name in path.relative_to(root).parts)
        return path if inside and path.suffix in SHOWN and path.is_file() else None
    except OSError:
        return None
