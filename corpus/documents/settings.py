"""Settings of documents in JSON lines, Parquet and Arrow. Imports nothing heavy."""

from __future__ import annotations

from pipeline.config import Section, setting

_FORM = "'a.b' is field b of field a. null: the first of the usual names; '': none"


class DocumentColumns(Section):
    """Which column of JSON lines, Parquet and Arrow holds what. Other columns are not read."""

    text: str | None = setting(
        None, f"the text ({_FORM}). Usual: text, content (OSCAR), raw_content (cc_net)", min_length=1
    )
    url: str | None = setting(
        None, f"the address of the page ({_FORM}). Usual: url, warc_headers.warc-target-uri (OSCAR), metadata.url"
    )
    date: str | None = setting(
        None, f"when it was crawled ({_FORM}). Usual: date (FineWeb2), date_download (cc_net), timestamp (mC4)"
    )
    title: str | None = setting(None, f"the title, which is not part of the text ({_FORM}). Usual: title")
    digest: str | None = setting(
        None, f"a checksum of the record ({_FORM}). Usual: digest (cc_net). Default: SHA-1 of the text"
    )
