"""Damaged crawl files without end: every record that is whole is read, nothing else is given, and losses are counted.

    python -m benchmarks.fuzz_crawl --files 10000
    python -m benchmarks.fuzz_crawl --seconds 3600 --seed 7
    python -m benchmarks.fuzz_crawl --only 1234 --write broken.warc.gz

File number n of a seed is always the same. What fails is named by its number; --only shows it, --write keeps it.
Exit code 1 if anything failed.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from benchmarks.crawl_files import APART, PACKINGS, CrawlFile, Written, crawl_file
from corpus.crawl.inflate import Limits
from corpus.crawl.warc import Damage, Record, read_records

LIMITS = Limits(file_bytes=2**36, growth=200)
MAX_BYTES = 2**26
MAGIC = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")


class _AnyType(frozenset[str]):
    """The types of records that are asked for: all, those too that damage made up."""

    def __contains__(self, kind: object) -> bool:
        return kind is not None


TYPES = _AnyType()


@dataclass
class Result:
    """What reading a file gave, held against what was written.

    ``whole``    records that damage left as they were.
    ``grown``    of these, those over the limit on growth, which are not read.
    ``altered``  records whose text damage changed in a file without checksums.
    ``faults``   what is wrong, in words; nothing, if all is right.
    """

    written: int = 0
    whole: int = 0
    given: int = 0
    grown: int = 0
    altered: int = 0
    lost: int = 0
    damages: int = 0
    faults: list[str] = field(default_factory=list)


def check_file(file: CrawlFile) -> Result:
    """Read the file and compare."""
    content = file.content
    result = Result(written=len(file.written))
    try:
        items = list(read_records(io.BytesIO(content), TYPES, MAX_BYTES, LIMITS))
    except Exception:
        result.faults.append("crash: " + traceback.format_exc(limit=-3))
        return result
    records = [item for item in items if isinstance(item, Record)]
    damages = [item for item in items if isinstance(item, Damage)]
    result.given, result.damages = len(records), len(damages)
    given = Counter(record.headers.get("warc-target-uri", "") for record in records)
    stopped = any(damage.problem.startswith("it grows to more than") for damage in damages)
    for written in file.written:
        _check_written(file, written, given[written.url], result, stopped=stopped)
    _check_given(file, records, result)
    _check_counts(file, content, records, damages, result)
    return result


def _check_written(file: CrawlFile, written: Written, given: int, result: Result, *, stopped: bool) -> None:
    """``stopped``: a member was over the limit on growth, and what is left of it was not read."""
    copies = file.copies(written)
    if not copies or (written.wrong and not written.corrected):
        return
    result.whole += 1
    if (written.grown and file.packing != "plain") or (stopped and file.packing not in APART):
        result.grown += given < copies
    elif given < copies:
        result.lost += 1
        result.faults.append(f"{written.url} is whole {copies} times and given {given} times")


def _check_given(file: CrawlFile, records: Sequence[Record], result: Result) -> None:
    by_url = {written.url: written for written in file.written}
    for record in records:
        written = by_url.get(record.headers.get("warc-target-uri", ""))
        if written is not None and record.body.rstrip(b"\r\n") == written.body.rstrip(b"\r\n"):
            continue
        result.altered += 1
        # A file whose start is damaged is read as a plain one where its text is stored, and that has no checksums.
        if file.packing in APART and file.content.startswith(MAGIC):
            result.faults.append(f"a record is given that was not written: {record.headers}, {record.body[:80]!r}")


def _check_counts(
    file: CrawlFile, content: bytes, records: Sequence[Record], damages: Sequence[Damage], result: Result
) -> None:
    """Every byte of the file is in a record or counted as lost, to the byte where members can be distinguished."""
    skipped = sum(damage.bytes for damage in damages)
    if any(damage.bytes < 0 or damage.records < 0 for damage in damages) or skipped > len(content):
        result.faults.append(f"of {len(content):,} bytes {skipped:,} are said to be lost")
    if file.packing == PACKINGS[0] and content.startswith(MAGIC):
        read = sum(_member_size(content, record.position) for record in records)
        if read + skipped != len(content):
            result.faults.append(f"{read:,} bytes read and {skipped:,} lost are not {len(content):,}")
    # Without checksums, what a deletion leaves of two records can be one that is well formed: it is counted as altered.
    if file.damage and not damages and result.given + result.altered < _seen(file):
        result.faults.append(f"{_seen(file) - result.given} records are lost and nothing is said of it")


def _member_size(content: bytes, position: int) -> int:
    inflate = zlib.decompressobj(wbits=31)
    with suppress(zlib.error):  # it is no member: what was read of it does not add up then
        inflate.decompress(content[position:])
    return len(content) - position - len(inflate.unused_data)


def _seen(file: CrawlFile) -> int:
    """How many records the file holds a part of that shows."""
    kept = [chunk for chunk in file.chunks if isinstance(chunk, tuple)]
    return sum(any(a < written.end and written.start < b for a, b in kept) for written in file.written)


def made(seed: int, number: int) -> CrawlFile:
    """File ``number`` of a seed."""
    return crawl_file(Random(f"{seed}-{number}"))


def main(argv: Sequence[str] | None = None) -> int:
    """Make, damage, read, compare, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, help="how many; default: 1,000, or as many as --seconds allows")
    parser.add_argument("--seconds", type=float, help="how long")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, metavar="NUMBER", help="one file, with what was done to it")
    parser.add_argument("--write", type=Path, metavar="PATH", help="with --only: write the file here")
    options = parser.parse_args(argv)
    if options.only is not None:
        return _show(options.seed, options.only, options.write)
    files = options.files if options.files or options.seconds else 1000
    start, number, failed = time.monotonic(), 0, 0
    sums: dict[str, Counter[str]] = {packing: Counter() for packing in PACKINGS}
    while (not files or number < files) and (not options.seconds or time.monotonic() - start < options.seconds):
        file = made(options.seed, number)
        result = check_file(file)
        failed += bool(result.faults)
        for fault in result.faults:
            print(f"file {number} ({file.packing}; {', '.join(file.damage)}): {fault}", flush=True)
        names = ("written", "whole", "given", "lost", "grown", "altered", "damages")
        sums[file.packing].update({"files": 1, **{name: getattr(result, name) for name in names}})
        number += 1
    _print_table(sums)
    print(f"{number:,} files of seed {options.seed}, {failed:,} of them failed")
    return 1 if failed else 0


def _print_table(sums: dict[str, Counter[str]]) -> None:
    columns = ("files", "written", "whole", "given", "lost", "grown", "altered", "damages")
    print("".join([f"{'':28}", *(f"{name:>10}" for name in columns)]))
    for packing, counts in [*sums.items(), ("all", sum(sums.values(), Counter[str]()))]:
        print("".join([f"{packing:28}", *(f"{counts[name]:>10,}" for name in columns)]))


def _show(seed: int, number: int, path: Path | None) -> int:
    file = made(seed, number)
    result = check_file(file)
    print(f"{file.packing}; {', '.join(file.damage) or 'no damage'}; {len(file.written)} records")
    for item in read_records(io.BytesIO(file.content), TYPES, MAX_BYTES, LIMITS):
        print(item if isinstance(item, Damage) else f"{item.position:>10,} {item.headers.get('warc-target-uri')}")
    print(result)
    if path is not None:
        path.write_bytes(file.content)
    return 1 if result.faults else 0


if __name__ == "__main__":
    sys.exit(main())
