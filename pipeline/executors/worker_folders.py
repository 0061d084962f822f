"""Where a worker that may be on another machine does its shards, and where it writes down that one failed."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.shards import WORKSPACES, ShardWork
from pipeline.store.path import is_stored

FAILED = ".failed"
"""A folder with a file for each shard that failed."""


def enter(folder: str, work: ShardWork) -> None:
    """Go to where the run was started: paths in a configuration are relative to it. Errors: OSError.

    A run at an address needs no such folder on its workers. Relative paths lead nowhere there, and say so.
    """
    try:
        os.chdir(folder)
    except FileNotFoundError:
        if work.needed is None:
            raise
        work.needed.cache.mkdir(parents=True, exist_ok=True)
        os.chdir(work.needed.cache)


def failures_of(work: ShardWork) -> Path:
    """Where workers write down failures and the run reads them: beside the workspaces, or where the output is kept."""
    if is_stored(work.folder.output):
        return work.folder.output / WORKSPACES / work.workspaces.name / FAILED
    return work.workspaces / FAILED
