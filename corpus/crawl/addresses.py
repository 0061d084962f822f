"""The parts of a crawl file's address: its base, and its segment, which is the same at every base.

A file of a dump is ``<base>crawl-data/<dump>/…``. The part from ``crawl-data/`` on is what a document remembers.
"""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from pipeline.errors import XlmrError

ROOT = "crawl-data/"


def segment_of(address: str, root: str = "") -> str:
    """The path in the crawl, from ``crawl-data/`` on, as cc_net's cc_segment; of others what follows ``root``."""
    before, found, path = address.rpartition(ROOT)
    return ROOT + path if found and (not before or before.endswith("/")) else address.removeprefix(root)


def public_segment(address: str, root: str = "") -> str:
    """``segment_of`` as it goes into a corpus: of an address by HTTP without user, password and query.

    They may be keys to where the file lies.
    """
    segment = segment_of(address, root)
    if not segment.startswith(("http://", "https://")):
        return segment
    parts = urlsplit(segment)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def wet_of(name: str) -> str:
    """The WET file of a WARC file."""
    folder, _, file = name.rpartition("/")
    return f"{folder.removesuffix('/warc')}/wet/{file.removesuffix('.warc.gz')}.warc.wet.gz"


def is_path_of_crawl(name: str) -> bool:
    """Whether it is a path below ``crawl-data/`` that does not leave it, whatever list or index names it."""
    return name.startswith(ROOT) and ".." not in name.split("/") and name.isprintable()


def check_segment(segment: str) -> str:
    """A segment that stays below its folder. Errors: XlmrError for one that a damaged or hostile file made up."""
    if segment.startswith(ROOT) and (".." in segment.split("/") or not segment.isprintable()):
        raise XlmrError(f"{segment[:100]!r} is not a crawl's path", "the minified corpus is damaged; fetch it again")
    return segment


def address_of(segment: str, base: str) -> str:
    """Where the file of a segment is, for a base; a segment that is an address of its own stays so."""
    return joined(base, segment) if segment.startswith(ROOT) else segment


def joined(base: str, path: str) -> str:
    """The address of a path below a base, which may end with a slash."""
    return base.rstrip("/") + "/" + path
