"""A corpus minified, and rebuilt out of the crawl: the same bytes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from corpus_crawl import wet_file, wet_record
from hypothesis import given
from hypothesis import strategies as st
from kill_at_mark import run_until_killed
from mined_corpus import SMALL, contents, context_for, mined_row, random_mined, rows_of, run_on, write_mined
from minified_corpus import MASKS, paragraph_row
from pyarrow import parquet

from corpus.minify import segments
from corpus.minify.minified import INDEX, Minified
from corpus.minify.minify import minify
from corpus.minify.reproduce import reproduce
from corpus.minify.segments import order_of
from corpus.output import regroup
from corpus.output.settings import Regroup
from corpus.settings import RegroupStage
from pipeline.cli import main
from pipeline.errors import UsageError, XlmrError
from pipeline.storage import read_json


def test_the_rebuilt_corpus_is_byte_for_byte_the_corpus(made, tmp_path):
    reproduce(made.minified, str(made.crawl), tmp_path / "out", workers=1)
    assert len(contents(made.corpus)) > 20
    assert contents(tmp_path / "out") == contents(made.corpus)
    assert (tmp_path / "out/counts.json").read_bytes() == (made.corpus / "counts.json").read_bytes()
    counts = read_json(tmp_path / "out/reproduced.json")
    assert (counts["gone"], counts["changed"], counts["unchecked"]) == (0, 0, 0)
    assert (tmp_path / "out/missing.jsonl").read_text() == ""
    assert not (tmp_path / "out/.rebuilt").exists()


def test_every_column_comes_back(made, tmp_path):
    """Said once more by value, so that a fault in the writer cannot hide one in the columns."""
    reproduce(made.minified, str(made.crawl), tmp_path / "out", workers=1)
    for path in sorted(made.corpus.glob("*/*.arrow")):
        assert rows_of(tmp_path / "out" / path.relative_to(made.corpus)) == rows_of(path)


def test_what_is_minified_is_in_the_order_of_the_crawl_and_small(made):
    minified = Minified.open(made.minified)
    names = [segment.name for segment in minified.segments]
    assert names == sorted(path.name for path in made.crawl.iterdir())
    corpus = {(r["url"], r["cc_segment"]): r for p in made.corpus.glob("*/*.arrow") for r in rows_of(p)}
    found = 0
    for segment in minified.segments:
        rows = list(minified.rows(segment))
        assert len(rows) == segment.rows
        for row in rows:
            one = corpus[row["url"], row["cc_segment"]]
            assert row["cc_segment"] == segment.name
            assert all(row[name] == one[name] for name in row.keys() & one.keys())
            assert len(row["line_checks"]) == 2 * len(row["line_ids"])
            found += 1
    assert found == len(corpus)
    counts = read_json(made.minified / INDEX)["counts"]
    assert counts["minified_bytes"] == sum(p.stat().st_size for p in made.minified.glob("*.parquet"))
    assert counts["minified_bytes"] < counts["corpus_bytes"] / 3
    assert counts["documents"] == len(corpus)


@pytest.mark.slow
def test_workers_and_parts_change_nothing(made, tmp_path, monkeypatch):
    monkeypatch.setattr(segments, "PART_ROWS", 50)
    minify(made.corpus, tmp_path / "m", workers=1)
    assert len(list((tmp_path / "m").glob("part-*.parquet"))) == len(Minified.open(made.minified).segments) > 1
    monkeypatch.undo()
    minify(made.corpus, tmp_path / "three", workers=3)
    one = {p.name: p.read_bytes() for p in made.minified.glob("[!.]*")}
    assert {p.name: p.read_bytes() for p in (tmp_path / "three").glob("[!.]*")} == one
    reproduce(tmp_path / "m", str(made.crawl), tmp_path / "out", workers=3)
    assert contents(tmp_path / "out") == contents(made.corpus)


@pytest.mark.slow
def test_kill_in_the_middle_and_go_on(made, tmp_path):
    code = (
        "from pathlib import Path; from corpus.minify.reproduce import reproduce\n"
        "reproduce(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), workers=1)\n"
    )
    out = tmp_path / "out"
    run_until_killed(code, made.minified, made.crawl, out, folder=".rebuilt")
    assert not (out / "reproduced.json").exists()
    assert len(list(out.glob(".rebuilt/.shards/*.json"))) == 1
    reproduce(made.minified, str(made.crawl), out, workers=1)
    assert contents(out) == contents(made.corpus)


def test_by_paragraphs_with_the_title_as_line_0_and_rows_that_share_a_document(tmp_path):
    lines = ["Der Titel", "one line of English", "eine Zeile", "noch eine Zeile", "one more line"]
    segment = tmp_path / "crawl/a.warc.wet.gz"
    segment.parent.mkdir()
    wet_file(segment, *(wet_record(n, "\n".join(lines) + "\n") for n in range(3)))
    rows = [
        [paragraph_row(segment, n, "de", [0, 2, 3], lines) for n in range(3)],
        [paragraph_row(segment, n, "en", [1, 4], lines) for n in range(3)],
    ]
    (tmp_path / "mined").mkdir()
    write_mined(tmp_path / "mined/a.arrow", rows)
    run_on(tmp_path / "mined", tmp_path / "corpus", SMALL)
    minify(tmp_path / "corpus", tmp_path / "m", workers=1)
    reproduce(tmp_path / "m", str(tmp_path / "crawl"), tmp_path / "out", workers=1)
    assert [row["line_perplexities"] for row in rows_of(tmp_path / "out/en/head-00000.arrow")] == [[None, 40.0]] * 3
    for name in ("de/middle-00000.arrow", "en/head-00000.arrow"):
        assert rows_of(tmp_path / "out" / name) == rows_of(tmp_path / "corpus" / name)


def test_more_lines_than_16_bits_can_number(tmp_path):
    """What cc_net cannot: 70,000 lines, all but some of them kept."""
    lines = ["title", *(f"line {n}" for n in range(70_000))]
    segment = tmp_path / "crawl/a.warc.wet.gz"
    segment.parent.mkdir()
    wet_file(segment, wet_record(1, "\n".join(lines) + "\n"))
    ids = [*range(0, 20_000, 7), *range(32_700, 33_000), 65_535, 65_536, 69_999]
    row = {
        **mined_row("fy", "\n".join(lines[1:][i] for i in ids), None, 1),
        "url": "https://example.org/1", "digest": "sha1:X1", "title": "title", "cc_segment": str(segment),
        "line_ids": ids, "original_nlines": 70_000, "original_length": len("\n".join(lines)) + 1,
    }  # fmt: skip
    (tmp_path / "mined").mkdir()
    write_mined(tmp_path / "mined/a.arrow", [[row]])
    run_on(tmp_path / "mined", tmp_path / "corpus", SMALL)
    minify(tmp_path / "corpus", tmp_path / "m", workers=1)
    reproduce(tmp_path / "m", str(tmp_path / "crawl"), tmp_path / "out", workers=1)
    assert rows_of(tmp_path / "out/fy/all-00000.arrow") == rows_of(tmp_path / "corpus/fy/all-00000.arrow")


@given(st.lists(st.lists(st.sampled_from("abcdef"), max_size=6, unique=True), max_size=4), st.randoms())
def test_an_order_of_segments_agrees_with_every_stream(streams, rng):
    hidden = list("abcdef")
    rng.shuffle(hidden)
    streams = [sorted(stream, key=hidden.index) for stream in streams]
    order = order_of(streams)
    assert sorted(order) == sorted({name for stream in streams for name in stream})
    for stream in streams:
        places = [order.index(name) for name in stream]
        assert places == sorted(places)


def test_rows_of_a_crawl_that_was_not_read_by_name_keep_their_order(tmp_path):
    """Two dumps, the later one first."""
    (tmp_path / "crawl").mkdir()
    batches = []
    for name in ("z.gz", "a.gz"):
        wet_file(tmp_path / "crawl" / name, *(wet_record(n, f"t\n{name} {n}\n") for n in range(4)))
        for n in range(4):
            text = f"{name} {n}"
            row = mined_row("fy", text, None, n)
            place = {"url": f"https://example.org/{n}", "digest": f"sha1:X{n}", "title": "t", "original_nlines": 1}
            row |= {**place, "cc_segment": str(tmp_path / "crawl" / name), "original_length": len(text) + 3}
            batches.append([row])
    (tmp_path / "mined").mkdir()
    write_mined(tmp_path / "mined/a.arrow", batches)
    run_on(tmp_path / "mined", tmp_path / "corpus", SMALL)
    minify(tmp_path / "corpus", tmp_path / "m", workers=1)
    assert [Path(s.name).name for s in Minified.open(tmp_path / "m").segments] == ["z.gz", "a.gz"]
    reproduce(tmp_path / "m", str(tmp_path / "crawl"), tmp_path / "out", workers=1)
    assert rows_of(tmp_path / "out/fy/all-00000.arrow") == rows_of(tmp_path / "corpus/fy/all-00000.arrow")


def test_a_masked_corpus_is_masked_again(done, small, tmp_path):
    done.run(*MASKS, until="corpus.mine")
    inputs = {"corpus.mine": done.output("corpus.mine", *MASKS), "corpus.cutoffs": done.output("corpus.cutoffs")}
    corpus = tmp_path / "corpus"
    regroup.run(RegroupStage.model_construct(regroup=Regroup()), inputs, corpus, context_for(corpus))
    assert any("<mail>" in row["raw_content"] for path in corpus.glob("*/*.arrow") for row in rows_of(path))
    minify(corpus, tmp_path / "m", workers=1)
    reproduce(tmp_path / "m", str(small / "crawl"), tmp_path / "out", workers=1)
    assert contents(tmp_path / "out") == contents(corpus)
    assert (tmp_path / "out/masks.json").read_bytes() == (corpus / "masks.json").read_bytes()


def test_a_stream_with_a_segment_in_two_places_is_refused():
    with pytest.raises(XlmrError, match="are in several places of one language and bucket"):
        order_of([["a", "b", "a"]])


def test_text_and_line_ids_that_disagree_are_refused(tmp_path):
    (tmp_path / "mined").mkdir()
    write_mined(tmp_path / "mined/a.arrow", [[{**mined_row("fy", "one\ntwo", None), "line_ids": [1]}]])
    run_on(tmp_path / "mined", tmp_path / "corpus", SMALL)
    with pytest.raises(XlmrError, match="has 2 lines and 1 line_ids"):
        minify(tmp_path / "corpus", tmp_path / "m", workers=1)


def test_commands(made, tmp_path, capsys):
    assert main(["corpus", "minify", str(made.corpus), str(tmp_path / "m"), "--workers", "1"]) == 0
    assert "bytes a document; the corpus has" in capsys.readouterr().err
    words = ["corpus", "reproduce", str(tmp_path / "m"), str(made.crawl), str(tmp_path / "out"), "--workers", "1"]
    assert main(words) == 0
    assert "every line checked" in capsys.readouterr().err
    assert main(words) == 0, "nothing to do any more"
    assert contents(tmp_path / "out") == contents(made.corpus)
    assert main([*words[:2], str(tmp_path / "nothing"), *words[3:]]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_a_minified_corpus_that_is_not_complete_is_refused(made, tmp_path):
    shutil.copytree(made.minified, tmp_path / "m")
    (tmp_path / "m" / INDEX).unlink()
    with pytest.raises(UsageError, match="not a complete minified corpus"):
        reproduce(tmp_path / "m", str(made.crawl), tmp_path / "out", workers=1)


def test_random_corpora_keep_every_row(tmp_path):
    corpus = random_mined(tmp_path / "mined", seed=3)
    run_on(corpus, tmp_path / "corpus", SMALL)
    minify(tmp_path / "corpus", tmp_path / "m", workers=1)
    table = parquet.read_table(tmp_path / "m/part-00000.parquet")
    urls = [row["url"] for p in (tmp_path / "corpus").glob("*/*.arrow") for row in rows_of(p)]
    assert sorted(table["url"].to_pylist()) == sorted(urls)
    assert table.schema.field("line_ids").type == pa.list_(pa.int32())


@pytest.mark.parametrize("by_paragraph", [True, False])
def test_a_first_line_that_repeats_the_title_is_not_taken_for_it(tmp_path, by_paragraph):
    """Both readings of line 0 pass every checksum; which is meant shows in how many lines the document has."""
    lines = ["Gleich", "Gleich", "anders"]
    segment = tmp_path / "crawl/a.warc.wet.gz"
    segment.parent.mkdir()
    wet_file(segment, wet_record(1, "\n".join(lines) + "\n"))
    row = paragraph_row(segment, 1, "de", [0], lines)
    if not by_paragraph:
        row |= {"line_scores": None, "line_perplexities": None, "original_nlines": 2}
    (tmp_path / "mined").mkdir()
    write_mined(tmp_path / "mined/a.arrow", [[row]])
    run_on(tmp_path / "mined", tmp_path / "corpus", SMALL)
    minify(tmp_path / "corpus", tmp_path / "m", workers=1)
    reproduce(tmp_path / "m", str(tmp_path / "crawl"), tmp_path / "out", workers=1)
    assert rows_of(tmp_path / "out/de/middle-00000.arrow") == rows_of(tmp_path / "corpus/de/middle-00000.arrow")
