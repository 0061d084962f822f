"""Lists the files of a crawl: of a dump by its list, of a folder or pattern, of an index."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from corpus.crawl.addresses import ROOT, address_of, is_path_of_crawl, joined
from corpus.crawl.settings import Download
from corpus.documents.read import ENDINGS as DOCUMENT_ENDINGS
from pipeline.errors import XlmrError
from pipeline.storage import WILDCARDS, atomic_write, expand, filesystem_of, is_folder, is_local, naming_address
from pipeline.waiting import ask

if TYPE_CHECKING:
    from corpus.crawl.settings import Fetch

ENDINGS = (".wet", ".wet.gz", ".wet.zst", ".warc", ".warc.gz", ".warc.zst", *DOCUMENT_ENDINGS)
"""Of the files that are read where a folder is named."""
LONGEST_LIST = 2**28
"""Bytes; the list of a dump of 100,000 files has 14 MB."""


def root_of(crawl: str) -> str:
    """The folder of this machine that the files of ``fetch.crawl`` lie in, with its slash; empty for remote ones.

    It is left out of segments: where files lie on a machine is no part of a corpus that goes to others.
    """
    scheme = "file://" if crawl.startswith("file://") else ""
    path = crawl.removeprefix(scheme)
    if not is_local(path):
        return ""
    wild = min((place for sign in WILDCARDS if (place := path.find(sign)) >= 0), default=len(path))
    folder = path if wild == len(path) and Path(path).is_dir() else path[:wild].rpartition("/")[0]
    if folder.startswith(".."):
        return f"{folder.rstrip('/')}/"
    _, whole = filesystem_of(folder or ("/" if path.startswith("/") else "."))
    return f"{scheme}{whole.rstrip('/')}/"


def list_of_files(fetch: Fetch, dump: str) -> list[str]:
    """The addresses of a dump's files, in the order of its list. Errors: XlmrError for paths that leave the crawl."""
    path = list_file(fetch, dump)
    text = _unpack(path.read_bytes(), str(path)).decode("utf-8", "replace")
    paths = [line.strip() for line in text.splitlines() if line.strip()]
    for name in paths:
        if not is_path_of_crawl(name):
            raise XlmrError(f"{path}: {name[:100]!r} is not a crawl's path", "check corpus.fetch.base")
    if not paths:
        raise XlmrError(f"{path}: lists no files", "check corpus.fetch.dumps")
    return [address_of(name, fetch.base) for name in paths]


def list_file(fetch: Fetch, dump: str) -> Path:
    """The list of a dump as a local file, fetched if it is not here yet: dumps do not change once they are out.

    A list in a local folder is read where it lies.
    """
    address = joined(fetch.base, f"{ROOT}{dump}/{fetch.kind}.paths.gz")
    if is_local(address):
        if not Path(address).exists():
            raise XlmrError(f"{address}: no such file", "check corpus.fetch.dumps and corpus.fetch.base")
        return Path(address)
    base = hashlib.sha256(fetch.base.encode()).hexdigest()[:16]
    kept = fetch.lists / base / f"{dump}.{fetch.kind}.paths"
    if not kept.exists():
        text = ask(f"the list of {dump} at {address}", lambda: _fetch_list(fetch, address))
        with atomic_write(kept) as handle:
            handle.write(text)
    return kept


def _fetch_list(fetch: Fetch, address: str) -> bytes:
    from corpus.crawl.cache import Cache

    with Cache(Download(folder=fetch.lists / "downloads")).open(address) as stream:
        return _unpack(stream.read(LONGEST_LIST), address)


def _unpack(content: bytes, name: str) -> bytes:
    if not content.startswith(b"\x1f\x8b"):
        return content
    inflate = zlib.decompressobj(wbits=31)
    try:
        text = inflate.decompress(content, LONGEST_LIST)
    except zlib.error as error:
        raise XlmrError(f"{name}: not a complete gzip file ({error})", "fetch it again") from None
    if not inflate.eof:
        raise XlmrError(f"{name}: is truncated, or too long for a list of files", "fetch it again")
    return text


def outside_files(fetch: Fetch) -> dict[str, str]:
    """The files whose content counts: those of a pattern; of a dump its list, because a dump does not change."""
    if fetch.index.files:
        from corpus.crawl.index import patterns_of_index

        return dict.fromkeys(patterns_of_index(fetch.index), "fetch.index.files")
    if fetch.dumps:
        return {str(list_file(fetch, dump)): "fetch.dumps" for dump in fetch.dumps}
    return {} if is_one_url(fetch.crawl) else dict.fromkeys(patterns_of(fetch.crawl), "fetch.crawl")


def files_of(crawl: str) -> list[str]:
    """The files that ``fetch.crawl`` means, sorted. Errors: XlmrError where there are none."""
    if is_one_url(crawl):
        return [crawl]
    return sorted(file for pattern in patterns_of(crawl) for file in expand(pattern))


def patterns_of(crawl: str) -> list[str]:
    """What ``fetch.crawl`` means as patterns that name files: itself, or of a folder the files below it that are
    WET, WARC or documents.

    Errors: XlmrError for a folder without any.
    """
    if not is_folder(crawl):
        return [crawl]
    filesystem, _ = filesystem_of(crawl)
    with naming_address(crawl):
        patterns = [f"{crawl.rstrip('/')}/**/*{end}" for end in ENDINGS]
        found = [pattern for pattern in patterns if filesystem.glob(filesystem_of(pattern)[1])]
    if not found:
        fix = "in a folder .wet, .warc, .jsonl, .parquet, .arrow are read, .gz and .zst too; a pattern names others"
        raise XlmrError(f"{crawl}: no WET or WARC files or documents are in this folder", fix)
    return found


def is_one_url(address: str) -> bool:
    """Whether it is the address of one file by HTTP, which has no folders to list. Only its name is part of a key."""
    return address.startswith(("http://", "https://")) and "*" not in address
