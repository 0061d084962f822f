"""Which column holds what: by a setting, or by the names that published corpora use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from pipeline.errors import XlmrError

if TYPE_CHECKING:
    from corpus.documents.settings import DocumentColumns

USUAL = {
    "text": ("text", "content", "raw_content"),
    "url": ("url", "warc_headers.warc-target-uri", "warc-target-uri", "metadata.url", "meta.url", "uri", "u"),
    "date": ("date", "date_download", "warc_headers.warc-date", "timestamp", "crawl_date", "ts", "created"),
    "title": ("title",),
    "digest": ("digest", "warc_headers.warc-block-digest"),
}
"""FineWeb2: text, url, date. OSCAR: content, warc_headers. cc_net: raw_content, date_download. mC4 and CulturaX: text,
url, timestamp. HPLT: text, u, ts. Wikipedia: title, text, url."""

Names = Mapping[str, tuple[str, ...]]
"""Of each kind of column the names that are looked for, the first one first."""


def names_of(columns: DocumentColumns) -> Names:
    """The names that are looked for: the one that is set, the usual ones where nothing is, none where it is empty."""
    chosen = {kind: getattr(columns, kind) for kind in USUAL}
    return {kind: USUAL[kind] if name is None else (name,) if name else () for kind, name in chosen.items()}


def find(names: Names, has: Callable[[str], bool]) -> dict[str, str]:
    """Of each kind the first name that there is; kinds without one are left out."""
    found = {kind: next(filter(has, usual), None) for kind, usual in names.items()}
    return {kind: name for kind, name in found.items() if name is not None}


def look_up(record: Mapping[str, Any], name: str) -> Any:
    """The value of a field; of ``a.b`` field b of field a. None where there is none."""
    if name in record:
        return record[name]
    outer, _, inner = name.partition(".")
    within = record.get(outer) if inner else None
    return look_up(within, inner) if isinstance(within, Mapping) else None


def needed(names: Names) -> set[str]:
    """The kinds that every file must have: the text, and those whose name is a setting."""
    return {kind for kind, looked_for in names.items() if kind == "text" or looked_for not in (USUAL[kind], ())}


def lacking_error(file: str, kind: str, names: Names, there: Iterable[str]) -> XlmrError:
    """The error for a file that has no column of a kind that it must have."""
    looked_for = " or ".join(map(repr, names[kind]))
    shown = ", ".join(name[:50] for name in islice(there, 20)) or "none"
    return XlmrError(f"{file}: has no column {looked_for}; its columns are {shown}", f"set corpus.read.columns.{kind}")
