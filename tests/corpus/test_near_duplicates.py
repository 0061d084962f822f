"""Near-duplicates: signatures against exact Jaccard, clusters against every pair and against the library's own LSH."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from rensa import RMinHash, RMinHashLSH

from corpus.duplicates import clusters
from corpus.duplicates.clusters import Forest, SignatureFiles, find_clusters
from corpus.duplicates.minhash import (
    MinedFile,
    bands_and_rows,
    hash_characters,
    hash_shingles,
    hash_words,
    sign_file,
    sign_texts,
)
from corpus.duplicates.near import read_near_drops
from corpus.duplicates.settings import NearDuplicates
from corpus.output.records import MINED
from pipeline.inspect import describe

ON = ("--corpus.near_duplicates.enabled", "true")
WORDS = [f"{a}{b}{c}" for a in "bdkmnt" for b in "aeiou" for c in "lrsx"]


def make_texts(number: int, seed: int) -> list[str]:
    """Texts of 200 words, and after each some versions of it with more and more words changed."""
    rng = random.Random(seed)
    texts = []
    for _ in range(number):
        words = rng.choices(WORDS, k=200)
        for changes in (0, 0, 1, 2, 4, 8, 16, 40):
            other = list(words)
            for place in rng.sample(range(200), changes):
                other[place] = rng.choice(WORDS)
            texts.append(" ".join(other))
    rng.shuffle(texts)
    return texts


def shingles(text: str, size: int = 5) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[i : i + size]) for i in range(max(len(words) - size + 1, 1))}


def jaccard(one: set, other: set) -> float:
    return len(one & other) / len(one | other)


def components(pairs, number: int) -> set[frozenset[int]]:
    """Connected components of two or more, as plainly as can be."""
    of = {n: {n} for n in range(number)}
    for a, b in pairs:
        merged = of[a] | of[b]
        for n in merged:
            of[n] = merged
    return {frozenset(group) for group in of.values() if len(group) > 1}


def found_components(forest: Forest) -> set[frozenset[int]]:
    roots = forest.roots(np.arange(len(forest.parents)))
    groups = {root: frozenset(np.flatnonzero(roots == root).tolist()) for root in roots.tolist()}
    return {group for group in groups.values() if len(group) > 1}


def write_mined(path: Path, texts: list[str], languages: list[str]) -> MinedFile:
    """A mined file of several batches."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.ipc.new_file(str(path), MINED, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        for start in range(0, len(texts), 7):
            some = slice(start, start + 7)
            rows = [
                {"url": f"https://e.org/{path.stem}/{start + n}", "raw_content": t, "language": lang, "length": len(t)}
                for n, (t, lang) in enumerate(zip(texts[some], languages[some], strict=True))
            ]
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=MINED))
    return MinedFile(path)


def signed(folder: Path, config: NearDuplicates, texts: list[str], files: int = 3) -> SignatureFiles:
    """The signatures of texts that are dealt out to mined files."""
    stems = [f"shard-{n:05d}" for n in range(files)]
    for stem, some in zip(stems, np.array_split(np.array(texts, object), files), strict=True):
        mined = write_mined(folder / "mined" / f"{stem}.arrow", list(some), ["en"] * len(some))
        work = folder / "work" / stem
        work.mkdir(parents=True)
        sign_file(config, mined, work)
        for path in work.rglob("*.npy"):
            (folder / path.parent.name).mkdir(exist_ok=True)
            path.rename(folder / path.parent.name / path.name)
    return SignatureFiles(folder, stems)


def test_the_estimate_is_of_the_exact_similarity():
    texts = make_texts(12, 1)
    signatures = sign_texts(NearDuplicates(permutations=512), texts, ["en"] * len(texts))
    sets = [shingles(text) for text in texts]
    errors = [
        (signatures[a] == signatures[b]).mean() - jaccard(sets[a], sets[b])
        for a, b in itertools.combinations(range(len(texts)), 2)
        if sets[a] & sets[b]
    ]
    assert len(errors) > 300
    assert abs(np.mean(errors)) < 0.01  # no bias
    assert np.std(errors) < 1 / np.sqrt(512)
    assert np.max(np.abs(errors)) < 0.12


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abc"), max_size=8).map(" ".join), min_size=1, max_size=6), st.integers(1, 5))
def test_shingles_are_the_same_where_the_words_are(texts, size):
    hashes, ends = hash_shingles(*hash_words(texts), size)
    of_hash: dict[int, tuple[str, ...]] = {}
    for text, part in zip(texts, np.split(hashes, ends[:-1]), strict=True):
        words = text.split()
        expected = [tuple(words[i : i + size]) for i in range(max(len(words) - size + 1, 1))]
        assert len(part) == len(expected)
        for value, shingle in zip(part.tolist(), expected, strict=True):
            assert of_hash.setdefault(value, shingle) == shingle
    assert len(set(of_hash.values())) == len(of_hash)


def test_characters_where_words_are_not_parted():
    one, other = "東京都に住んでいます。今日はいい天気ですね", "東京都に住んでいます今日は\nいい天気 ですね"
    assert hash_characters([one])[0].tolist() == hash_characters([other])[0].tolist()
    config = NearDuplicates(characters=3)
    same, not_same = sign_texts(config, [one, other], ["ja"] * 2), sign_texts(config, [one, other], ["en"] * 2)
    assert (same[0] == same[1]).all()
    assert (not_same[0] == not_same[1]).mean() < 0.5


def test_a_text_is_signed_the_same_in_any_company():
    texts = [*make_texts(2, 2), "", " ", "one", "東京"]
    languages = ["en", "ja"] * (len(texts) // 2)
    combined = sign_texts(NearDuplicates(), texts, languages)
    alone = [sign_texts(NearDuplicates(), [text], [lang])[0] for text, lang in zip(texts, languages, strict=True)]
    assert (combined == np.array(alone)).all()


def test_clusters_are_those_of_all_pairs(tmp_path):
    """With a band for every row, all that share a minimum are compared: the components over exact estimates."""
    texts = make_texts(10, 3)
    config = NearDuplicates(permutations=64, bands=64, rows=1, threshold=0.7)
    files = signed(tmp_path, config, texts)
    all_signatures = files.signatures(np.arange(files.documents))
    pairs = [
        (a, b)
        for a, b in itertools.combinations(range(len(texts)), 2)
        if (all_signatures[a] == all_signatures[b]).mean() >= 0.7
    ]
    found = found_components(find_clusters(files, 0.7, 2**30))
    # Candidates are compared with the first of their band, not each with each: chains may be parted, never joined more.
    expected = components(pairs, len(texts))
    assert all(any(group <= larger for larger in expected) for group in found)
    assert sum(map(len, found)) >= 0.97 * sum(map(len, expected))
    exact = components(
        [
            (a, b)
            for a, b in itertools.combinations(range(len(texts)), 2)
            if jaccard(shingles(texts[a]), shingles(texts[b])) >= 0.85
        ],
        len(texts),
    )
    assert len(exact) == 10
    assert all(any(group <= larger for larger in found) for group in exact)


def test_clusters_hold_what_the_librarys_own_lsh_finds(tmp_path):
    """rensa's MinHash of the words themselves and its index, on the same text: pairs well over the threshold."""
    texts = make_texts(10, 4)
    files = signed(tmp_path, NearDuplicates(threshold=0.6), texts)
    found = found_components(find_clusters(files, 0.6, 2**30))
    hashes = [RMinHash(num_perm=128, seed=7) for _ in texts]
    index = RMinHashLSH(threshold=0.6, num_perm=128, num_bands=32)
    for key, (one, text) in enumerate(zip(hashes, texts, strict=True)):
        one.update([" ".join(shingle) for shingle in sorted(shingles(text))])
        index.insert(key, one)
    pairs = [
        (a, b) for a, one in enumerate(hashes) for b in index.query(one) if a < b and one.jaccard(hashes[b]) >= 0.75
    ]
    assert len(pairs) > 50
    assert all(any({a, b} <= group for group in found) for a, b in pairs)
    assert all(jaccard(shingles(texts[a]), shingles(texts[b])) > 0 for group in found for a in group for b in group)


def test_parts_of_a_band_change_nothing(tmp_path, monkeypatch):
    files = signed(tmp_path, NearDuplicates(), make_texts(10, 5))
    whole = find_clusters(files, 0.8, 2**30)
    monkeypatch.setattr(clusters, "PAIRS_AT_ONCE", 3)
    parts = find_clusters(files, 0.8, 500)
    assert found_components(parts) == found_components(whole)
    assert len(found_components(whole)) == 10


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14)), max_size=30))
def test_a_forest_is_its_components(pairs):
    forest = Forest(15)
    for some in (pairs[:9], pairs[9:]):
        forest.join(np.array([a for a, _ in some], np.int64), np.array([b for _, b in some], np.int64))
    assert found_components(forest) == components(pairs, 15)
    assert all(forest.roots(np.array(list(group))).tolist() == [min(group)] * len(group)
               for group in components(pairs, 15))  # fmt: skip


def test_bands_follow_from_the_threshold():
    for threshold in (0.5, 0.7, 0.8, 0.9):
        bands, rows = bands_and_rows(NearDuplicates(threshold=threshold))
        assert bands * rows <= 128
        missed = (1 - (threshold + 0.05) ** rows) ** bands
        assert missed < 0.05
    assert bands_and_rows(NearDuplicates(bands=16, rows=8)) == (16, 8)
    for wrong in ({"bands": 16}, {"bands": 16, "rows": 9}, {"threshold": 0}):
        with pytest.raises(ValidationError):
            NearDuplicates(**wrong)


def test_off_it_writes_nothing(fresh):
    fresh.run(until="corpus.near_duplicates")
    folder = fresh.output("corpus.near_duplicates")
    assert [path.name for path in folder.iterdir() if not path.name.startswith(".")] == ["manifest.json"]
    assert read_near_drops(folder, "shard-00000").tolist() == []


def read_clusters(folder: Path) -> list[dict]:
    return pa.ipc.open_file(str(folder / "clusters.arrow")).read_all().to_pylist()


@pytest.mark.slow
@pytest.mark.parametrize("keep", ["first", "longest"])
def test_what_is_dropped_of_a_crawl(fresh, keep):
    """Of each cluster one stays; what is dropped is what the table says; one worker and three make the same bytes."""
    # Without the exact stage's help: its second file repeats pages of the first.
    words = (*ON, "--corpus.duplicates.window", "1", "--corpus.near_duplicates.keep", keep)
    fresh.run(*words, until="corpus.near_duplicates")
    folder, mined = fresh.output("corpus.near_duplicates", *words), fresh.output("corpus.mine", *words)
    rows = read_clusters(folder)
    assert len(rows) > 20
    tables = {path.stem: pa.ipc.open_file(str(path)).read_all() for path in sorted(mined.glob("*.arrow"))}
    for row in rows:
        assert tables[row["shard"]].column("url")[row["row"]].as_py() == row["url"]
        row["length"] = tables[row["shard"]].column("length")[row["row"]].as_py()
    for _, group in itertools.groupby(rows, lambda row: row["cluster"]):
        members = list(group)
        assert len(members) > 1
        assert members == sorted(members, key=lambda row: (row["shard"], row["row"]))
        (kept,) = [row for row in members if row["kept"]]
        best = members[0] if keep == "first" else max(members, key=lambda row: row["length"])
        assert kept == best
        assert kept["similarity"] == 1
    for stem in tables:
        expected = [row["row"] for row in rows if row["shard"] == stem and not row["kept"]]
        assert read_near_drops(folder, stem).tolist() == sorted(expected)

    before = {path.name: path.read_bytes() for path in folder.rglob("*.npy")}
    many = (*words, "--run.workers", "3", "--corpus.near_duplicates.memory_bytes", str(2**16))
    fresh.run(*many, until="corpus.near_duplicates", force=["corpus.near_duplicates"])
    assert {path.name: path.read_bytes() for path in folder.rglob("*.npy")} == before
    assert [{**row, "length": old["length"]} for row, old in zip(read_clusters(folder), rows, strict=True)] == rows
    assert any("cluster: 0" in line for line in describe(folder / "clusters.arrow"))
