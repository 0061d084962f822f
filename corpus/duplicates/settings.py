"""Settings of deduplication. Imports nothing heavy."""

from __future__ import annotations

from pipeline.config import Section, setting


class Duplicates(Section):
    """Exact deduplication of lines."""

    window: int | None = setting(
        None,
        "shards that are held against each other; None: all of them",
        ge=1,
        source="cc_net hash_in_mem, 50",
    )
    memory_bytes: int = setting(
        2**30, "memory of one worker for one partition of the hashes", ge=2**16, affects_result=False
    )
