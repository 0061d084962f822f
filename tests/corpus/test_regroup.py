"""Regrouping: files of exactly the size asked for, the same bytes whatever the workers, the kill and the grouping."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kill_at_mark import run_until_killed
from mined_corpus import CUTOFFS, SMALL, contents, mined_row, random_mined, rows_of, run_on, write_mined

from corpus.output import file_boundaries, regroup
from corpus.output.arrow_files import read_batches
from corpus.output.file_boundaries import LEFT_OUT, Cutter
from corpus.output.records import BUCKETS, CORPUS
from corpus.output.settings import Regroup
from pipeline.errors import XlmrError
from pipeline.shards.partitions import FinishedByOtherError
from pipeline.storage import read_json

ROOT = Path(__file__).parents[2]


def plain_files(rows: list[dict], file_bytes: int) -> dict[str, list[list[dict]]]:
    """The rule, plainly: a row goes into its bucket's last file if it fits there, else it begins the next one."""
    files: dict[str, list[list[dict]]] = {}
    for row in rows:
        low, high = CUTOFFS.get(row["language"], (0, 0))
        value = row["perplexity"]
        bucket = "all" if value is None or not high else "head" if value < low else "middle" if value < high else "tail"
        of_bucket = files.setdefault(f"{row['language']}/{bucket}", [[]])
        size = sum(len(r["raw_content"].encode()) for r in of_bucket[-1]) + len(row["raw_content"].encode())
        if of_bucket[-1] and size > file_bytes:
            of_bucket.append([])
        of_bucket[-1].append(row)
    return files


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 40), st.sampled_from([0, 1, 2, LEFT_OUT])), max_size=12), max_size=8),
    st.integers(1, 60),
)
def test_cuts_are_those_of_the_plain_rule(batches, file_bytes):
    cutter = Cutter(file_bytes)
    stream: dict[int, list[tuple[int, int, int]]] = {}
    for number, batch in enumerate(batches):
        sizes = np.array([size for size, _ in batch], np.int64)
        codes = np.array([code for _, code in batch], np.int8)
        cutter.add(number // 2, number % 2, sizes, codes)
        for code in (0, 1, 2):
            own = [size for size, c in batch if c == code]
            stream.setdefault(code, []).extend((number, row, size) for row, size in enumerate(own))
    found = [cut for _, group in cutter.finish() for cut in group]
    for code, rows in stream.items():
        expected: list[list[tuple[int, int, int]]] = []
        for row in rows:
            if not expected or sum(r[2] for r in expected[-1]) + row[2] > file_bytes:
                expected.append([])
            expected[-1].append(row)
        own = sorted((cut for cut in found if cut.bucket == BUCKETS[code]), key=lambda cut: cut.number)
        assert [(c.number, c.rows, c.start.file, c.start.batch, c.start.skip, c.end) for c in own] == [
            (n, len(file), file[0][0] // 2, file[0][0] % 2, file[0][1], file[-1][0] // 2)
            for n, file in enumerate(expected)
        ]


@pytest.mark.parametrize("seed", [0, 1])
def test_every_file_holds_exactly_the_rows_of_the_plain_rule(tmp_path, seed):
    mined = random_mined(tmp_path / "mined", seed)
    counted = run_on(mined, tmp_path / "out", SMALL)
    rows = [row for path in sorted(mined.glob("*.arrow")) for row in rows_of(path)]
    expected = plain_files(rows, SMALL.file_bytes)
    assert max(map(len, expected.values())) > 4
    names = {f"{stem}-{n:05d}.arrow" for stem, files in expected.items() for n in range(len(files))}
    assert {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").glob("*/*.arrow")} == names
    for stem, files in expected.items():
        for number, of_file in enumerate(files):
            found = rows_of(tmp_path / "out" / f"{stem}-{number:05d}.arrow")
            bucket = stem.partition("/")[2]
            for row in found:
                assert list(row) == CORPUS.names
                assert row.pop("bucket") == bucket
            assert found == of_file
    assert counted["documents"] == len(rows)
    assert counted["bytes"] == sum(len(row["raw_content"].encode()) for row in rows)
    table = read_json(tmp_path / "out" / "counts.json")
    assert table["documents"]["en"]["head"] == sum(map(len, expected["en/head"]))
    assert not (tmp_path / "out" / regroup.MEASURED).exists()


def test_record_batches_are_cut_exactly_too(tmp_path):
    run_on(random_mined(tmp_path / "mined"), tmp_path / "out", SMALL)
    for path in (tmp_path / "out").glob("*/*.arrow"):
        sizes = [[len(t.encode()) for t in batch.column("raw_content").to_pylist()] for batch in read_batches(path)]
        for batch in sizes:
            assert sum(batch) <= SMALL.batch_bytes or len(batch) == 1
        for batch, following in pairwise(sizes):
            assert sum(batch) + following[0] > SMALL.batch_bytes


@pytest.mark.slow
def test_bytes_do_not_depend_on_workers_nor_on_groups_of_files(tmp_path, monkeypatch):
    mined = random_mined(tmp_path / "mined")
    run_on(mined, tmp_path / "one", SMALL)
    run_on(mined, tmp_path / "three", SMALL, workers=3)
    assert contents(tmp_path / "three") == contents(tmp_path / "one")
    shards = len(list((tmp_path / "one" / ".shards").glob("en-*.json")))
    assert shards > 2, "a language is more than one shard"
    monkeypatch.setattr(file_boundaries, "GROUP_FILES", 1)
    run_on(mined, tmp_path / "alone", SMALL)
    assert contents(tmp_path / "alone") == contents(tmp_path / "one")
    assert len(list((tmp_path / "alone" / ".shards").glob("en-*.json"))) > shards
    assert (tmp_path / "alone/counts.json").read_bytes() == (tmp_path / "one/counts.json").read_bytes()


@pytest.mark.slow
def test_kill_in_the_middle_and_resume(tmp_path):
    """kill -9 at the second group of files: the rest is done by the same call, and no half file is ever there."""
    mined = random_mined(tmp_path / "mined", files=12)
    run_on(mined, tmp_path / "whole", SMALL)
    code = (
        "from pathlib import Path; import mined_corpus as t\nt.run_on(Path(sys.argv[1]), Path(sys.argv[2]), t.SMALL)\n"
    )
    run_until_killed(code, mined, tmp_path / "out", folder="out")
    before = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in contents(tmp_path / "out")}
    assert not (tmp_path / "out/counts.json").exists()
    assert 0 < len(before) < len(contents(tmp_path / "whole"))
    for name in before:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    marked = {
        name for path in (tmp_path / "out/.shards").glob("*.json") for name in json.loads(path.read_text())["files"]
    }
    assert 0 < len(marked) < len(before), "some are in their place and have no mark"
    run_on(mined, tmp_path / "out", SMALL, workers=2)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    after = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in marked}
    assert after == {name: before[name] for name in marked}, "what was complete is not written again"


def test_near_duplicates_are_left_out(tmp_path):
    """Global row numbers in a mined file, over its record batches."""
    mined = random_mined(tmp_path / "mined", files=2)
    rows = {path.stem: rows_of(path) for path in sorted(mined.glob("*.arrow"))}
    drops = {stem: np.arange(0, len(of_file), 3) for stem, of_file in rows.items()}
    (tmp_path / "near/drops").mkdir(parents=True)
    for stem, numbers in drops.items():
        np.save(tmp_path / "near/drops" / f"{stem}.npy", numbers)
    counted = run_on(mined, tmp_path / "out", SMALL, near=tmp_path / "near")
    kept = [row["url"] for of_file in rows.values() for n, row in enumerate(of_file) if n % 3]
    found = [row["url"] for path in (tmp_path / "out").glob("*/*.arrow") for row in rows_of(path)]
    assert sorted(found) == sorted(kept)
    assert counted["near_duplicates_left_out"] == sum(map(len, drops.values()))


def test_a_language_in_one_script_is_cut_by_the_cut_offs_of_the_language(tmp_path):
    """A table that knows de alone, as cc_net's knows zh alone."""
    (tmp_path / "mined").mkdir()
    write_mined(tmp_path / "mined/shard-00000.arrow", [[mined_row("de-Latn", "text", 50.0)]])
    run_on(tmp_path / "mined", tmp_path / "out", SMALL)
    assert list(contents(tmp_path / "out")) == ["de-Latn/head-00000.arrow"]


def test_of_several_tasks_one_comes_after_the_end(tmp_path, monkeypatch):
    """Another has removed what was measured, and written the manifest; or died before that."""
    run_on(random_mined(tmp_path / "mined", files=1), tmp_path / "out", SMALL)
    sources = [regroup.MeasuredFile(path, tmp_path / "gone.sizes") for path in (tmp_path / "mined").glob("*.arrow")]
    monkeypatch.setattr(regroup, "FINISHING_SECONDS", 0.0)
    with pytest.raises(FileNotFoundError):
        regroup._cut_unless_finished(sources, 4096, tmp_path / "out")
    (tmp_path / "out/manifest.json").touch()
    with pytest.raises(FinishedByOtherError):
        regroup._cut_unless_finished(sources, 4096, tmp_path / "out")


def test_no_documents_at_all(tmp_path):
    (tmp_path / "mined").mkdir()
    write_mined(tmp_path / "mined/shard-00000.arrow", [])
    assert run_on(tmp_path / "mined", tmp_path / "out", SMALL)["documents"] == 0
    assert read_json(tmp_path / "out/counts.json") == {"bytes": {}, "characters": {}, "documents": {}}


@pytest.mark.parametrize("language", ["../../de", "de/x", ".", "", "-x"])
def test_a_label_that_leads_out_of_the_folder_is_refused(tmp_path, language):
    (tmp_path / "mined").mkdir()
    write_mined(tmp_path / "mined/shard-00000.arrow", [[mined_row(language, "text", None)]])
    with pytest.raises(XlmrError, match="cannot be a language's code"):
        run_on(tmp_path / "mined", tmp_path / "out", SMALL)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cutoffs", "mined", "out", "out.jsonl"]


def test_memory_does_not_grow_with_the_text(tmp_path):
    """Arrow's own allocations at their peak: some record batches, not the files."""
    batches = [
        [mined_row("en", "x" * 1000, float(n % 600), n) for n in range(1000)] for _ in range(3)
    ]  # fmt: skip
    (tmp_path / "mined").mkdir()
    for number in range(10):
        write_mined(tmp_path / "mined" / f"shard-{number:05d}.arrow", batches)
    config = Regroup(file_bytes=8 * 2**20, batch_bytes=2**20)
    code = (
        "import sys; from pathlib import Path\n"
        f"sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]\n"
        "import pyarrow as pa, mined_corpus as t\n"
        "config = t.Regroup.model_validate_json(sys.argv[3])\n"
        "t.run_on(Path(sys.argv[1]), Path(sys.argv[2]), config)\n"
        "print(pa.default_memory_pool().max_memory())\n"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "mined"), str(tmp_path / "out"), config.model_dump_json()]
    found = int(subprocess.run(words, check=True, capture_output=True, text=True, timeout=500).stdout)
    assert found < 12 * 2**20, "30 MB of text"
