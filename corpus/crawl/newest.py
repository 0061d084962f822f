"""Which dump of CommonCrawl is the newest, by the list that its index server gives."""

from __future__ import annotations

import json
import re
from typing import Any

from pipeline.errors import XlmrError
from pipeline.storage import filesystem_of, naming_address

LISTING = "https://index.commoncrawl.org/collinfo.json"
"""A JSON list with an object for each dump, whose ``id`` is its name."""
WAIT_SECONDS = 60.0
_NAME = re.compile(r"CC-MAIN-(\d{4})-(\d{2})")
"""Year and week. Dumps before 2013 have other names and no WET files."""


def newest_dump(listing: str = LISTING) -> str:
    """The name of the newest dump in a listing at an address.

    Errors: UnreachableError where the server does not answer, XlmrError where the answer is no list of dumps.
    """
    try:
        dumps: Any = json.loads(_read(listing))
        names = [str(dump["id"]) for dump in dumps]
    except (ValueError, TypeError, KeyError):
        raise XlmrError(f"{listing}: is no list of dumps", f"give the address of one, as {LISTING}") from None
    found = {match.groups(): name for name in names if (match := _NAME.fullmatch(name))}
    if not found:
        raise XlmrError(f"{listing}: names no dump", f"give the address of a list of dumps, as {LISTING}")
    return found[max(found)]


def _read(listing: str) -> bytes:
    if listing.startswith(("http://", "https://")):
        import httpx

        with naming_address(listing):
            return httpx.get(listing, timeout=WAIT_SECONDS, follow_redirects=True).raise_for_status().content
    filesystem, path = filesystem_of(listing)
    with naming_address(listing):
        try:
            return bytes(filesystem.cat_file(path))
        except FileNotFoundError:
            raise XlmrError(f"{listing}: no such file", "give the address of a list of dumps") from None
