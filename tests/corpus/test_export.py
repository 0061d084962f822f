"""Exported corpora, read by the programs that people read them with: the same rows as the Arrow files of the corpus."""

from __future__ import annotations

import gzip
import json
import lzma
import shutil
from pathlib import Path

import datasets
import duckdb
import polars
import pyarrow as pa
import pytest
from kill_at_mark import run_until_killed
from mined_corpus import SMALL, mined_row, random_mined, run_on, write_mined
from pyarrow import dataset as arrow_dataset
from pyarrow import parquet

from corpus.output import cc100_text
from corpus.output.arrow_files import read_batches
from corpus.output.card_configs import card, split_head
from corpus.output.corpus_folder import corpus_files, find_corpus
from corpus.output.export import export
from corpus.output.records import CORPUS
from pipeline.cli import main
from pipeline.errors import UsageError, XlmrError

CC_NET = [
    "url", "date_download", "digest", "length", "nlines", "source_domain", "title", "raw_content", "cc_segment",
    "original_nlines", "original_length", "line_ids", "language", "language_score", "perplexity", "bucket",
]  # fmt: skip


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of three languages, several files a bucket."""
    folder = tmp_path_factory.mktemp("export")
    run_on(random_mined(folder / "mined"), folder / "corpus", SMALL)
    return folder / "corpus"


@pytest.fixture(autouse=True)
def no_shared_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")


def rows(corpus: Path, *languages: str) -> list[dict]:
    files = corpus_files(corpus, languages)
    return [row for file in files for batch in read_batches(file.path) for row in batch.to_pylist()]


def by_url(some: list[dict]) -> list[dict]:
    return sorted(some, key=lambda row: row["url"])


@pytest.fixture(scope="session")
def as_parquet(corpus, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("parquet") / "out"
    export(corpus, out, to="parquet", workers=1)
    return out


@pytest.fixture(scope="session")
def as_jsonl(corpus, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("jsonl") / "out"
    export(corpus, out, to="jsonl", workers=1)
    return out


@pytest.fixture(scope="session")
def as_text(corpus, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("text") / "out"
    export(corpus, out, to="text", workers=1)
    return out


def test_parquet_by_pyarrow(corpus, as_parquet):
    for file in corpus_files(corpus):
        path = as_parquet / file.language / f"{file.path.stem}.parquet"
        table = parquet.read_table(path, partitioning=None)
        assert table.schema.equals(CORPUS)
        assert table.to_pylist() == [row for batch in read_batches(file.path) for row in batch.to_pylist()]
        assert parquet.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"
    whole = arrow_dataset.dataset(as_parquet, format="parquet", exclude_invalid_files=True).to_table()
    assert by_url(whole.to_pylist()) == by_url(rows(corpus))


def test_parquet_by_duckdb(corpus, as_parquet):
    found = duckdb.sql(f"select * from '{as_parquet}/de/*.parquet'").to_arrow_table().to_pylist()
    assert by_url(found) == by_url(rows(corpus, "de"))
    counted = dict(duckdb.sql(f"select language, count(*) from '{as_parquet}/*/*.parquet' group by all").fetchall())
    assert counted == {language: len(rows(corpus, language)) for language in ("de", "en", "fy")}


def test_parquet_by_polars(corpus, as_parquet):
    found = polars.scan_parquet(f"{as_parquet}/en/*.parquet").collect()
    assert by_url(found.to_dicts()) == by_url(rows(corpus, "en"))


@pytest.mark.parametrize("form", ["as_parquet", "as_jsonl"])
def test_one_language_by_datasets(corpus, form, request):
    folder = request.getfixturevalue(form)
    assert sorted(datasets.get_dataset_config_names(str(folder))) == ["de", "en", "fy"]
    for language in ("de", "fy"):
        found = datasets.load_dataset(str(folder), language, split="train")
        expected = by_url(rows(corpus, language))
        for name in ("url", "raw_content", "line_ids", "bucket", "length"):
            assert [row[name] for row in by_url(found.to_list())] == [row[name] for row in expected]
    streamed = datasets.load_dataset(str(folder), "de", split="train", streaming=True)
    assert by_url(list(streamed))[0]["raw_content"] == by_url(rows(corpus, "de"))[0]["raw_content"]


def test_jsonl_is_cc_nets(corpus, as_jsonl):
    for file in corpus_files(corpus):
        path = as_jsonl / f"{file.language}_{file.bucket}_{file.number:04d}.json.gz"
        found = [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode().split("\n")[:-1]]
        expected = [row for batch in read_batches(file.path) for row in batch.to_pylist()]
        assert len(found) == len(expected)
        for one, row in zip(found, expected, strict=True):
            without = {"perplexity"} if row["perplexity"] is None else set()
            assert list(one) == [name for name in CC_NET if name not in without]
            for name in one:
                assert one[name] == (pytest.approx(row[name], abs=1e-4) if isinstance(row[name], float) else row[name])
            assert one["language_score"] == 0.9, "the decimal that was rounded, not float32's"
    assert {p.name for p in as_jsonl.iterdir() if p.suffix == ".gz"} == {
        f"{f.language}_{f.bucket}_{f.number:04d}.json.gz" for f in corpus_files(corpus)
    }


def test_jsonl_by_duckdb_and_polars(corpus, as_jsonl):
    expected = {row["url"]: row["raw_content"] for row in rows(corpus, "en")}
    found = duckdb.sql(f"select url, raw_content from read_json('{as_jsonl}/en_*_*.json.gz')").fetchall()
    assert dict(found) == expected
    frame = polars.concat([polars.read_ndjson(path) for path in sorted(as_jsonl.glob("en_*.json.gz"))])
    assert dict(zip(frame["url"], frame["raw_content"], strict=True)) == expected


def test_the_corpus_itself_by_each_reader(corpus):
    path = next(corpus.glob("de/head-*.arrow"))
    expected = [row for batch in read_batches(path) for row in batch.to_pylist()]
    assert polars.read_ipc(path).to_dicts() == expected
    with duckdb.connect() as connection:
        connection.register("corpus", arrow_dataset.dataset(path, format="ipc"))
        found = connection.sql("select count(*), sum(length) from corpus").fetchall()
    assert found == [(len(expected), sum(row["length"] for row in expected))]
    loaded = datasets.load_dataset("arrow", data_files=[str(path)], split="train")
    assert loaded["raw_content"] == [row["raw_content"] for row in expected]


def unpacked(path: Path) -> bytes:
    return lzma.decompress(path.read_bytes())


def read_text(path: Path) -> list[list[str]]:
    """The documents of a file of the CC100 release, plainly: a paragraph a line, a blank line between documents."""
    documents: list[list[str]] = [[]]
    with lzma.open(path, "rt", encoding="utf-8", newline="\n") as lines:
        for line in lines:
            assert line.endswith("\n")
            if line == "\n":
                documents.append([])
            else:
                documents[-1].append(line[:-1])
    return documents


def test_text_is_that_of_the_release(corpus, as_text):
    for language in ("de", "en", "fy"):
        expected = [[line for line in row["raw_content"].split("\n") if line] for row in rows(corpus, language)]
        assert read_text(as_text / f"{language}.txt.xz") == expected
    assert sorted(p.name for p in as_text.iterdir() if not p.name.startswith(".")) == [
        "README.md", "de.txt.xz", "en.txt.xz", "fy.txt.xz",
    ]  # fmt: skip


def test_text_by_datasets(corpus, as_text):
    found = datasets.load_dataset("text", data_files=str(as_text / "de.txt.xz"), sample_by="paragraph", split="train")
    *others, last = found["text"]
    assert [*others, last.removesuffix("\n")] == [row["raw_content"] for row in rows(corpus, "de")]


def test_empty_lines_end_no_document(tmp_path):
    (tmp_path / "mined").mkdir()
    texts = ["\n\none\n\n\ntwo\n", "\n", "three", "four\n\nfive"]
    write_mined(tmp_path / "mined/a.arrow", [[mined_row("fy", t, None, n) for n, t in enumerate(texts)]])
    run_on(tmp_path / "mined", tmp_path / "corpus", SMALL)
    export(tmp_path / "corpus", tmp_path / "out", to="text", workers=1)
    assert unpacked(tmp_path / "out/fy.txt.xz") == b"one\ntwo\n\nthree\n\nfour\nfive\n"


def test_blocks_are_joined_in_order(corpus, as_text, tmp_path, monkeypatch):
    monkeypatch.setattr(cc100_text, "BATCHES_AT_ONCE", 1)
    export(corpus, tmp_path / "out", to="text", workers=1)
    for language in ("de", "en", "fy"):
        small, usual = (unpacked(folder / f"{language}.txt.xz") for folder in (tmp_path / "out", as_text))
        assert small == usual
    assert (tmp_path / "out/de.txt.xz").read_bytes() != (as_text / "de.txt.xz").read_bytes()


def visible(folder: Path) -> dict[str, bytes]:
    files = (p for p in sorted(folder.rglob("*")) if p.is_file())
    return {n: p.read_bytes() for p in files if not (n := p.relative_to(folder).as_posix()).startswith(".")}


@pytest.mark.slow
@pytest.mark.parametrize("form", ["parquet", "jsonl", "text"])
def test_workers_change_nothing(corpus, form, request, tmp_path):
    export(corpus, tmp_path / "out", to=form, workers=3)
    assert visible(tmp_path / "out") == visible(request.getfixturevalue(f"as_{form}"))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["parquet", "text"])
def test_kill_in_the_middle_and_go_on(corpus, form, request, tmp_path):
    code = (
        "from pathlib import Path; from corpus.output.export import export\n"
        "export(Path(sys.argv[1]), Path(sys.argv[2]), to=sys.argv[3], workers=1)\n"
    )
    out = tmp_path / "out"
    run_until_killed(code, corpus, out, form)
    assert len(list(out.rglob(".shards/*.json"))) == 1
    whole = visible(request.getfixturevalue(f"as_{form}"))
    half = visible(out)
    assert half.items() < whole.items(), "what is to be seen is whole, and something is missing"
    export(corpus, out, to=form, workers=1)
    assert visible(out) == whole


def test_languages_are_added_and_nothing_is_written_twice(corpus, as_parquet, tmp_path):
    out = tmp_path / "out"
    export(corpus, out, to="parquet", language=("de",), workers=1)
    assert sorted(p.name for p in out.iterdir() if p.is_dir() and p.name[0] != ".") == ["de"]
    assert datasets.get_dataset_config_names(str(out)) == ["de"]
    times = {p: p.stat().st_mtime_ns for p in out.glob("de/*")}
    export(corpus, out, to="parquet", language=("fy",), workers=1)
    assert sorted(p.name for p in out.iterdir() if p.is_dir() and p.name[0] != ".") == ["de", "fy"]
    export(corpus, out, to="parquet", workers=1)
    assert visible(out) == visible(as_parquet)
    assert {p: p.stat().st_mtime_ns for p in times} == times


def test_buckets_can_be_chosen(corpus, tmp_path):
    export(corpus, tmp_path / "out", to="parquet", bucket=("head",), workers=1)
    assert {p.name.partition("-")[0] for p in (tmp_path / "out").glob("*/*.parquet")} == {"head"}
    with pytest.raises(UsageError, match="was made with another buckets; name a new folder"):
        export(corpus, tmp_path / "out", to="parquet", bucket=("tail",), workers=1)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--to", "parquet", "--language", "xx"], "has no language xx; it has de, en, fy"),
        (["--to", "text", "--bucket", "best"], "has no bucket best; it has all, head, middle, tail"),
        (["--to", "text", "--level", "12"], "--level 12: text takes 0 to 9"),
        (["--to", "csv"], "csv"),
        (["--to", "jsonl", "--workers", "0"], "--workers 0: must be at least 1"),
    ],
)
def test_mistakes_get_one_line(corpus, tmp_path, capsys, words, line):
    assert main(["corpus", "export", str(corpus), str(tmp_path / "out"), *words]) == 2
    message = capsys.readouterr().err
    assert line in message
    assert message.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_command_writes_what_the_function_does(corpus, as_jsonl, tmp_path, capsys):
    assert main(["corpus", "export", str(corpus), str(tmp_path / "out"), "--to", "jsonl", "--workers", "1"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out'}\n"
    assert visible(tmp_path / "out") == visible(as_jsonl)


def test_a_folder_of_something_else_is_left_alone(corpus, tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(UsageError, match="is not empty and not made by this command"):
        export(corpus, tmp_path, to="parquet", workers=1)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_finding_a_corpus(corpus, done, tmp_path):
    assert find_corpus(corpus) == corpus
    made = done.output("corpus.regroup")
    project = tmp_path / "runs" / "c"  # alone: other tests leave other corpora in the shared run
    shutil.copytree(made, project / "corpus.regroup" / made.name)
    assert find_corpus(project) == project / "corpus.regroup" / made.name
    with pytest.raises(UsageError, match="holds no complete corpus"):
        find_corpus(tmp_path)
    shutil.copytree(done.output("corpus.regroup"), tmp_path / "made again")
    assert find_corpus(tmp_path / "made again") == tmp_path / "made again"
    (tmp_path / "made again/manifest.json").unlink()  # the first thing that the next run of the stage does
    with pytest.raises(XlmrError, match="this corpus is not complete"):
        find_corpus(tmp_path / "made again")
    with pytest.raises(UsageError, match="no such file or folder"):
        find_corpus(tmp_path / "nothing")


def test_a_corpus_that_is_damaged_is_named(corpus, tmp_path):
    whole = next(corpus.glob("de/head-*.arrow")).read_bytes()
    (tmp_path / "corpus/de").mkdir(parents=True)
    (tmp_path / "corpus/counts.json").write_text("{}")
    (tmp_path / "corpus/de/head-00000.arrow").write_bytes(whole[:-100])
    with pytest.raises(XlmrError, match=r"head-00000\.arrow: not a complete Arrow file"):
        export(tmp_path / "corpus", tmp_path / "out", to="parquet", workers=1)


def test_the_head_of_a_card_keeps_what_it_said():
    before = "---\nlicense: other\nlanguage: [de]\n---\n\n# Mine\n\n---\nnot a head\n"
    head, body = split_head(card(before, {"no": ["no/all-*.parquet"]}))
    assert head == {
        "license": "other",
        "language": ["de"],
        "configs": [{"config_name": "no", "data_files": [{"split": "train", "path": ["no/all-*.parquet"]}]}],
    }
    assert body == "\n# Mine\n\n---\nnot a head\n"
    assert split_head("# no head\n") == ({}, "# no head\n")


def test_corpora_from_before_the_scores_of_lines_are_exported_too(corpus, tmp_path):
    table = pa.ipc.open_file(str(next(corpus.glob("de/head-*.arrow")))).read_all()
    (tmp_path / "corpus/de").mkdir(parents=True)
    (tmp_path / "corpus/counts.json").write_text("{}")
    older = table.drop_columns(["line_scores", "line_perplexities"])
    with pa.ipc.new_file(str(tmp_path / "corpus/de/head-00000.arrow"), older.schema) as writer:
        writer.write_table(older)
    export(tmp_path / "corpus", tmp_path / "out", to="parquet", workers=1)
    found = parquet.read_table(tmp_path / "out/de/head-00000.parquet", partitioning=None)
    assert found.to_pylist() == table.to_pylist()
