"""``xlmr doctor``: what this machine and this environment have, what is missing, and how to fix it.

Findings of the core and of each package -> one line each. Nothing heavy is imported, and no check needs an extra.
"""

from __future__ import annotations

import os
import resource
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from pipeline.extras import EXTRAS
from pipeline.formatting import size
from pipeline.stage import Package, load_object

OLDEST, NEWEST = (3, 11), (3, 13)
"""Versions of Python that the packages have wheels for."""
MEMORY_BYTES = 2 * 10**9
"""What the demo needs, with all processes that it starts."""
DISK_BYTES = 2 * 10**9
OPEN_FILES = 1024
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True)
class Finding:
    """One line. ``missing``: needed and not there; ``absent``: not there, and only some commands need it."""

    name: str
    state: Literal["ok", "missing", "absent"]
    detail: str
    fix: str = ""

    def line(self, width: int) -> str:
        """The line as it is printed; names are padded to ``width``."""
        return f"{self.state:7}  {self.name:{width}}  {self.detail}{f'; {self.fix}' if self.fix else ''}"


def examine(packages: Iterable[Package], folder: Path) -> list[Finding]:
    """The findings of the core, with the disk of ``folder``, then those of each package that offers checks."""
    found = [*_python(), *_requirements(), *_extras(), *_machine(folder)]
    for package in packages:
        if package.checks:
            found += _of_package(package.name, package.checks)
    return found


def installed_version(distribution: str) -> str:
    """The version of an installed distribution; empty where there is none."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _of_package(name: str, import_string: str) -> list[Finding]:
    """A check that fails itself is a finding too: the other lines are still printed."""
    try:
        check: Callable[[], Iterable[Finding]] = load_object(import_string)
        return list(check())
    except Exception as error:
        return [Finding(name, "missing", f"its checks failed: {error}", "install the package that the error names")]


def _python() -> Iterator[Finding]:
    shown = f"{sys.version.split()[0]}, {sys.executable}"
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        yield Finding("Python", "ok", shown)
    else:
        oldest, newest = (".".join(map(str, one)) for one in (OLDEST, NEWEST))
        yield Finding("Python", "missing", shown, f"use Python {oldest} to {newest}")


def _requirements() -> Iterator[Finding]:
    """The packages that every installation has. Without the distribution's metadata there is no list of them."""
    try:
        asked = requires("xlmr-pipeline") or []
    except PackageNotFoundError:
        yield Finding("packages", "missing", "xlmr-pipeline is not installed", "pip install xlmr-pipeline")
        return
    names = [_name_of(line) for line in asked if "extra ==" not in line and _is_for_this_python(line)]
    lost = [name for name in names if not installed_version(name)]
    if lost:
        yield Finding("packages", "missing", f"not installed: {', '.join(lost)}", f"pip install {' '.join(lost)}")
    else:
        yield Finding("packages", "ok", f"all {len(names)} required packages")


def _name_of(requirement: str) -> str:
    end = next((n for n, sign in enumerate(requirement) if sign in "<>=!~;[ ("), len(requirement))
    return requirement[:end]


def _is_for_this_python(requirement: str) -> bool:
    """The one marker of ours names the first Python whose standard library has the module."""
    _, _, marker = requirement.partition("python_version < ")
    return not marker or sys.version_info[:2] < tuple(int(number) for number in marker.strip("\"' ").split("."))


def _extras() -> Iterator[Finding]:
    for extra, modules in EXTRAS.items():
        lost = [module for module in modules if find_spec(module) is None]
        if lost:
            fix = f"pip install 'xlmr-pipeline[{extra}]'"
            yield Finding(f"extra {extra}", "absent", f"no {', '.join(lost)}", fix)
        else:
            yield Finding(f"extra {extra}", "ok", ", ".join(modules))


def _machine(folder: Path) -> Iterator[Finding]:
    yield Finding("processors", "ok", f"{len(os.sched_getaffinity(0))}")
    memory = memory_bytes()
    yield _at_least("memory", memory, MEMORY_BYTES, size(memory), "use a larger machine or raise the memory limit")
    free = shutil.disk_usage(folder).free
    yield _at_least("disk", free, DISK_BYTES, f"{size(free)} free in {folder}", "free space or set run.directory")
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    enough = OPEN_FILES if files == resource.RLIM_INFINITY else files
    shown = "unlimited" if files == resource.RLIM_INFINITY else f"{files:,}"
    yield _at_least("open files", enough, OPEN_FILES, f"{shown} for a process", f"ulimit -n {4 * OPEN_FILES}")


def memory_bytes() -> int:
    """Memory of the machine, or of the container if its limit is smaller."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(physical, int(_CGROUP_LIMIT.read_text(encoding="ascii")))
    except (OSError, ValueError):  # no control group, or no limit ("max")
        return physical


def _at_least(name: str, value: int, needed: int, shown: str, fix: str) -> Finding:
    if value >= needed:
        return Finding(name, "ok", shown)
    return Finding(name, "missing", f"{shown}, too little", fix)
