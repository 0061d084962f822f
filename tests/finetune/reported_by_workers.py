"""A shard function that tells where it was done. Light, for every worker imports it."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.executors.local import WORKER
from pipeline.shards import ShardReport


def tell_worker(shard: str, workspace: Path) -> ShardReport:
    del shard, workspace
    return ShardReport({"worker": int(os.environ[WORKER]), "process": os.getpid()})
