"""Lists of hosts, pages and patterns: is a URL on one of them?

Hosts and pages are kept as sorted hashes, 8 bytes each: the four and a half million hosts of a large list are 37 MB.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from hashlib import sha1
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from corpus.filters.list_files import read_blocks
from corpus.filters.url_patterns import compile_patterns

Hashes = npt.NDArray[np.uint64]

PATH_PARTS_AT_MOST = 16
HOST_PARTS_AT_MOST = 12
_PLAIN = re.compile(r"[a-z0-9.\-_\n]*")
_HOSTS_FILE = re.compile(r"^(?:0\.0\.0\.0|127\.0\.0\.1)\s+")


class UrlList:
    """Hosts and pages, each with all that lies below it, and patterns."""

    def __init__(self, files: Iterable[str], patterns: Iterable[str] = (), entries: Iterable[str] = ()) -> None:
        parts = [_hashes(block) for pattern in files for block in read_blocks(pattern)]
        parts.append(_hashes("\n".join(entries)))
        self._listed: Hashes = np.concatenate([np.empty(0, np.uint64), *parts])
        self._listed.sort()
        self._patterns = compile_patterns(patterns)

    def __len__(self) -> int:
        return len(self._listed)

    def holds(self, urls: Sequence[str]) -> list[bool]:
        """For each URL, whether it or anything above it is listed, or a pattern is found in it."""
        found = np.zeros(len(urls), bool)
        if len(self._listed):
            names = [places_above(url) for url in urls]
            owner = np.repeat(np.arange(len(urls)), list(map(len, names)))
            hashes = _hash_names([name for some in names for name in some])
            places = np.searchsorted(self._listed, hashes)
            found[owner[self._listed.take(places, mode="clip") == hashes]] = True
        for place, url in enumerate(urls):
            found[place] |= any(pattern.search(url) for pattern in self._patterns)
        return [bool(listed) for listed in found]


def places_above(url: str) -> list[str]:
    """What a list may call this URL: its host and the hosts above it, its page and the paths above it."""
    host, path = _split(url)
    if not host:
        return []
    labels = host.split(".")
    names = [".".join(labels[start:]) for start in range(max(len(labels) - HOST_PARTS_AT_MOST, 0), len(labels))]
    if path and path != "/":
        page, _, query = path.partition("?")
        parts = page.strip("/").split("/")
        names += [f"{host}/{'/'.join(parts[:stop])}" for stop in range(1, min(len(parts), PATH_PARTS_AT_MOST) + 1)]
        if query:
            names.append(f"{host}/{page.strip('/')}?{query}")
    return names


def _split(url: str) -> tuple[str, str]:
    """Host (lower case, no www, no port) and path with query."""
    try:
        address = urlsplit(url if "//" in url else f"//{url}")
        host = (address.hostname or "").rstrip(".").removeprefix("www.")
    except ValueError:
        return "", ""
    return host, address.path + (f"?{address.query}" if address.query else "")


def _hashes(block: str) -> Hashes:
    names = block.split("\n") if _PLAIN.fullmatch(block) else list(map(_entry, block.splitlines()))
    return _hash_names([name.removeprefix("www.") for name in names if name])


def _entry(line: str) -> str:
    """A line of a list as a host, or a host and its path; empty for comments. Also in the form of hosts files."""
    line = _HOSTS_FILE.sub("", line.strip()).removeprefix("*").removeprefix(".")
    if not line or line[0] in "#!;":
        return ""
    host, path = _split(line.split()[0])
    return host + path.rstrip("/") if host else ""


def _hash_names(names: Sequence[str]) -> Hashes:
    digests = [sha1(name.encode("utf-8", "surrogatepass")).digest()[:8] for name in names]
    return np.frombuffer(b"".join(digests), "<u8")
