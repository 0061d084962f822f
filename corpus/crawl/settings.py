"""Settings of reading the crawl. Imports nothing heavy."""

from __future__ import annotations

from pipeline.config import Section, setting


class Fetch(Section):
    """Where the crawl is."""

    crawl: str = setting("samples/crawl/*.warc.wet.gz", "path or pattern of the WET files; any fsspec address")
    shards: int | None = setting(
        None, "number of shards; shard i of N takes files [i·n//N, (i+1)·n//N). None: a shard a file", ge=1,
        source="cc_net mine.py, 1,600 a dump",
    )  # fmt: skip


class Read(Section):
    """How a WET record becomes a document."""

    min_characters: int = setting(300, "shorter documents are not read at all", ge=0, source="cc_net min_len")
    max_record_bytes: int = setting(64 * 2**20, "a record with more is left out and named", ge=1)
