"""The record of a document, as Arrow: cc_net's fields. What corpus.mine writes and the corpus holds."""

from __future__ import annotations

import pyarrow as pa

MINED = pa.schema(
    [
        ("url", pa.string()),
        ("date_download", pa.string()),
        ("digest", pa.string()),
        ("length", pa.int64()),  # characters kept
        ("nlines", pa.int32()),  # lines kept
        ("source_domain", pa.string()),
        ("title", pa.string()),
        ("raw_content", pa.large_string()),
        ("cc_segment", pa.string()),
        ("original_nlines", pa.int32()),
        ("original_length", pa.int64()),  # bytes: the Content-Length of the record
        ("line_ids", pa.list_(pa.int32())),  # which lines of the record were kept
        ("language", pa.string()),
        ("language_score", pa.float32()),
        ("perplexity", pa.float32()),  # null where the language has no model
        ("line_scores", pa.list_(pa.float32())),  # of each line, where lines were identified one by one
        ("line_perplexities", pa.list_(pa.float32())),
    ]
)
"""Before the buckets are cut. Source of the names: cc_net process_wet_file.py, dedup.py, mine.py; last two: ours."""

DROPPED = pa.schema(
    [
        ("reason", pa.string()),
        ("url", pa.string()),
        ("title", pa.string()),
        ("language", pa.string()),  # the likeliest one; empty where it was not asked yet
        ("language_score", pa.float32()),
        ("raw_content", pa.large_string()),  # what was left of it then
        ("line_ids", pa.list_(pa.int32())),
    ]
)
"""What mining drops, and why."""

CORPUS = MINED.append(pa.field("bucket", pa.string()))
"""A record of the corpus. Buckets: head, middle, tail; all where there is no perplexity."""

BUCKETS = ("head", "middle", "tail", "all")
