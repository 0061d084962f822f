# ruff: noqa: E501 - one case a line
"""Damaged input: the good records are kept, the bad ones are counted and named, and nothing else happens."""

from __future__ import annotations

import gzip

import pytest
from backports import zstd
from corpus_crawl import wet_file, wet_record
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.crawl.tally import Tally
from corpus.crawl.wet import read_documents
from pipeline.errors import XlmrError

GOOD = [wet_record(n, f"title {n}\n" + f"line of number {n} that says something\n" * 5) for n in range(6)]
WRONG, LARGE, HUGE = wet_record(9, "x" * 500, 100), wet_record(9, "x" * 500, 900), wet_record(9, "x" * 500, 10**15)
REACHES_THE_END = wet_record(9, "x" * 500, 500 + len(GOOD[0])) + GOOD[0]
BAD_TEXT = b"title\n" + b"\xff\xfe is not UTF-8 " * 20


def packed(*records: bytes) -> bytes:
    return b"".join(gzip.compress(record) for record in records)


def parts_of(content: bytes, size: int) -> list[bytes]:
    return [content[start : start + size] for start in range(0, len(content), size)]


def flipped(content: bytes) -> bytes:
    """Damaged in the middle of its fourth member."""
    place = len(packed(*GOOD[:3])) + 60
    return content[:place] + bytes(b ^ 0xFF for b in content[place : place + 20]) + content[place + 20 :]


CASES = {
    "whole": (packed(*GOOD), [0, 1, 2, 3, 4, 5], 0, ""),
    "one member": (gzip.compress(b"".join(GOOD)), [0, 1, 2, 3, 4, 5], 0, ""),
    "not compressed": (b"".join(GOOD), [0, 1, 2, 3, 4, 5], 0, ""),
    "empty": (b"", [], 1, "the file is empty"),
    "an empty member": (gzip.compress(b""), [], 0, ""),
    "zstd": (b"".join(map(zstd.compress, GOOD)), [0, 1, 2, 3, 4, 5], 0, ""),
    "zstd, one frame": (zstd.compress(b"".join(GOOD)), [0, 1, 2, 3, 4, 5], 0, ""),
    "members that end within records": (packed(*parts_of(b"".join(GOOD), 100)), [0, 1, 2, 3, 4, 5], 0, ""),
    "a member of two records": (packed(GOOD[0] + GOOD[1], *GOOD[2:]), [0, 1, 2, 3, 4, 5], 0, ""),
    "no newlines at the end": (packed(*(record.rstrip() + b"\n" for record in GOOD)), [0, 1, 2, 3, 4, 5], 0, ""),
    "not gzip": (b"<html>404 not found</html>" * 20, [], 1, "neither gzip, zstd nor a WARC file"),
    "zstd, cut": (b"".join(map(zstd.compress, GOOD))[:-80], [0, 1, 2, 3, 4], 1, "ends within a record"),
    "zstd, garbage between": (
        b"".join(map(zstd.compress, GOOD[:2])) + b"garbage" * 9 + b"".join(map(zstd.compress, GOOD[2:])),
        [0, 1, 2, 3, 4, 5], 1, "data error",
    ),
    "one member, length too small": (gzip.compress(b"".join([*GOOD[:2], WRONG, *GOOD[2:]])), [0, 1, 2, 3, 4, 5], 1, "Content-Length"),
    "one member, length too large": (gzip.compress(b"".join([*GOOD[:2], LARGE, *GOOD[2:]])), [0, 1, 2, 3, 4, 5], 1, "Content-Length"),
    "one member, length beyond the end": (gzip.compress(b"".join([*GOOD[:2], HUGE, *GOOD[2:]])), [0, 1, 2, 3, 4, 5], 1, "over the limit"),
    "one member, length to its end": (gzip.compress(REACHES_THE_END), [0], 1, "other records are within it"),
    "not compressed, length too small": (b"".join([*GOOD[:2], WRONG, *GOOD[2:]]), [0, 1, 2, 3, 4, 5], 1, "Content-Length"),
    "not compressed, garbage between": (b"".join([*GOOD[:2], b"garbage\r\n" * 9, *GOOD[2:]]), [0, 1, 2, 3, 4, 5], 1, "no WARC header"),
    "a header that does not end": (packed(*GOOD[:2], b"WARC/1.0\r\n" + b"X" * 200_000, *GOOD[2:]), [0, 1, 2, 3, 4, 5], 1, "no WARC header"),
    "no type": (packed(*GOOD[:2], wet_record(9, "x" * 500).replace(b"WARC-Type", b"X"), *GOOD[2:]), [0, 1, 2, 3, 4, 5], 1, "no WARC-Type"),
    "no URL": (packed(*GOOD[:2], wet_record(9, "x" * 500).replace(b"WARC-Target-URI", b"X"), *GOOD[2:]), [0, 1, 2, 3, 4, 5], 1, "no warc-target-uri"),
    "bad URL": (packed(*GOOD[:2], wet_record("[x", "x" * 500).replace(b"example.org/", b""), *GOOD[2:]), [0, 1, 2, 3, 4, 5], 1, "not a URL"),
    "names in other letters": (packed(*(r.replace(b"WARC-Target-URI", b"Warc-target-uri") for r in GOOD)), [0, 1, 2, 3, 4, 5], 0, ""),
    "a header over two lines": (packed(*(r.replace(b"text/plain", b"text/plain;\r\n  charset=utf-8") for r in GOOD)), [0, 1, 2, 3, 4, 5], 0, ""),
    "cut in a member": (packed(*GOOD)[:-80], [0, 1, 2, 3, 4], 1, ""),
    "cut between members": (packed(*GOOD[:4]), [0, 1, 2, 3], 0, ""),
    "damaged in the middle": (flipped(packed(*GOOD)), [0, 1, 2, 4, 5], 1, "data error"),
    "a header that claims what follows": (
        packed(GOOD[0])[:3] + b"\x04" + bytes(6) + b"\xff\xff" + packed(*GOOD)[3:], [1, 2, 3, 4, 5], 1, "ends within",
    ),
    "garbage between": (packed(*GOOD[:2]) + b"garbage" * 9 + packed(*GOOD[2:]), [0, 1, 2, 3, 4, 5], 1, "data error"),
    "bad header": (packed(*GOOD[:2], wet_record(9, "x" * 99, version="WRONG/1.0"), *GOOD[2:]), [0, 1, 2, 3, 4, 5], 1, "header"),
    "length too small": (packed(*GOOD[:2], wet_record(9, "x" * 500, 100), *GOOD[2:]), [0, 1, 2, 3, 4, 5], 1, "Content-Length"),
    "length too large": (packed(*GOOD[:2], wet_record(9, "x" * 500, 900), *GOOD[2:]), [0, 1, 2, 3, 4, 5], 1, "Content-Length"),
    "length no number": (packed(*GOOD[:2], wet_record(9, "x" * 500, "ten"), *GOOD[2:]), [0, 1, 2, 3, 4, 5], 1, "Content-Length is 'ten', not a number"),
    "length negative": (packed(*GOOD[:2], wet_record(9, "x" * 500, -5), *GOOD[2:]), [0, 1, 2, 3, 4, 5], 1, "Content-Length is '-5', not a number"),
    "not UTF-8": (packed(*GOOD[:2], wet_record(9, BAD_TEXT), *GOOD[2:]), [0, 1, 2, 3, 4, 5], 1, "example.org/9 is not UTF-8"),
    "record too large": (packed(*GOOD[:2], wet_record(9, "x" * 9000), *GOOD[2:]), [0, 1, 2, 3, 4, 5], 1, "over the limit of 5,000"),
    "damage twice": (
        packed(GOOD[0], wet_record(9, BAD_TEXT), *GOOD[1:4]) + b"garbage" * 9 + packed(*GOOD[4:]), [0, 1, 2, 3, 4, 5], 2, "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_good_records_are_kept_and_bad_ones_are_named(tmp_path, case):
    content, good, bad, words = CASES[case]
    path = tmp_path / "shard.warc.wet.gz"
    path.write_bytes(content)
    tally = Tally()
    documents = list(read_documents([str(path)], 10, 5000, tally))
    assert [int(document.url.rsplit("/")[-1]) for document in documents] == good
    assert all(len(document.lines) == 5 for document in documents)
    assert tally.bad == bad == len(tally.named)
    assert all(line.startswith(f"{path}: ") and words in line for line in tally.named)


# With its checksum, which zstd leaves out unless asked: without, a changed byte of text is read as it stands.
CHECKED = b"".join(zstd.compress(record, options={zstd.CompressionParameter.checksum_flag: 1}) for record in GOOD)
SHAPES = (packed(*GOOD), gzip.compress(b"".join(GOOD)), b"".join(GOOD), CHECKED)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SHAPES), st.data())
def test_whatever_the_damage_no_text_is_made_up(tmp_path_factory, content, data):
    """Bytes changed, cut out and put in: reading goes through, and of compressed files gives only what was there.

    Damage in one member leaves the members after the next in place.
    """
    place = data.draw(st.integers(0, len(content)))
    gone = data.draw(st.integers(0, 40))
    noise = data.draw(st.binary(max_size=40))
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(content[:place] + noise + content[place + gone :])
    tally = Tally()
    found = list(read_documents([str(path)], 10, 5000, tally))
    assert all(line.isprintable() for line in tally.named)
    if content in (SHAPES[0], SHAPES[3]):
        numbers = [int(document.url.rsplit("/")[-1]) for document in found]
        assert [document.lines for document in found] == [
            [f"line of number {n} that says something"] * 5 for n in numbers
        ]
        if content == SHAPES[0] and place >= 3:
            ends = [len(packed(*GOOD[:n])) for n in range(len(GOOD) + 1)]
            whole = [n for n in range(len(GOOD)) if ends[n + 1] <= place or ends[n] >= place + gone]
            assert set(whole) <= set(numbers)


def test_a_run_over_damaged_files_goes_through_and_says_so(fresh, small, tmp_path):
    crawl = tmp_path / "crawl"
    crawl.mkdir()
    first, second, _ = sorted((small / "crawl").iterdir())
    (crawl / "a.gz").write_bytes(first.read_bytes()[:-1000])
    (crawl / "b.gz").write_bytes(b"")
    (crawl / "c.gz").write_bytes(b"no gzip at all, but long enough")
    (crawl / "d.gz").write_bytes(second.read_bytes())
    words = ("--corpus.fetch.crawl", f"{crawl}/*.gz")
    plan = fresh.run(*words, until="corpus.hash")
    manifest = plan["corpus.hash"].manifest
    assert manifest.counts["bad_places"] == 3
    assert [line.split(":")[0][-4:] for line in manifest.warnings] == ["a.gz", "b.gz", "c.gz"]
    assert manifest.warnings[1].endswith("the file is empty (byte 0); no document in the file")
    assert manifest.counts["documents"] > 100
    assert any("warning" in line and "b.gz" in line for line in fresh.messages)


def test_a_crawl_of_which_nothing_can_be_read_is_an_error(fresh, tmp_path):
    for name in ("a.gz", "b.gz"):
        (tmp_path / name).write_bytes(b"no gzip at all, but long enough")
    with pytest.raises(
        XlmrError,
        match=r"no document in 2 files of the crawl: could not be read \(2\); the first: .*a\.gz: it is neither",
    ):
        fresh.run("--corpus.fetch.crawl", f"{tmp_path}/*.gz", until="corpus.hash")
    wet_file(tmp_path / "a.gz", wet_record(1, "title\nshort\n"))
    with pytest.raises(XlmrError, match=r"under 300 characters \(1\).*lower corpus.read.min_characters"):
        fresh.run("--corpus.fetch.crawl", f"{tmp_path}/a.gz", until="corpus.hash")


def test_a_crawl_that_lost_more_than_allowed_is_an_error_and_its_shards_stay(fresh, small, tmp_path):
    whole = sorted((small / "crawl").iterdir())[0].read_bytes()
    (tmp_path / "a.gz").write_bytes(whole)
    (tmp_path / "b.gz").write_bytes(b"\0" * 3 * len(whole))
    words = ("--corpus.fetch.crawl", f"{tmp_path}/*.gz")
    (tmp_path / "b.gz").write_bytes(whole[: len(whole) // 2] + b"\0" * 3 * len(whole))
    with pytest.raises(XlmrError, match=r"the crawl is damaged: .* bytes could not be read .*; the first: .*b\.gz: "):
        fresh.run(*words, until="corpus.hash")
    plan = fresh.run(*words, "--corpus.read.max_lost_share", "0.9", until="corpus.hash")
    assert plan["corpus.hash"].manifest.counts["lost_bytes"] > 2 * len(whole)


def test_a_crawl_that_changes_between_stages_is_noticed(fresh, small, tmp_path):
    """The plan sees it first; a file that changes during the run is caught by the walk along the hashes."""
    from corpus.mine.stage import MineShard, mine_shard

    fresh.run()
    path = wet_file(tmp_path / "other.gz", *GOOD)
    shard = MineShard(
        "shard-00000", [str(path)], fresh.output("corpus.hash") / "lines" / "shard-00000.npy",
        fresh.output("corpus.duplicates"), fresh.output("corpus.language_models"),
    )  # fmt: skip
    config = fresh.dag.stage_config(fresh.dag.stages["corpus.mine"], fresh.config("--corpus.read.min_characters", "10"))
    (tmp_path / "work").mkdir()
    with pytest.raises(XlmrError, match="its files changed after they were hashed"):
        mine_shard(config, shard, tmp_path / "work")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--corpus.fetch.shards", "9"], "3 files cannot fill 9 shards; set corpus.fetch.shards lower"),
        (["--corpus.language_id.model", "{small}/crawl"], "corpus.language_id.model"),
        (["--corpus.language_models.text", "{small}/clean/nothing*"], "named by corpus.language_models.text"),
        (["--corpus.language_id.own_model", "built-in"], "combined with labels cc100, not with as_they_are"),
        (["--corpus.perplexity.cutoffs", "{small}/cutoffs.json"], "de needs two ascending numbers"),
    ],
)
def test_mistakes_get_one_line(fresh, small, words, line):
    (small / "cutoffs.json").write_text('{"de": [5, 3]}')
    with pytest.raises(XlmrError, match=line):
        fresh.run(*[word.format(small=small) for word in words])


def test_a_file_that_is_no_fasttext_model(tmp_path):
    from corpus.language.identifier import LanguageIdentifier

    path = tmp_path / "model.bin"
    path.write_bytes(b"not a model" * 100)
    with pytest.raises(XlmrError, match=r"model\.bin: not a fastText "):
        LanguageIdentifier(path)


def test_languages_without_a_model_go_to_the_bucket_all(done):
    folder = done.output("corpus.regroup")
    assert [path.name for path in (folder / "fr").iterdir()] == ["all-00000.arrow"]
    assert sorted(path.name.split("-")[0] for path in (folder / "de").iterdir()) == ["head", "middle", "tail"]
    warnings = done.run()["corpus.mine"].manifest.warnings
    assert any("without a language model" in line and " fr" in line for line in warnings)


def test_clean_text_with_an_odd_name(tmp_path, fresh):
    (tmp_path / "..nasty.txt").write_text("text")
    with pytest.raises(XlmrError, match="is not a language code"):
        fresh.run("--corpus.language_models.text", f"{tmp_path}/*nasty.txt", until="corpus.language_models")


def test_clean_text_that_is_empty(tmp_path, fresh):
    (tmp_path / "xx.txt").write_text("\n\n")
    with pytest.raises(XlmrError, match=r"xx\.txt: holds no text"):
        fresh.run("--corpus.language_models.text", f"{tmp_path}/xx.txt", until="corpus.language_models")


@pytest.mark.parametrize("cut", range(1, 12))
@pytest.mark.parametrize("version", [b"WARC/1.0", b"WARC/0.18"])
def test_the_first_line_of_a_record_may_lie_across_two_members(tmp_path, cut, version):
    records = [wet_record(n, f"title {n}\n" + "words and words\n" * 30).replace(b"WARC/1.0", version) for n in range(3)]
    text = b"".join(records)
    place = len(records[0]) + cut
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(text[:place]) + gzip.compress(text[place:]))
    tally = Tally()
    found = list(read_documents([str(path)], 0, 2**24, tally))
    assert [document.title for document in found] == ["title 0", "title 1", "title 2"]
    assert tally.bad == 0


def test_a_record_that_is_read_by_its_member_is_not_said_to_be_left_out(tmp_path):
    path = wet_file(tmp_path / "x.gz", wet_record(1, "title\n" + "words and words\n" * 30, length=480))
    tally = Tally()
    (document,) = read_documents([str(path)], 0, 2**24, tally)
    assert len(document.lines) == 30
    assert (tally.bad, tally.lost_records, tally.lost_bytes) == (1, 0, 0)
    (line,) = tally.named
    assert line.endswith("its member has 486 bytes, which are read (byte 0)")


def test_zeros_over_the_end_of_one_record_and_the_start_of_the_next_are_counted(tmp_path):
    """A file that is not compressed has no checksum: the header that is left of both must not pass for one."""
    records = [wet_record(n, f"title {n}\n" + "words and words\n" * 30) for n in range(4)]
    text = bytearray(b"".join(records))
    start, end = text.index(b"example.org/1") + 4, text.index(b"text/plain", text.index(b"example.org/2"))
    text[start:end] = bytes(end - start)
    (tmp_path / "x.wet").write_bytes(text)
    tally = Tally()
    found = list(read_documents([str(tmp_path / "x.wet")], 0, 2**24, tally))
    assert [document.title for document in found] == ["title 0", "title 3"]
    assert tally.lost_records == 1
    assert "a record's header has zero bytes" in tally.named[0]


@pytest.mark.parametrize("cut", [5, 11])
def test_a_short_member_that_begins_a_record_is_found_behind_a_damaged_start(tmp_path, cut):
    record = wet_record(0, "title\n" + "words and words\n" * 30)
    path = tmp_path / "x.gz"
    path.write_bytes(bytes(500) + gzip.compress(record[:cut]) + gzip.compress(record[cut:]))
    tally = Tally()
    (document,) = read_documents([str(path)], 0, 2**24, tally)
    assert document.title == "title"
    assert tally.lost_bytes == 500


def test_a_damaged_member_that_gives_newlines_alone_is_lost_with_its_bytes(tmp_path):
    good = gzip.compress(wet_record(0, "title\n" + "words and words\n" * 30))
    cut = gzip.compress(b"\n" * 6000)[:-8]
    (tmp_path / "x.gz").write_bytes(good + cut)
    tally = Tally()
    (document,) = read_documents([str(tmp_path / "x.gz")], 0, 2**24, tally)
    assert document.title == "title"
    assert (tally.bad, tally.lost_bytes) == (1, len(cut))


def test_a_record_that_begins_within_a_member_is_found_behind_a_damaged_start(tmp_path):
    """A later member begins with a record, which must not hide the one that begins within a member before it."""
    first, second = (wet_record(n, f"title {n}\n" + "words and words\n" * 30) for n in range(2))
    tail = gzip.compress(b"the rest of a record that was cut off")[12:]
    small = [gzip.compress(part) for part in parts_of(b"a record before\r\n\r\n" * 20 + first, 200)]
    path = tmp_path / "x.gz"
    path.write_bytes(tail + b"".join(small) + gzip.compress(second))
    tally = Tally()
    found = list(read_documents([str(path)], 0, 2**24, tally))
    assert [document.title for document in found] == ["title 0", "title 1"]
    assert tally.lost_bytes >= len(tail)
