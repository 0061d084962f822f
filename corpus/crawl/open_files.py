"""Files of a shard, opened one after the other. Those that lie elsewhere are fetched, the next while one is read."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import IO, TYPE_CHECKING

from corpus.crawl.addresses import ROOT, address_of, segment_of
from corpus.crawl.download import GoneError, Ranges, open_here
from pipeline.storage import is_local

if TYPE_CHECKING:
    from corpus.crawl.settings import Download


def open_each(
    addresses: Sequence[str],
    download: Download,
    missing: list[str] | None = None,
    ranges: Mapping[str, Ranges] | None = None,
) -> Iterator[tuple[str, IO[bytes]]]:
    """Each address with its file, open for reading and seekable until the next is asked for.

    ``ranges``: of files by address, what is read of them as if it were the whole file.
    Addresses of files that are gone are added to ``missing`` and left out. Errors: GoneError, where that is None.
    """
    ranges = ranges or {}
    places = [_place(address, download) for address in addresses]
    parts = {place: ranges[address] for place, address in zip(places, addresses, strict=True) if address in ranges}
    with closing(_opened(places, download, parts)) as opened:
        for address, found in zip(addresses, opened, strict=True):
            if not isinstance(found, GoneError):
                yield address, found
            elif missing is None:
                raise found
            else:
                missing.append(address)


def _opened(
    places: Sequence[str], download: Download, parts: Mapping[str, Ranges]
) -> Generator[IO[bytes] | GoneError, None, None]:
    if parts or not all(map(is_local, places)):
        from corpus.crawl.cache import Cache

        with closing(Cache(download, parts)) as cache:
            yield from cache.open_ahead(places)
        return
    for place in places:
        try:
            stream = open_here(place)
        except GoneError as error:
            yield error
            continue
        with stream:
            yield stream


def _place(address: str, download: Download) -> str:
    """Where a file is taken from: its address, or the same path at the mirror."""
    segment = segment_of(address)
    moved = download.mirror is not None and segment.startswith(ROOT)
    return address_of(segment, download.mirror) if moved and download.mirror else address
