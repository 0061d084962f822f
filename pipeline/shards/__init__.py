"""Shards of a stage: what one is, which are made already, and how several tasks share them."""

from pipeline.shards.shard import (
    FEW,
    MARKS,
    WORKSPACES,
    Outcome,
    Shard,
    ShardFailure,
    ShardFolder,
    ShardFunction,
    ShardMark,
    ShardReport,
    ShardWork,
    as_one_error,
)

__all__ = [
    "FEW",
    "MARKS",
    "WORKSPACES",
    "Outcome",
    "Shard",
    "ShardFailure",
    "ShardFolder",
    "ShardFunction",
    "ShardMark",
    "ShardReport",
    "ShardWork",
    "as_one_error",
]
