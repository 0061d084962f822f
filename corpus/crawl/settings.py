"""Settings of fetching and reading the crawl. Imports nothing heavy."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from corpus.documents.settings import DocumentColumns
from pipeline.config import Section, setting

DUMP = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
_SHORT_DUMP = re.compile(r"\d{4}-\d{2}")


class Index(Section):
    """CommonCrawl's URL index in Parquet, for the pages of one country, language or site.

    A page is read if it is of one of each list that is not empty.
    """

    files: str | None = setting(
        None,
        "the index: a folder, file or pattern, any fsspec address, as s3://commoncrawl/cc-index/table/cc-main/warc/"
        "crawl=CC-MAIN-2019-09/subset=warc/*.parquet; it says which files of fetch.base are read, in place of dumps",
        source="commoncrawl.org",
    )
    domains: tuple[str, ...] = setting((), "registered domains with all their hosts, as [example.co.uk]; the fastest")
    hosts: tuple[str, ...] = setting((), "hosts with all below them, as [blog.example.org]")
    tlds: tuple[str, ...] = setting((), "top-level domains, as [is]")
    languages: tuple[str, ...] = setting((), "ISO 639-3 codes, one of those that CommonCrawl found, as [isl]")

    @model_validator(mode="after")
    def _chooses(self) -> Self:
        if bool(self.files) != bool(self.domains or self.hosts or self.tlds or self.languages):
            raise ValueError("files needs one of domains, hosts, tlds, languages, and these need files")
        return self


class Fetch(Section):
    """Which files of which crawl."""

    crawl: str = setting(
        "samples/crawl/*.warc.wet.gz",
        "WET or WARC files, or documents as JSON lines, Parquet or Arrow: a folder, a path or a pattern, any fsspec "
        "address; '' where dumps are named",
    )
    dumps: tuple[Annotated[str, Field(pattern=DUMP)], ...] = setting(
        (), "dumps by their names, as [CC-MAIN-2019-09]; their lists of files are fetched", source="commoncrawl.org"
    )
    base: str = setting(
        "https://data.commoncrawl.org/",
        "where dumps are, before crawl-data/<dump>/: https, s3://commoncrawl/ or a folder with the same layout",
        source="commoncrawl.org",
    )
    kind: Literal["wet", "warc"] = setting("wet", "which files of a dump: text (wet) or pages with their HTML (warc)")
    index: Index = setting(Index(), "CommonCrawl's URL index, to read some pages of a dump only")
    shards: int | None = setting(
        None, "number of shards, of each dump; shard i of N takes files [i·n//N, (i+1)·n//N). None: a shard a file; "
        "with an index, one for 100,000 records",
        ge=1, source="cc_net mine.py, 1,600 a dump",
    )  # fmt: skip
    pick: str | None = setting(
        None, "the shards to take, of each dump: start:stop or start:stop:step as in Python, or one number",
        pattern=r"^-?\d+$|^(-?\d*):(-?\d*)(:[1-9]\d*)?$",
    )  # fmt: skip
    lists: Path = setting(Path(".cache/lists"), "folder that keeps the lists of dumps", affects_result=False)

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
    """How files that lie elsewhere come here, and how long they stay. Nothing of it changes a result."""

    folder: Path = setting(Path(".cache/crawl"), "the cache; several runs and machines may share it")
    limit_bytes: int = setting(
        100_000_000_000, "the cache is kept under this: what was not used for longest goes, never a file in use", ge=1
    )
    connections: int = setting(8, "downloads at once, of all processes that share the cache", ge=1)
    attempts: int = setting(8, "failed connections in a row, with nothing gained, before a file is given up", ge=1)
    first_wait: float = setting(1.0, "seconds before the second attempt; doubles from one to the next", ge=0)
    longest_wait: float = setting(300.0, "seconds at most between attempts, whatever the server asks for", ge=0)
    timeout: float = setting(60.0, "seconds without a byte after which a connection counts as cut", gt=0)
    verify: bool = setting(False, "compare a copy's SHA-256 each time that it is opened, not only its size and time")
    mirror: str | None = setting(
        None, "take dumps from this base instead of the one that they were listed at, as s3://commoncrawl/"
    )


class Read(Section):
    """How a record becomes a document, and how much of a hostile file is read."""

    min_characters: int = setting(300, "shorter documents are not read at all", ge=0, source="cc_net min_len")
    title: Literal["apart", "paragraph"] = setting(
        "apart",
        "the first line is a field of its own, or paragraph 0 of the text too",
        source="apart: cc_net; paragraph: CC100",
    )
    normal_form: Literal["as_is", "nfc"] = setting(
        "as_is",
        "nfc: characters that can be written in two ways become Unicode's composed ones (NFC) before anything else",
        source="as_is: cc_net; nfc: our choice for cc100",
    )
    columns: DocumentColumns = setting(
        DocumentColumns(), "which column holds what, where documents are JSON lines, Parquet or Arrow"
    )
    documents: int | None = setting(None, "of each shard, its first so many documents; None: all", ge=1)
    main_content: bool = setting(False, "of HTML, only what looks like the main content; WET has no HTML")
    max_record_bytes: int = setting(64 * 2**20, "a record with more is left out and named", ge=1)
    max_line_characters: int = setting(
        10_000_000, "a document with a longer line is left out and named; CommonCrawl cuts pages long before", ge=1
    )
    max_lines: int = setting(1_000_000, "a document with more lines is left out and named", ge=1)
    max_file_bytes: int = setting(
        64 * 2**30, "what one file may grow to when decompressed; the rest is left out and named", ge=1
    )
    max_growth: int = setting(
        200, "how many times its size a compressed member may grow to, if over 16 MiB; a larger one is left out", ge=1
    )
    max_lost_share: float = setting(
        0.5,
        "share of the records, or of the bytes, that may be lost to damage before the run fails; what was read stays, "
        "so that a rerun with another value is quick",
        ge=0,
        le=1,
        affects_result=False,
    )
    missing: Literal["fail", "leave_out"] = setting(
        "fail",
        "a file that is gone (404, 410, no such file) fails its shard, or is left out and named; shards that are "
        "complete stay as they are",
        affects_result=False,
    )
    download: Download = setting(Download(), "files that lie elsewhere", affects_result=False)
