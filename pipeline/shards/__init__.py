"""Shards of a stage: what one is, which are made already, and how several tasks share them."""

from pipeline.shards.mark import Outcome, PackedMarks, ShardCounts, ShardFailure, ShardMark, ShardReport
from pipeline.shards.shard import (
    FEW,
    MARKS,
    WORKSPACES,
    Shard,
    ShardFolder,
    ShardFunction,
    ShardWork,
    as_one_error,
)

__all__ = [
    "FEW",
    "MARKS",
    "WORKSPACES",
    "Outcome",
    "PackedMarks",
    "Shard",
    "ShardCounts",
    "ShardFailure",
    "ShardFolder",
    "ShardFunction",
    "ShardMark",
    "ShardReport",
    "ShardWork",
    "as_one_error",
]
