"""Cut-offs: percentiles of documents or paragraphs, and the tables they are written to and read from."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from corpus.output.records import MINED
from corpus.perplexity.cutoff_table import cutoffs_of, read_cutoffs, rows_of
from corpus.perplexity.cutoffs import sample_perplexities
from pipeline.context import Context
from pipeline.errors import XlmrError
from pipeline.log import EventLog

CC_NET = ",de,en,xx\n0,10.5,11,\n30,310.5,402.25,\n60,620.1,800,\n99,9000,9999,\n"
"""The form of cc_net's cutoff.csv: percentiles down, languages across."""


def test_tables_that_are_read(tmp_path):
    expected = {"de": (310.5, 620.1), "en": (402.25, 800.0)}
    (tmp_path / "cutoff.csv").write_text(CC_NET)
    (tmp_path / "plain.json").write_text('{"de": [310.5, 620.1], "en": [402.25, 800]}')
    rows = {"de": {"head": 310.5, "middle": 620.1, "sample": 9}, "en": {"head": 402.25, "middle": 800.0}}
    (tmp_path / "table.json").write_text(json.dumps({"percentiles": {}, "languages": rows}))
    for name in ("cutoff.csv", "plain.json", "table.json", ""):
        assert read_cutoffs(tmp_path / name) == expected
    assert read_cutoffs(tmp_path / "cutoff.csv", (0, 99.0))["de"] == (10.5, 9000)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", CC_NET.replace("\n30", "\n31"), "has no row of percentile 30, only 0, 31, 60, 99"),
        ("a.csv", CC_NET.replace("620.1", "62.1"), "de needs two ascending numbers"),
        ("a.csv", CC_NET.replace("620.1", "inf"), "de needs two ascending numbers"),
        ("a.csv", CC_NET.replace("de", "../de"), "../de needs two ascending numbers"),
        ("a.csv", CC_NET.replace("310.5", "many"), "not a table of cut-offs"),
        ("a.csv", "", "not a table of cut-offs"),
        ("a.csv", ",de\n30\n60\n", "not a table of cut-offs"),
        ("a.csv", "\xff\x00", "a.csv"),
        ("a.json", "[1]", "not a table of cut-offs"),
        ("a.json", '{"de": [5, 3]}', "de needs two ascending numbers"),
        ("a.json", '{"de": [1, 1' + "0" * 400 + "]}", "de needs two ascending numbers"),
        ("a.json", '{"de": [1, NaN]}', "de needs two ascending numbers"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.json", '{"de": [true, 3]}', "de needs two ascending numbers"),
        ("a.json", '{"de": ["a", 3]}', "de needs two ascending numbers"),
        ("a.json", '{"languages": {"de": {"head": 1}}}', "de needs two ascending numbers"),
        ("a.json", '{"languages": {"de": 7}}', "de needs two ascending numbers"),
    ],
)
def test_tables_that_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(XlmrError) as caught:
        read_cutoffs(tmp_path / name)
    assert message in str(caught.value)


def write_mined(folder, name, batches, paragraphs=True):
    """Files of corpus.mine with these (language, perplexities, line_perplexities) as record batches."""
    schema = pa.schema([field for field in MINED if field.name != "line_perplexities"])
    if paragraphs:
        schema = schema.append(pa.field("line_perplexities", pa.list_(pa.float32())))
    with pa.ipc.new_file(str(folder / f"{name}.arrow"), schema) as writer:
        for language, perplexities, lines in batches:
            rows = [
                {"language": language, "perplexity": value, "line_perplexities": parts}
                for value, parts in zip(perplexities, lines or [None] * len(perplexities), strict=True)
            ]
            writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))
    (folder / f"{name}.languages.json").write_text(json.dumps([language for language, _, _ in batches]))


@pytest.fixture
def sample(tmp_path):
    context = Context("corpus.cutoffs", tmp_path, 1, EventLog(tmp_path / "log.jsonl"))

    def read(most=1000):
        return {language: values.tolist() for language, values in sample_perplexities(tmp_path, most, context).items()}

    return read


def test_sample_of_documents(tmp_path, sample):
    write_mined(tmp_path, "b", [("de", [3.3, None, 4.4], None)], paragraphs=False)
    write_mined(tmp_path, "a", [("de", [1.1, 2.2], None), ("xx", [None], None), ("en", [9.0], None)])
    assert sample() == {"de": [1.1, 2.2, 3.3, 4.4], "en": [9.0]}
    assert sample(3) == {"de": [1.1, 2.2, 3.3], "en": [9.0]}


def test_sample_of_paragraphs_where_they_were_scored(tmp_path, sample):
    write_mined(
        tmp_path,
        "a",
        [("de", [5.0, 6.0, None], [[1.0, None, 2.5], [3.0, float("nan")], None]), ("en", [7.0, 8.0], None)],
    )
    assert sample() == {"de": [1.0, 2.5, 3.0], "en": [7.0, 8.0]}


def test_table_has_its_provenance_and_is_read_back(done, fresh):
    output = done.output("corpus.cutoffs")
    table = json.loads((output / "table.json").read_text())
    cutoffs = json.loads((output / "cutoffs.json").read_text())
    assert read_cutoffs(output) == {language: tuple(pair) for language, pair in cutoffs.items()}
    models = json.loads((done.output("corpus.language_models") / "manifest.json").read_text())["files"]
    perplexities = sample_perplexities(
        done.output("corpus.mine"), 10**6, Context("x", done.folder, 1, EventLog(done.folder / "x.jsonl"))
    )
    assert set(table["languages"]) == {"de", "en"}
    for language, row in table["languages"].items():
        assert [row["head"], row["middle"]] == np.percentile(perplexities[language], [30, 60]).tolist()
        assert row["sample"] == len(perplexities[language])
        assert row["models"] == {end: models[f"{language}.{end}"]["sha256"] for end in ("arpa.bin", "sp.model")}
    assert table["percentiles"] == {"head": 30.0, "middle": 60.0}
    assert (table["given"], table["crawl"]["files"]) == (False, 3)
    fresh.run(until="corpus.cutoffs")
    again = fresh.output("corpus.cutoffs") / "table.json"
    assert again.read_bytes() == (output / "table.json").read_bytes()  # another folder, another time

    words = ("--corpus.perplexity.cutoffs", str(output / "table.json"))
    fresh.run(*words, until="corpus.cutoffs")
    assert json.loads((fresh.output("corpus.cutoffs", *words) / "cutoffs.json").read_text()) == cutoffs


def test_a_language_in_one_script_has_the_cut_offs_and_models_of_the_language(done):
    table = {"zh": (1.0, 2.0), "sr": (3.0, 4.0), "sr-Latn": (5.0, 6.0)}
    assert [cutoffs_of(language, table) for language in ("zh-Hant", "zh", "sr-Latn", "sr-Cyrl", "my_zaw")] == [
        (1.0, 2.0), (1.0, 2.0), (5.0, 6.0), (3.0, 4.0), None,
    ]  # fmt: skip
    inputs = {"corpus.language_models": done.output("corpus.language_models")}
    rows = rows_of({"de": (1, 2), "de-Latn": (1, 2), "fr": (1, 2)}, {}, inputs)
    assert rows["de-Latn"]["models"] == rows["de"]["models"] is not None
    assert rows["fr"]["models"] is None
