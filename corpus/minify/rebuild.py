"""Rebuilding the documents of one segment: its file is read once, every line is checked against its checksum."""

from __future__ import annotations

import json
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from corpus.crawl.addresses import ROOT, address_of, check_segment
from corpus.crawl.download import GoneError
from corpus.crawl.settings import Read
from corpus.crawl.tally import Tally
from corpus.crawl.wet import Document, read_crawl
from corpus.filters.masking import PersonalDataMasker
from corpus.language.labels import LABEL
from corpus.mine.rows import MinedRow
from corpus.mine.writer import records_of
from corpus.minify.minified import Minified, Segment, checks_of
from corpus.output.masks import masker_of
from corpus.output.records import BUCKETS, CORPUS
from pipeline.errors import XlmrError
from pipeline.shards import ShardReport
from pipeline.storage import expand, has_wildcards, is_local, write_json

GONE, CHANGED = "gone", "changed"

Known = dict[str, Any]
"""What the minified corpus knows of a document."""


@dataclass(frozen=True)
class SegmentShard:
    """One segment of a minified corpus."""

    name: str
    minified: Minified
    segment: Segment


@dataclass(frozen=True)
class Crawl:
    """Where the crawl is, and how it is read."""

    base: str
    read: Read

    def address(self, segment: str) -> str:
        """Where a segment's file is: below ``base`` by its path in the crawl; locally also by the end of that path.

        Of a pattern, the file that it names whose path ends as the segment's does, by the most parts.
        """
        if not is_local(self.base) and not has_wildcards(self.base):
            return self._usual(segment)
        if has_wildcards(self.base) or Path(self.base).is_file():
            return _nearest(files_by_name(self.base), segment) or self.base
        usual = self._usual(segment)
        parts = [part for part in Path(segment).parts if part not in {"/", ".."}]
        places = (Path(self.base, *parts[start:]) for start in range(len(parts)))
        return str(next((place for place in places if place.exists()), usual))

    def _usual(self, segment: str) -> str:
        if segment.startswith(ROOT):
            return address_of(check_segment(segment), self.base)
        return f"{self.base.rstrip('/')}/{Path(segment).name}"

    def documents(self, segment: str) -> Iterator[Document]:
        """The documents of a segment's file. Errors: FileNotFoundError where it is gone."""
        address = self.address(segment)
        try:
            for document in read_crawl([address], self.read, Tally()):
                yield replace(document, segment=segment)
        except GoneError:
            raise FileNotFoundError(address) from None


@cache
def files_by_name(pattern: str) -> dict[str, list[str]]:
    """The files that a pattern names, by the last part of their paths. Errors: XlmrError where there are none."""
    found: dict[str, list[str]] = defaultdict(list)
    for file in expand(pattern):
        found[PurePosixPath(file).name].append(file)
    return dict(found)


def _nearest(files: dict[str, list[str]], segment: str) -> str | None:
    """The file whose path ends as the segment's does, by the most parts; None where no name is the same."""
    parts = PurePosixPath(segment).parts

    def same(file: str) -> int:
        pairs = zip(reversed(PurePosixPath(file).parts), reversed(parts), strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    return max(files.get(parts[-1] if parts else "", ()), key=same, default=None)


def rebuild(crawl: Crawl, shard: SegmentShard, workspace: Path) -> ShardReport:
    """Write ``<shard>.arrow`` as corpus.mine does, bucket included, and ``<shard>.missing.jsonl``."""
    known = list(shard.minified.rows(shard.segment))
    for one in known:
        _check_names(one)
    rebuilt: dict[int, MinedRow] = {}
    problems: dict[int, tuple[str, str]] = {}
    try:
        masker = masker_of(shard.minified.masks)
        for number, row, problem in _match(known, crawl.documents(shard.segment.name), masker):
            if row is not None:
                rebuilt.setdefault(number, row)
            else:
                problems.setdefault(number, (CHANGED, problem))
        absent = "is not in its segment"
    except FileNotFoundError as error:
        absent = f"its segment is not at {error.args[0] if error.filename is None else error.filename}"
    missing = [
        (known[number], *problems.get(number, (GONE, absent))) for number in range(len(known)) if number not in rebuilt
    ]
    _write(workspace / f"{shard.name}.arrow", known, rebuilt)
    with (workspace / f"{shard.name}.missing.jsonl").open("w", encoding="utf-8") as lines:
        for one, what, why in missing:
            named = {name: one[name] for name in ("url", "digest", "cc_segment", "language", "bucket")}
            lines.write(json.dumps({**named, "what": what, "why": why}, ensure_ascii=False) + "\n")
    unchecked = sum(1 for number in rebuilt if known[number]["line_checks"] is None)
    outcome = Counter(what for _, what, _ in missing)
    return ShardReport({"rebuilt": len(rebuilt), "unchecked": unchecked, **outcome})


def _match(
    known: Sequence[Known], documents: Iterator[Document], masker: PersonalDataMasker | None
) -> Iterator[tuple[int, MinedRow | None, str]]:
    """For each document that is asked for: its number in ``known``, and its row, or what is wrong with it."""
    wanted: dict[tuple[str, str], list[int]] = defaultdict(list)
    urls: dict[str, list[int]] = defaultdict(list)
    for number, one in enumerate(known):
        wanted[one["url"], one["digest"]].append(number)
        urls[one["url"]].append(number)
    for document in documents:
        same = wanted.get((document.url, document.digest), ())
        # Documents without an address have their checksum alone: any other is another one.
        for number in urls.get(document.url, ()) if document.url else same:
            if number not in same:
                yield number, None, "has another digest"
                continue
            row, problem = rebuild_row(known[number], document, masker)
            yield number, row, problem


def rebuild_row(
    known: Known, document: Document, masker: PersonalDataMasker | None = None
) -> tuple[MinedRow | None, str]:
    """The row of a document, masked as the corpus was, or None and what is wrong.

    Where lines were decided on one by one, the title is line 0, otherwise the line after it: which one it is shows in
    the checksums.
    """
    bodies = [document, replace(document, lines=[document.title, *document.lines])]
    if known["line_scores"] is not None:
        bodies.reverse()
    if known["line_checks"] is None:
        del bodies[1:]
    problem = ""
    for body in bodies:
        row, wrong = _checked(known, body, masker)
        if row is not None:
            return row, ""
        problem = problem or wrong
    return None, problem


def _checked(known: Known, document: Document, masker: PersonalDataMasker | None) -> tuple[MinedRow | None, str]:
    numbers = known["line_ids"]
    if not numbers or min(numbers) < 0 or max(numbers) >= len(document.lines):
        return None, f"has {len(document.lines):,} lines and none of number {max(numbers, default=0):,}"
    lines = [document.lines[number] for number in numbers]
    if masker is not None:
        ((lines,), _) = masker.mask([lines])
    if known["line_checks"] is not None:
        content = [line.encode("utf-8", "surrogatepass") for line in lines]
        found = checks_of(content)
        if found != known["line_checks"]:
            first = next(
                i for i in range(len(lines)) if found[2 * i : 2 * i + 2] != known["line_checks"][2 * i : 2 * i + 2]
            )
            return None, f"line {numbers[first]:,} is another"
        if zlib.crc32(b"\n".join(content)) != known["text_check"]:
            return None, "its lines together are others"
    found_out = {name: known[name] for name in ("language", "perplexity", "line_scores", "line_perplexities")}
    return MinedRow(document, lines, numbers, score=known["language_score"], **found_out), ""


def _write(path: Path, known: Sequence[Known], rebuilt: dict[int, MinedRow]) -> None:
    """Rows by language, in the order in which they are known; a record batch a language."""
    by_language: dict[str, list[int]] = defaultdict(list)
    for number in sorted(rebuilt):
        by_language[known[number]["language"]].append(number)
    with pa.ipc.new_file(str(path), CORPUS, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        for _, numbers in sorted(by_language.items()):
            rows = records_of([rebuilt[number] for number in numbers])
            buckets = pa.array([known[number]["bucket"] for number in numbers], pa.string())
            writer.write_batch(pa.record_batch([*rows.columns, buckets], schema=CORPUS))
    write_json(path.with_suffix(".languages.json"), sorted(by_language))


def _check_names(known: Known) -> None:
    """Language and bucket become names of files. Errors: XlmrError where they cannot."""
    if known["bucket"] not in BUCKETS:
        raise XlmrError(f"{known['url']}: {known['bucket']!r} is not a bucket", f"buckets are {', '.join(BUCKETS)}")
    if not LABEL.fullmatch(known["language"] or ""):
        raise XlmrError(
            f"{known['url']}: {known['language']!r} is not a language code", "fetch the minified files again"
        )
