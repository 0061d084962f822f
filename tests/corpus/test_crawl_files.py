"""Crawl files that others wrote, and damaged ones: whole records are read, losses are counted in bytes and records."""

from __future__ import annotations

import gzip
import io
import random
import struct
import zlib

import pytest
from backports import zstd
from corpus_crawl import wet_record

from benchmarks.fuzz_crawl import check_file, made
from corpus.crawl.inflate import READ, Limits
from corpus.crawl.warc import Damage, Record, read_records

GOOD = [wet_record(n, f"title {n}\n" + f"line of number {n} that says something\n" * 12) for n in range(100)]
BAD_SUM = gzip.compress(GOOD[0])[:-8] + bytes(8)


def read(content: bytes) -> tuple[list[int], list[Damage]]:
    """The numbers of the records, and what is damaged."""
    items = list(read_records(io.BytesIO(content), ("conversion",), 2**26, Limits(2**36, 200)))
    records = [item for item in items if isinstance(item, Record)]
    damages = [item for item in items if isinstance(item, Damage)]
    return [int(record.headers["warc-target-uri"].rsplit("/")[-1]) for record in records], damages


def packed(*records: bytes) -> bytes:
    return b"".join(map(gzip.compress, records))


def member(data: bytes, flags: int, level: int = 6) -> bytes:
    """A gzip member with extra field (4), name (8), comment (16) and checksum of the header (2)."""
    header = b"\x1f\x8b\x08" + bytes([flags]) + bytes(4) + b"\x00\x03"
    header += b"\x0c\x00sl\x08\x00" + bytes(8) if flags & 4 else b""
    header += b"name\0" if flags & 8 else b""
    header += b"a comment\0" if flags & 16 else b""
    header += struct.pack("<H", zlib.crc32(header) & 0xFFFF) if flags & 2 else b""
    deflate = zlib.compressobj(level, wbits=-15)
    return header + deflate.compress(data) + deflate.flush() + struct.pack("<II", zlib.crc32(data), len(data))


@pytest.mark.parametrize("seed", range(2))
def test_damaged_files_give_their_whole_records(seed):
    faults = {number: result.faults for number in range(50) if (result := check_file(made(seed, number))).faults}
    assert not faults


@pytest.mark.parametrize("flags", [0, 2, 4, 8, 12, 16, 30])
def test_a_member_whose_header_lies_across_what_is_read_at_once(flags):
    long = member(GOOD[1], flags)
    head = len(long) - len(member(GOOD[1], 0)) + 10
    for before in (1, head // 2, head - 1):
        filler = READ - before - len(member(b"", 0, 0)) - len(wet_record(0, b""))
        first = next(
            packed
            for size in range(filler - 40, filler + 1)
            if len(packed := member(wet_record(0, b"x" * size), 0, 0)) == READ - before
        )
        assert read(first + long + member(GOOD[2], flags)) == ([0, 1, 2], [])


@pytest.mark.parametrize("end", [b"", BAD_SUM, packed(GOOD[1])[:-20]], ids=["whole", "checksum", "cut"])
def test_a_record_that_claims_what_is_not_its_own(end):
    """10 MB in a member of 700 bytes, 100 whole records after it, and damage at the end or none."""
    claims = packed(wet_record(100, "x" * 500, 10_000_000))
    numbers, damages = read(claims + packed(*GOOD) + end)
    assert numbers == list(range(100))
    assert [(damage.bytes, damage.records) for damage in damages] == [(len(claims), 1), (len(end), 1)][: 1 + bool(end)]
    assert "500 bytes" not in damages[0].problem
    assert "its Content-Length says 10,000,000" in damages[0].problem


def test_a_record_whose_length_is_that_of_its_neighbours_too():
    spans = wet_record(100, "x" * 500, 500 + len(GOOD[0]) + len(GOOD[1]))
    for pack, whole in ((gzip.compress, False), (gzip.compress, True), (bytes, False)):
        records = [spans, *GOOD[:4]]
        numbers, damages = read(pack(b"".join(records)) if whole else b"".join(map(pack, records)))
        assert numbers == [0, 1, 2, 3]
        assert [damage.records for damage in damages] == [1]


def test_a_length_that_is_a_little_too_small_is_corrected_by_its_member():
    text = "Überschrift\n" + "Жизнь прожить, не поле перейти\n" * 20
    for length in (len(text), len(text.encode()) - 3):
        content = packed(GOOD[0], wet_record(1, text, length), GOOD[2])
        items = list(read_records(io.BytesIO(content), ("conversion",), 2**26, Limits(2**36, 200)))
        assert [item.body.decode() for item in items if isinstance(item, Record)][1] == text
        (damage,) = [item for item in items if isinstance(item, Damage)]
        assert (damage.bytes, damage.records) == (0, 0)
        assert f"Content-Length is {length:,}" in damage.problem


@pytest.mark.parametrize("version", ["WARC/0.17", "WARC/0.18", "WARC/1.0", "WARC/1.1"])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
@pytest.mark.parametrize("pack", [gzip.compress, bytes])
def test_versions_and_newlines(version, newline, pack):
    records = [wet_record(n, f"title\n\ntext of {n}\n", version=version).replace(b"\r\n", newline) for n in range(3)]
    assert read(b"".join(map(pack, records))) == ([0, 1, 2], [])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b"WARC/1.0", b"WARC/2.0", "of a version that is read (1.x, 0.17, 0.18), but 'WARC/2.0'"),
        (b"WARC/1.0", b"WORK/1.0", "where one should be, but 'WORK/1.0'"),
        (b"WARC/1.0", b"WARC/1.0.1", "but 'WARC/1.0.1'"),
        (b"Content-Length", b"Content-Lenght", "a record has no Content-Length, but 'content-lenght'"),
        (b"Content-Length: ", b"Content-Length: -", "Content-Length is '-465', not a number of bytes"),
        (b"WARC-Type", b"WARC-Kind", "a record has no WARC-Type"),
        (b"\r\n\r\n", b"", "no WARC header ends within"),
    ],
)
def test_what_is_wrong_with_a_header_is_said(old, new, words):
    numbers, (damage,) = read(packed(GOOD[0], GOOD[10].replace(old, new), GOOD[2]))
    assert numbers == [0, 2]
    assert words in damage.problem
    assert damage.bytes == len(gzip.compress(GOOD[10].replace(old, new)))


def test_what_is_lost_is_counted_to_the_byte():
    before, after = packed(*GOOD[:5]), packed(*GOOD[6:])
    middle = packed(GOOD[5])
    changed = middle[:60] + bytes([middle[60] ^ 255]) + middle[61:]
    for loss in (changed, bytes(5000), random.Random(1).randbytes(3000), middle[:-30]):
        numbers, (damage,) = read(before + loss + after)
        assert numbers == [*range(5), *range(6, 100)]
        assert (damage.position, damage.bytes) == (len(before), len(loss))
        assert damage.records == (loss[:10] == middle[:10])


def test_a_file_whose_start_is_damaged():
    for content in (packed(*GOOD[:9]), b"".join(map(zstd.compress, GOOD[:9])), b"".join(GOOD[:9])):
        for start in (bytes(20), b"garbage", b"\x1f\x8b\x08\x04" + bytes(6) + b"\xff\xff"):
            numbers, damages = read(start + content[len(start) :])
            assert numbers == list(range(1, 9))
            assert len(damages) == 1
    assert read(b"WARC/1.0\r\n" + packed(*GOOD[:9]))[0] == list(range(9))


@pytest.mark.parametrize("text", [b"", b"x", b"WARC/1.0\r\n"])
def test_many_small_members_after_a_claim_take_linear_time(text):
    """With the square of their number it would be minutes."""
    claims = gzip.compress(b"WARC/1.0\r\nContent-Length: 10000000\r\n\r\n")
    numbers, damages = read(claims + gzip.compress(text) * 22_000 + packed(*GOOD[:2]))
    assert numbers == [0, 1]
    assert damages
