"""Whether a crawl gave what it should: nothing read, or most of it lost, does not look like success."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.counts import Counts
from pipeline.errors import XlmrError

if TYPE_CHECKING:
    from corpus.crawl.settings import Read


def check_crawl(counts: Counts, files: int, read: Read, warnings: Sequence[str]) -> None:
    """Errors: XlmrError where ``files`` files gave no document, or more than ``read.max_lost_share`` was lost.

    It names the first of the ``warnings``: a stage that fails shows none.
    """
    records, lost = counts.get("records", 0), counts.get("bad_records", 0)
    if files and not counts.get("documents", 0):
        raise _no_document(counts, files, read, warnings)
    shares = {
        f"{lost:,} of {records + lost:,} records": lost / max(records + lost, 1),
        f"{counts.get('lost_bytes', 0):,} of {counts.get('read_bytes', 0):,} bytes": (
            counts.get("lost_bytes", 0) / max(counts.get("read_bytes", 0), 1)
        ),
    }
    what, share = max(shares.items(), key=lambda item: item[1])
    if share > read.max_lost_share:
        raise XlmrError(
            f"the crawl is damaged: {what} could not be read ({share:.0%}){_first(warnings)}",
            "fetch the files again, or accept the loss by corpus.read.max_lost_share",
        )


def _no_document(counts: Counts, files: int, read: Read, warnings: Sequence[str]) -> XlmrError:
    reasons = Counter({str(reason): int(number) for reason, number in counts.get("left_out", {}).items()})
    reasons["could not be read"] += max(counts.get("bad_records", 0), counts.get("bad_places", 0))
    reasons[f"under {read.min_characters} characters"] += counts.get("too_short", 0)
    named = ", ".join(f"{reason} ({number:,})" for reason, number in (+reasons).most_common(3))
    problem = f"no document in {files:,} files of the crawl: {named or 'there is no record in them'}"
    fix = ", or lower corpus.read.min_characters" if counts.get("too_short", 0) else ""
    return XlmrError(problem + _first(warnings), f"name WET, WARC or document files in corpus.fetch{fix}")


def _first(warnings: Sequence[str]) -> str:
    return f"; the first: {warnings[0]}" if warnings else ""
