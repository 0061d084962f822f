"""The corpus -> its groups of comparable pages: one page in several languages, known by its address.

A group needs two languages, as the identifier says, not the address: a site may serve English at every address.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from corpus.output.arrow_files import read_batches
from corpus.output.corpus_folder import corpus_files
from pipeline.errors import XlmrError
from pretrain.comparable.addresses import without_language
from pretrain.comparable.settings import ComparableSettings

LEAST_LANGUAGES = 2

COLUMNS = ("url", "language", "raw_content")


@dataclass(frozen=True)
class PageGroups:
    """Address without its language -> the number of its group; how they are found; how many languages each has."""

    keys: pa.Array
    settings: ComparableSettings
    listed: Mapping[str, str]
    languages: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.keys)

    def of(self, addresses: pa.Array) -> NDArray[np.int64]:
        """The group of each address [n]; −1 where it belongs to none."""
        keys = keys_of(addresses, self.settings, self.listed)
        places = pc.index_in(keys, value_set=self.keys, skip_nulls=True)
        found: NDArray[np.int64] = pc.fill_null(places, -1).to_numpy(zero_copy_only=False).astype(np.int64)
        return found


def keys_of(addresses: pa.Array, settings: ComparableSettings, listed: Mapping[str, str]) -> pa.Array:
    """What pages of a group have in common [n] of strings; null for a page that may belong to none."""
    keys = without_language(addresses, settings.patterns)
    if not settings.groups:
        return keys
    named = pa.array([listed.get(address) for address in addresses.to_pylist()], pa.string())
    return pc.coalesce(named, keys) if settings.patterns else named


def read_listed(settings: ComparableSettings) -> dict[str, str]:
    """Address -> group, of the files in ``settings.groups``. Errors: XlmrError naming the file and the line."""
    found: dict[str, str] = {}
    for name in settings.groups:
        for number, line in enumerate(Path(name).read_text(encoding="utf-8").splitlines(), 1):
            group, tab, address = line.partition("\t")
            if not tab or not group or not address:
                raise XlmrError(f"{name}, line {number}: no group and address", "write group<TAB>address")
            found[address] = f"\t{group}"  # no address begins so
    return found


def find_groups(corpus: Path, settings: ComparableSettings) -> PageGroups:
    """The groups with pages in two languages at least. Memory: the addresses, not the text.

    Errors: XlmrError where there are none.
    """
    listed = read_listed(settings)
    tables = [
        pa.table({"key": keys_of(batch.column("url"), settings, listed), "language": batch.column("language")})
        for batch in _batches(corpus, ("url", "language"))
    ]
    pages = pa.concat_tables(tables) if tables else pa.table({"key": pa.array([], pa.string()), "language": []})
    pages = pages.filter(pc.is_valid(pages["key"]))
    groups = pages.group_by("key").aggregate([("language", "count_distinct")])
    groups = groups.filter(pc.greater_equal(groups["language_count_distinct"], LEAST_LANGUAGES))
    groups = groups.sort_by([("language_count_distinct", "descending"), ("key", "ascending")])
    groups = groups.slice(0, settings.most_pages).combine_chunks()
    if len(groups) < LEAST_LANGUAGES:
        raise XlmrError(
            f"{corpus}: {len(groups)} pages are there in two languages, by their addresses",
            "give pretrain.comparable.patterns or groups, or leave pretrain.train.initialisation at normal",
        )
    counted = groups["language_count_distinct"].to_numpy()
    return PageGroups(pa.array(groups["key"].to_pylist(), pa.string()), settings, listed, counted)


def read_pages(corpus: Path, groups: PageGroups) -> Iterator[list[tuple[int, str, str]]]:
    """(group or −1, language, text) of every document, a batch at a time."""
    for batch in _batches(corpus, COLUMNS):
        numbers = groups.of(batch.column("url")).tolist()
        languages, texts = (batch.column(name).to_pylist() for name in ("language", "raw_content"))
        yield list(zip(numbers, languages, texts, strict=True))


def _batches(corpus: Path, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    for file in corpus_files(corpus):
        yield from read_batches(file.path, columns)
