"""CommonCrawl's URL index (Parquet, a row a record): which records of which files are read, for one site or country.

The index has the places of records in WARC files. Those in WET files are found by their URL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import dataset

from corpus.crawl.addresses import is_path_of_crawl
from corpus.crawl.chosen import SCHEMA
from pipeline.errors import XlmrError
from pipeline.storage import expand, filesystem_of, is_folder, naming_address

if TYPE_CHECKING:
    from corpus.crawl.settings import Fetch, Index

_PLACE = {"file": "warc_filename", "offset": "warc_record_offset", "length": "warc_record_length"}


def patterns_of_index(index: Index) -> list[str]:
    """What ``index.files`` means as patterns that name files."""
    files = index.files or ""
    return [f"{files.rstrip('/')}/**/*.parquet"] if is_folder(files) else [files]


def choose(fetch: Fetch) -> pa.Table:
    """The records that the index chooses, by file and place, each once. Columns: corpus/crawl/chosen.py.

    Errors: XlmrError where there are none.
    """
    addresses = [address for pattern in patterns_of_index(fetch.index) for address in expand(pattern)]
    batches = [batch for address in addresses for batch in _rows_of(address, fetch)]
    table = pa.Table.from_batches(batches, SCHEMA)
    if not table.num_rows:
        raise XlmrError(f"{fetch.index.files}: selects no records", "check corpus.fetch.index")
    one = "offset" if fetch.kind == "warc" else "url"
    table = table.take(pc.sort_indices(table, [("file", "ascending"), (one, "ascending")]))
    _check(table, fetch)
    return table.filter(_is_first(table, one))


def _rows_of(address: str, fetch: Fetch) -> Iterator[pa.RecordBatch]:
    filesystem, path = filesystem_of(address)
    try:
        with naming_address(address):
            table = dataset.dataset(path, format="parquet", filesystem=filesystem)
    except (OSError, pa.ArrowException) as error:
        raise XlmrError(
            f"{address}: is not a Parquet file ({' '.join(str(error).split())})", "fetch it again"
        ) from None
    columns = _PLACE if fetch.kind == "warc" else {"file": "warc_filename", "url": "url"}
    wanted = _condition(fetch.index, table.schema)
    lacking = sorted({*columns.values(), *_columns_asked(fetch.index)} - set(table.schema.names))
    if lacking:
        raise XlmrError(f"{address}: has no column {', '.join(lacking)}", "it must be CommonCrawl's index in Parquet")
    with naming_address(address):
        for batch in table.to_batches(columns={k: dataset.field(v) for k, v in columns.items()}, filter=wanted):
            rows = {name: batch.column(name).cast(SCHEMA.field(name).type) for name in columns}
            missing = [name for name in SCHEMA.names if name not in rows]
            rows |= {name: pa.nulls(batch.num_rows, SCHEMA.field(name).type) for name in missing}
            yield pa.RecordBatch.from_arrays([rows[name] for name in SCHEMA.names], schema=SCHEMA)


def _columns_asked(index: Index) -> Iterator[str]:
    if index.domains:
        yield "url_host_registered_domain"
    if index.hosts:
        yield "url_host_name"
    if index.tlds:
        yield "url_host_tld"
    if index.languages:
        yield "content_languages"


def _condition(index: Index, schema: pa.Schema) -> Any:
    """What a row must be: one of each list that is not empty, and fetched with success."""
    conditions = []
    if index.domains:
        conditions.append(dataset.field("url_host_registered_domain").isin(list(index.domains)))
    if index.tlds:
        conditions.append(dataset.field("url_host_tld").isin(list(index.tlds)))
    if index.hosts:
        below = rf"(^|\.)({'|'.join(map(re.escape, index.hosts))})$"
        conditions.append(pc.match_substring_regex(dataset.field("url_host_name"), pattern=below))
    if index.languages:
        among = rf"(^|,)({'|'.join(map(re.escape, index.languages))})(,|$)"
        conditions.append(pc.match_substring_regex(dataset.field("content_languages"), pattern=among))
    if "fetch_status" in schema.names:
        conditions.append(dataset.field("fetch_status") == 200)
    condition = conditions[0]
    for one in conditions[1:]:
        condition = condition & one
    return condition


def _check(table: pa.Table, fetch: Fetch) -> None:
    """Errors: XlmrError for paths that leave the crawl, and for places that cannot be."""
    for name in pc.unique(table.column("file")).to_pylist():
        if name is None or not is_path_of_crawl(name):
            raise XlmrError(f"{fetch.index.files}: {str(name)[:100]!r} is not a crawl's path", "fetch the index again")
    if fetch.kind == "warc":
        bad = pc.any(pc.or_(pc.less(table.column("offset"), 0), pc.less_equal(table.column("length"), 0))).as_py()
        if bad or table.column("offset").null_count or table.column("length").null_count:
            raise XlmrError(f"{fetch.index.files}: has records without an offset or a length", "fetch the index again")


def _is_first(table: pa.Table, column: str) -> pa.Array:
    """Whether a row differs from the one before it, in its file or in ``column``."""
    differs = pa.array([False] * (table.num_rows - 1))
    for name in ("file", column):
        values = table.column(name).combine_chunks()
        differs = pc.or_(differs, pc.not_equal(values.slice(1), values.slice(0, len(values) - 1)))
    return pa.concat_arrays([pa.array([True]), differs])
