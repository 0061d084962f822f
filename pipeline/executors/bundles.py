"""The shards of a bundle in a worker of Beam, several at once in processes where the runner has one worker.

How many bundles go at once the runner decides, and some have one only. So a worker collects a bundle and does its
shards by the local executor, which also tries again those whose process died.
"""

from __future__ import annotations

import errno
import shutil
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, replace

from pipeline.executors.local import LocalExecutor
from pipeline.executors.worker_folders import enter, failures_of
from pipeline.shards import Shard, ShardFailure, ShardWork
from pipeline.storage import write_json

SPACE_SECONDS = tuple(0.1 * 2**n for n in range(9))
"""Waits between the attempts to write down a failure on a full disk; 51 s in all."""

_ONE_AT_A_TIME = threading.Lock()


def do_shards(work: ShardWork, shards: Sequence[Shard], folder: str, workers: int) -> None:
    """Do the shards that have no mark yet, and write down which failed.

    Shard functions know of no threads: one bundle at a time in a process. Its workspaces are its own, because a runner
    may give a bundle to another worker while the first, which it lost, still writes.
    """
    with _ONE_AT_A_TIME:
        enter(folder, work)
        there = work.folder.complete(shards)
        own = replace(work, workspaces=work.workspaces.with_name(f"{work.workspaces.name}-{uuid.uuid4().hex[:8]}"))
        try:
            for name, outcome in LocalExecutor(workers).run(own, [s for s in shards if s.name not in there]):
                if isinstance(outcome, ShardFailure):
                    _write_down(work, name, outcome)
        finally:
            shutil.rmtree(own.workspaces, ignore_errors=True)


def _write_down(work: ShardWork, name: str, failure: ShardFailure) -> None:
    """Where the disk is full, others may have taken all the space that this one gave back: until they fail too."""
    for seconds in (*SPACE_SECONDS, None):
        try:
            write_json(failures_of(work) / f"{name}.json", asdict(failure))
            return
        except OSError as error:
            if seconds is None or error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            time.sleep(seconds)
