"""Files of a shard, opened one after the other. Those that lie elsewhere are fetched, the next while one is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import IO, TYPE_CHECKING

from corpus.crawl.dumps import ROOT, address_of, segment_of
from corpus.crawl.warc import open_address
from pipeline.storage import is_local

if TYPE_CHECKING:
    from corpus.crawl.settings import Download


def open_each(addresses: Sequence[str], download: Download) -> Iterator[tuple[str, IO[bytes]]]:
    """Each address with its file, open for reading and seekable until the next is asked for."""
    places = [_place(address, download) for address in addresses]
    if all(map(is_local, places)):
        for address, place in zip(addresses, places, strict=True):
            with open_address(place) as stream:
                yield address, stream
        return
    from corpus.crawl.cache import Cache

    with closing(Cache(download)) as cache:
        for address, stream in zip(addresses, cache.open_ahead(places), strict=True):
            yield address, stream


def _place(address: str, download: Download) -> str:
    """Where a file is taken from: its address, or the same path at the mirror."""
    segment = segment_of(address)
    moved = download.mirror is not None and segment.startswith(ROOT)
    return address_of(segment, download.mirror) if moved and download.mirror else address
