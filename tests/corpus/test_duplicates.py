"""Exact deduplication over windows, in partitions, against the plain rule."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import plain_ccnet as plain
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from corpus.crawl.settings import Read
from corpus.duplicates import exact
from corpus.duplicates.arrays import HashWriter, read_chunks, read_into
from corpus.duplicates.exact import borders_in, find_in_partition, keep_duplicates, read_drops
from corpus.duplicates.hash import HashShard, first_in_document, hash_lines, hash_shard
from corpus.duplicates.normalise import normalise_lines_for_hash
from corpus.duplicates.runs import SortedRuns, sorted_at_most_twice
from corpus.duplicates.settings import Duplicates
from corpus.duplicates.table import HashTable
from corpus.duplicates.windows import PROCESS_BYTES, HashPartition, Window, bits_for, cut, windows_of
from corpus.settings import DuplicatesStage
from pipeline.context import Context
from pipeline.errors import XlmrError
from pipeline.log import EventLog
from pipeline.storage import write_json

# Values in every partition of a few bits, and few enough of them to meet often.
values = st.integers(0, 15).map(lambda n: n << 60 | n % 3)
documents = st.lists(values, max_size=6)
shards = st.lists(st.lists(documents, max_size=5), min_size=1, max_size=5)


def write_sorted(folder: Path, shard: str, hashes: list[int]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with HashWriter(folder / f"{shard}.npy") as writer:
        for chunk in sorted_at_most_twice(np.array(hashes, np.uint64), 4):
            writer.append(chunk)


def find(folder: Path, crawl: list[list[list[int]]], keep: str, bits: int) -> list[list[list[bool]]]:
    """For each shard, document and line, whether our stage drops it as a duplicate."""
    names = [f"shard-{number:05d}" for number in range(len(crawl))]
    for name, shard in zip(names, crawl, strict=True):
        write_sorted(folder / "sorted", name, [h for document in shard for h in set(document)])
    window = Window(0, folder / "sorted", tuple(names))
    parts = [HashPartition(window, bits, number) for number in range(2**bits)]
    for part in parts:
        find_in_partition(keep, part, folder)
    write_json(folder / exact.WINDOWS, [{"shards": names, "parts": [part.stem for part in parts]}])
    found = []
    for name, shard in zip(names, crawl, strict=True):
        drops = read_drops(folder, name)
        masks = []
        for batch in (shard[:2], shard[2:]):
            hashes = np.array(list(chain.from_iterable(batch)), np.uint64)
            first = first_in_document(hashes, np.repeat(np.arange(len(batch)), [len(d) for d in batch]))
            masks += np.split((drops.mask(hashes, first) | ~first), np.cumsum([len(d) for d in batch])[:-1])
        found.append([mask.tolist() for mask in masks[: len(shard)]] if shard else [])
    return found


def plainly(crawl: list[list[list[int]]], keep: str) -> list[list[list[bool]]]:
    """The rule itself, line by line; repeats in a document go too."""
    holders = Counter(h for shard in crawl for document in shard for h in set(document))
    taken: set[int] = set()
    dropped = []
    for shard in crawl:
        dropped.append([])
        for document in shard:
            mask = []
            for place, h in enumerate(document):
                again = h in document[:place]
                mask.append(again or (holders[h] > 1 and (keep == "drop_all" or h in taken)))
            taken.update(document)
            dropped[-1].append(mask)
    return dropped


@settings(max_examples=150, deadline=None)
@given(shards, st.sampled_from(["drop_all", "keep_first"]), st.integers(0, 3))
def test_duplicates_of_a_window(tmp_path_factory, crawl, keep, bits):
    assert find(tmp_path_factory.mktemp("window"), crawl, keep, bits) == plainly(crawl, keep)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 20), max_size=60), st.integers(3, 10))
def test_duplicates_are_found_chunk_by_chunk(hashes, size):
    expected = sorted(h for h, n in Counter(hashes).items() if n > 1)
    assert keep_duplicates(np.array(hashes, np.uint64), size).tolist() == expected


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 40), max_size=60), st.integers(3, 10), st.data())
def test_equal_hashes_stay_in_one_chunk(tmp_path_factory, hashes, size, data):
    """Each hash at most twice, as in the sorted files."""
    folder = tmp_path_factory.mktemp("chunks")
    write_sorted(folder, "one", hashes)
    whole = np.load(folder / "one.npy")
    start = data.draw(st.integers(0, len(whole)))
    stop = data.draw(st.integers(start, len(whole)))
    chunks = list(read_chunks(folder / "one.npy", start, stop, size))
    assert list(chain.from_iterable(chunks)) == whole[start:stop].tolist()
    assert all(a[-1] != b[0] for a, b in pairwise(chunks) if len(a) and len(b))
    assert all(len(chunk) <= size + 2 for chunk in chunks)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 9), max_size=40), st.integers(1, 10))
def test_sorted_at_most_twice(hashes, size):
    expected = sorted(h for h, n in Counter(hashes).items() for _ in range(min(n, 2)))
    assert list(chain.from_iterable(sorted_at_most_twice(np.array(hashes, np.uint64), size))) == expected


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(values, max_size=9), max_size=9), st.integers(1, 12))
def test_sorted_outside_memory(tmp_path_factory, parts, most):
    folder = tmp_path_factory.mktemp("runs") / "runs"
    runs = SortedRuns(folder, most)
    for part in parts:
        runs.append(np.array(part, np.uint64))
    assert folder.exists() == (sum(map(len, parts)) > most)
    found = list(chain.from_iterable(runs.chunks()))
    assert found == sorted(h for h, n in Counter(chain.from_iterable(parts)).items() for _ in range(min(n, 2)))
    assert not folder.exists()


def test_a_shard_is_hashed_in_fixed_memory(small, tmp_path, monkeypatch):
    """The same files whether the hashes fit into memory or not, and nothing else is left."""
    file = str(min((small / "crawl").iterdir()))
    for folder, most in (("one", 2**24), ("many", 100)):
        monkeypatch.setattr("corpus.duplicates.runs.RUN_HASHES", most)
        hash_shard(Read(), HashShard("a", [file]), tmp_path / folder)
    found = [
        {path.relative_to(tmp_path / folder).as_posix(): path.read_bytes() for path in (tmp_path / folder).rglob("*.*")}
        for folder in ("one", "many")
    ]
    assert set(found[0]) == {"lines/a.npy", "sorted/a.npy"}
    assert found[0] == found[1]


def test_of_a_wide_window_only_the_shards_own_numbers_are_read(tmp_path):
    np.save(tmp_path / "starts.npy", np.arange(2 * 10**6, dtype=np.int64).reshape(2, -1))
    tracemalloc.start()
    assert borders_in(tmp_path / "starts.npy", 7).tolist() == [[7, 8], [10**6 + 7, 10**6 + 8]]
    assert tracemalloc.get_traced_memory()[1] < 10**5, "16 MB of numbers"
    tracemalloc.stop()


def test_many_small_reads_are_warned_of(done, tmp_path, monkeypatch):
    monkeypatch.setattr(exact, "MANY_READS", 2)
    context = Context("corpus.duplicates", tmp_path / "out", 1, EventLog(tmp_path / "log.jsonl"))
    config = DuplicatesStage.model_construct(duplicates=Duplicates())
    exact.run(config, {"corpus.hash": done.output("corpus.hash")}, tmp_path / "out", context)
    assert ["3 shards are many small reads" in line for line in context.warnings] == [True]


def test_files_are_numpys_own(tmp_path):
    hashes = np.random.default_rng(0).integers(0, 2**64, 1000, np.uint64)
    with HashWriter(tmp_path / "ours.npy") as writer:
        for chunk in np.array_split(hashes, 7):
            writer.append(chunk)
    np.save(tmp_path / "numpy.npy", hashes)
    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "numpy.npy").read_bytes()


def test_a_cut_file_is_said_to_be_one(tmp_path):
    np.save(tmp_path / "cut.npy", np.arange(100, dtype=np.uint64))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cut.npy").read_bytes()[:-8])
    with pytest.raises(OSError, match="shorter"):
        read_into(np.empty(100, np.uint64), tmp_path / "cut.npy", 0)


def test_every_code_point_is_normalised_as_the_plain_rule_says():
    """At the start, in the middle and at the end of a word, by itself and among all others."""
    codes = chain(range(0xD800), range(0xE000, 0x20000), range(0xE0000, 0xE1000))  # no planes of ideographs
    points = [chr(code) for code in codes if chr(code) != "\n"]
    for line in ("{}a", "Xß{}1", "Σ{}", "{}"):
        lines = [line.format(point).strip() for point in points]
        assert [text.decode() for text in normalise_lines_for_hash(lines)] == list(map(plain.normalise_for_hash, lines))


def test_half_a_surrogate_does_no_harm():
    assert normalise_lines_for_hash(["A\ud800１", "B"]) == [b"a\xed\xa0\x800", b"b"]


words_of_sigma = st.text(st.sampled_from("ΣσςİIı̇ .'AΑ\u00ad1１»\x85\U0001d7ce\U00010400"), max_size=12).map(str.strip)


@settings(max_examples=300, deadline=None)
@given(st.lists(words_of_sigma, min_size=1, max_size=12))
def test_a_batch_of_lines_is_normalised_as_each_line(some):
    assert [text.decode() for text in normalise_lines_for_hash(some)] == list(map(plain.normalise_for_hash, some))
    assert hash_lines(some).tolist() == list(map(plain.hash_of, some))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), max_size=30), st.integers(1, 6), st.data())
def test_repeats_are_found_where_hashes_differ_in_the_lowest_bits_alone(some, documents, data):
    """The places of hashes are written over their lowest bits: those of hashes that differ there alone as well."""
    hashes = [h ^ data.draw(st.integers(0, 3)) for h in [*some, *some]]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(hashes)), min_size=documents, max_size=documents)))
    borders = [0, *cuts, len(hashes)]
    parts = [hashes[start:stop] for start, stop in pairwise(borders)]
    owner = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    expected = [h not in part[:i] for part in parts for i, h in enumerate(part)]
    assert first_in_document(np.array(hashes, np.uint64), owner).tolist() == expected


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.integers(0, 900), max_size=40), st.sets(st.integers(0, 900)), st.integers(0, 900), st.integers(0, 900)
)
def test_membership(some, table, start, length):
    """Tables of no block, of one, and of many."""
    table = np.array(sorted(table | set(range(start, start + length))), np.uint64)
    places, found = HashTable(table).find(np.array(some, np.uint64))
    assert found.tolist() == [value in table for value in some]
    assert table[places[found]].tolist() == [value for value in some if value in table]


NAMES = [f"{dump}-{n:05d}" for dump in ("CC-MAIN-2018-05", "CC-MAIN-2018-09") for n in range(5)]


@pytest.mark.parametrize(
    ("window", "sizes"), [(1, [1] * 10), (2, [2, 2, 1, 2, 2, 1]), (50, [5, 5]), ("dump", [5, 5]), (None, [10])]
)
def test_windows(tmp_path, window, sizes):
    """A number of shards never reaches over two dumps, as with cc_net; every shard is in one window, in order."""
    for name in NAMES:
        write_sorted(tmp_path, name, [1])
    windows = windows_of(tmp_path, Duplicates(window=window).window)
    assert [len(one.shards) for one in windows] == sizes
    assert [shard for one in windows for shard in one.shards] == NAMES
    assert [one.number for one in windows] == list(range(len(sizes)))


@pytest.mark.parametrize("wrong", [0, -1, "month"])
def test_what_is_no_window(wrong):
    with pytest.raises(ValidationError):
        Duplicates(window=wrong)


def test_no_shards_no_windows(tmp_path):
    assert windows_of(tmp_path, None) == windows_of(tmp_path, 3) == []


def test_a_partition_fits_into_its_memory(tmp_path):
    for name, size in (("a", 10_000), ("b", 50_000)):
        write_sorted(tmp_path, name, np.random.default_rng(size).integers(0, 2**64, size, np.uint64).tolist())
    window = Window(0, tmp_path, ("a", "b"))
    parts = list(cut(window, 2**18))
    assert len(parts) == 8
    sizes = [int(np.diff(part.slices()).sum()) for part in parts]
    assert sum(sizes) == 60_000
    assert max(sizes) * 9 <= 2**17  # half of a setting so small
    assert len(list(cut(window, 2**30))) == 1
    assert bits_for(100_000_000, PROCESS_BYTES + 900_000_000) == 1  # with no space for chance it would be 0
    with pytest.raises(XlmrError, match="partitions"):
        list(cut(window, 1))


def test_another_cut_has_other_names(tmp_path):
    """What an interrupted run left with another memory setting is not taken for part of this one."""
    window = Window(0, tmp_path, ())
    assert not {HashPartition(window, 2, n).stem for n in range(4)} & {
        HashPartition(window, 3, n).stem for n in range(8)
    }


@pytest.mark.parametrize("keep", ["drop_all", "keep_first"])
def test_partitions_change_nothing(done, fresh, keep):
    """The same records whether the window is one partition or many."""
    words = ("--corpus.duplicates.keep", keep)
    small = (*words, "--corpus.duplicates.memory_bytes", str(2**16))
    fresh.run(*words, until="corpus.mine")
    one = [path.read_bytes() for path in sorted(fresh.output("corpus.mine", *words).glob("*.arrow"))]
    assert len(list(fresh.output("corpus.duplicates", *words).glob("*.starts.npy"))) == 1
    fresh.run(*small, until="corpus.mine", force=["corpus.duplicates"])
    assert len(list(fresh.output("corpus.duplicates", *small).glob("*.starts.npy"))) > 2
    assert one == [path.read_bytes() for path in sorted(fresh.output("corpus.mine", *small).glob("*.arrow"))]


@pytest.mark.parametrize("keep", ["drop_all", "keep_first"])
def test_the_lines_of_a_crawl(small, fresh, keep):
    """Every line of the small crawl: what stays is what the plain rule lets stay."""
    words = ("--corpus.duplicates.keep", keep)
    fresh.run(*words, until="corpus.duplicates")
    hashes = fresh.output("corpus.hash", *words) / "lines"
    files = sorted((small / "crawl").iterdir())
    found, crawl = [], []
    for path, name in zip(files, sorted(hashes.glob("*.npy")), strict=True):
        documents = [[plain.hash_of(line) for line in d["raw_content"].split("\n")] for d in plain.parse(path, 300)]
        lines = np.load(name)
        assert lines.tolist() == list(chain.from_iterable(documents))
        first = first_in_document(lines, np.repeat(np.arange(len(documents)), [len(d) for d in documents]))
        drops = read_drops(fresh.output("corpus.duplicates", *words), name.stem)
        found += (drops.mask(lines, first) | ~first).tolist()
        crawl.append(documents)
    expected = [drop for shard in plainly(crawl, keep) for document in shard for drop in document]
    assert found == expected
    assert 0.1 < np.mean(found) < 0.9
