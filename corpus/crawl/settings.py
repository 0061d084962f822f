"""Settings of fetching and reading the crawl. Imports nothing heavy."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from corpus.documents.settings import DocumentColumns
from pipeline.config import FileAddress, Section, setting

DUMP = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
_SHORT_DUMP = re.compile(r"\d{4}-\d{2}")


class Index(Section):
    """CommonCrawl's URL index in Parquet, for the pages of one country, language or site.

    A page is read if it is of one of each list that is not empty.
    """

    files: FileAddress | None = setting(
        None,
        "the index: a folder, file or pattern, any fsspec address, as s3://commoncrawl/cc-index/table/cc-main/warc/"
        "crawl=CC-MAIN-2019-09/subset=warc/*.parquet; it selects files of fetch.base and replaces dumps",
        source="commoncrawl.org",
    )
    domains: tuple[str, ...] = setting((), "registered domains with all their hosts, as [example.co.uk]; the fastest")
    hosts: tuple[str, ...] = setting((), "hosts and their subdomains, as [blog.example.org]")
    tlds: tuple[str, ...] = setting((), "top-level domains, as [is]")
    languages: tuple[str, ...] = setting((), "ISO 639-3 codes that CommonCrawl detected, as [isl]")

    @model_validator(mode="after")
    def _chooses(self) -> Self:
        if bool(self.files) != bool(self.domains or self.hosts or self.tlds or self.languages):
            raise ValueError("files needs one of domains, hosts, tlds, languages, and these need files")
        return self


class Fetch(Section):
    """The files of the crawl, and how they are assigned to shards."""

    crawl: FileAddress = setting(
        "samples/crawl/*.warc.wet.gz",
        "WET or WARC files, or documents as JSON lines, Parquet, Arrow or text (.txt, a document a line, not found in "
        "folders): a folder, a path or a pattern, any fsspec address; '' where dumps are named",
    )
    dumps: tuple[Annotated[str, Field(pattern=DUMP)], ...] = setting(
        (), "dumps by their names, as [CC-MAIN-2019-09]; their lists of files are fetched", source="commoncrawl.org"
    )
    base: FileAddress = setting(
        "https://data.commoncrawl.org/",
        "where dumps are, before crawl-data/<dump>/: https, s3://commoncrawl/ or a folder with the same layout",
        source="commoncrawl.org",
    )
    kind: Literal["wet", "warc"] = setting("wet", "which files of a dump: text (wet) or pages with their HTML (warc)")
    index: Index = setting(Index(), "CommonCrawl's URL index, to read some pages of a dump only")
    shards: int | None = setting(
        None, "number of shards, of each dump; shard i of N takes files [i·n//N, (i+1)·n//N). null: a shard a file; "
        "with an index, one for 100,000 records",
        ge=1, source="cc_net mine.py, 1,600 a dump",
    )  # fmt: skip
    pick: str | None = setting(
        None, "the shards to process, of each dump: start:stop or start:stop:step as in Python, or one number",
        pattern=r"^-?\d+$|^(-?\d*):(-?\d*)(:[1-9]\d*)?$",
    )  # fmt: skip
    lists: Path = setting(Path(".cache/lists"), "folder for the lists of dumps", affects_result=False)

    def inert(self) -> Collection[str]:
        """Of the crawl, the dumps and the index one says what is read; only the last two use ``base``."""
        if self.index.files:
            return ("crawl", "dumps")
        return ("crawl",) if self.dumps else ("base", "kind")

    @field_validator("dumps", mode="before")
    @classmethod
    def _one_dump(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("dumps")
    @classmethod
    def _whole_names(cls, dumps: tuple[str, ...]) -> tuple[str, ...]:
        for dump in dumps:
            if _SHORT_DUMP.fullmatch(dump):  # as cc_net calls them
                raise ValueError(f"a dump's whole name is needed: {dump} is called CC-MAIN-{dump}")
        return dumps

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = "crawl" in self.model_fields_set and self.crawl not in ("", type(self).model_fields["crawl"].default)
        if self.index.files and (self.dumps or given):
            raise ValueError("index.files replaces dumps and crawl: leave these out")
        if self.dumps and given:
            shown = ", ".join(self.dumps[:2]) + (", …" if len(self.dumps) > 2 else "")
            raise ValueError(
                f"crawl ({self.crawl}) and dumps ({shown}) are both set, and only one can be read: "
                "add --corpus.fetch.dumps '[]' or --corpus.fetch.crawl ''"
            )
        if not self.crawl and not self.dumps and not self.index.files:
            raise ValueError("set crawl, dumps or index.files")
        return self

    @field_validator("pick", mode="before")
    @classmethod
    def _one_shard(cls, value: Any) -> Any:
        if isinstance(value, int) and value >= 60:
            # YAML 1.1 reads 16:32 as a number of base sixty, 992.
            raise ValueError("read as a number; write start:stop in quotes, as '16:32'")
        return str(value) if isinstance(value, int) else value


class Download(Section):
    """Download and cache of remote files. No setting changes a result."""

    folder: Path = setting(Path(".cache/crawl"), "the cache; several runs and machines may share it")
    limit_bytes: int = setting(
        100_000_000_000, "size of the cache; the least recently used files are evicted, never one in use", ge=1
    )
    connections: int = setting(8, "concurrent downloads of all processes that share the cache", ge=1)
    attempts: int = setting(8, "failed connections in a row without progress before a file fails", ge=1)
    first_wait: float = setting(1.0, "seconds before the second attempt; doubled after each", ge=0)
    longest_wait: float = setting(300.0, "maximum seconds between attempts, whatever the server asks for", ge=0)
    timeout: float = setting(60.0, "seconds without data before a connection fails", gt=0)
    verify: bool = setting(False, "verify the SHA-256 of a cached file each time it is opened, not only size and time")
    mirror: FileAddress | None = setting(
        None, "download dumps from this base instead of fetch.base, as s3://commoncrawl/"
    )


class Read(Section):
    """How a record is read into a document, and limits for hostile files."""

    min_characters: int = setting(300, "documents with fewer characters are skipped", ge=0, source="cc_net min_len")
    title: Literal["apart", "paragraph"] = setting(
        "apart",
        "apart: the first line is the title field only; paragraph: it is paragraph 0 of the text too",
        source="apart: cc_net; paragraph: CC100",
    )
    normal_form: Literal["as_is", "nfc"] = setting(
        "as_is",
        "nfc: text is normalised to Unicode's composed form (NFC) first; as_is: it is not",
        source="as_is: cc_net; nfc: our choice for cc100",
    )
    columns: DocumentColumns = setting(
        DocumentColumns(), "which column holds what, where documents are JSON lines, Parquet or Arrow"
    )
    documents: int | None = setting(None, "documents of each shard that are read, from its start; null: all", ge=1)
    main_content: bool = setting(False, "extract only the main content of HTML pages (WARC, not WET)")
    max_record_bytes: int = setting(64 * 2**20, "larger records are left out and reported", ge=1)
    max_line_characters: int = setting(
        10_000_000,
        "documents with a longer line are left out and reported; CommonCrawl truncates earlier",
        ge=1,
    )
    max_lines: int = setting(1_000_000, "documents with more lines are left out and reported", ge=1)
    max_file_bytes: int = setting(64 * 2**30, "decompressed size of one file; the rest is left out and reported", ge=1)
    max_growth: int = setting(
        200, "ratio of decompressed to compressed size of a member over 16 MiB; members over it are left out", ge=1
    )
    max_lost_share: float = setting(
        0.5,
        "share of the records, or of the bytes, that may be lost to damage before the run fails; complete shards are "
        "kept, so that a rerun with another value is fast",
        ge=0,
        le=1,
        affects_result=False,
    )
    missing: Literal["fail", "leave_out"] = setting(
        "fail",
        "a missing file (404, 410, no such file): fail its shard, or leave the file out and report it; shards that "
        "are complete are kept",
        affects_result=False,
    )
    download: Download = setting(Download(), "remote files", affects_result=False)
