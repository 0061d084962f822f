"""The fast path against the plain twin, on random text of every script and on the embedded crawl."""

from __future__ import annotations

import json
from pathlib import Path

import fasttext
import kenlm
import numpy as np
import plain_ccnet as plain
import pyarrow as pa
import pytest
import sentencepiece
from corpus_crawl import wet_file, wet_record
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.crawl.tally import Tally
from corpus.crawl.wet import read_documents, split_lines
from corpus.duplicates.hash import first_in_document, hash_lines
from corpus.language.model_file import model_path
from corpus.normalise import ASCII_LOOK_ALIKES, normalise_for_language_model
from corpus.output.records import CORPUS
from corpus.output.regroup import bucket_of

SPECIAL = "".join(ASCII_LOOK_ALIKES) + "ΣσςİIıẞßＡ０٣१\x00\x1f\x7f\x85\x9f\u00a0\u2028\u3000é̂가힣"
texts = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from(SPECIAL)), max_size=60)
lines = texts.map(lambda text: text.replace("\n", " ").replace("\r", " ").strip())


@settings(max_examples=500, deadline=None)
@given(st.lists(lines, max_size=20))
def test_line_hashes(some):
    assert hash_lines(some).tolist() == [plain.hash_of(line) for line in some]


def test_the_hash_of_nothing():
    assert hash_lines(["", "—…"]).tolist() == [0x0D4B6B5EEEA339DA] * 2


@settings(max_examples=500, deadline=None)
@given(texts)
def test_normalisation_for_the_language_model(text):
    assert normalise_for_language_model(text) == plain.normalise_for_language_model(text)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(st.integers(0, 5), max_size=8), max_size=8))
def test_first_of_each_hash_in_each_document(documents):
    flat = np.array([h for document in documents for h in document], np.uint64)
    owner = np.repeat(np.arange(len(documents)), [len(document) for document in documents])
    expected = [h not in document[:i] for document in documents for i, h in enumerate(document)]
    assert first_in_document(flat, owner).tolist() == expected


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("ab \n\r\t\x85\u2028"), max_size=30))
def test_lines_of_a_record(tmp_path_factory, text):
    """The plain twin reads the file as cc_net does; ``split_lines`` has the record's text alone."""
    path = wet_file(tmp_path_factory.mktemp("wet") / "one.gz", wet_record(1, text))
    (expected,) = plain.parse(path, 0)
    found = split_lines(text)
    assert (found[0] if found else "") == expected["title"]
    assert "\n".join(found[1:]) == expected["raw_content"]


@given(st.lists(st.one_of(st.none(), st.integers(0, 100).map(lambda n: n / 10)), min_size=1), st.integers(0, 100))
def test_buckets(values, cut_at):
    cutoffs = (cut_at / 10, cut_at / 10 + 2)
    found = bucket_of(pa.array(values, pa.float32()), cutoffs).to_pylist()
    assert found == [plain.bucket(value, cutoffs) for value in values]
    assert set(bucket_of(pa.array(values, pa.float32()), None).to_pylist()) == {"all"}


def read_corpus(folder: Path) -> dict[str, dict]:
    """Every record of the corpus, by URL and segment."""
    found = {}
    for path in sorted(folder.rglob("*.arrow")):
        with pa.memory_map(str(path)) as source:
            for record in pa.ipc.open_file(source).read_all().to_pylist():
                assert path.parent.name == record["language"]
                assert path.name.startswith(record["bucket"] + "-")
                key = (record["url"], record["cc_segment"])
                assert key not in found
                found[key] = record
    return found


def test_every_field_of_every_document_equals_the_plain_twin(small, done):
    """Parse, deduplicate, identify, score, cut: the whole of cc_net on the small crawl, document by document."""
    files = sorted((small / "crawl").iterdir())
    documents = [document for path in files for document in plain.parse(path, 300)]
    duplicates = plain.find_duplicates(documents)
    deduplicated = [d for document in documents if (d := plain.drop_duplicates(document, duplicates))]
    model = fasttext.load_model(str(model_path("lid.176.ftz")))
    identified = [d for document in deduplicated if (d := plain.identify(document, model, 0.5))]
    assert len(documents) > len(deduplicated) > len(identified) > 100

    models = done.output("corpus.language_models")
    cutoffs = json.loads((done.output("corpus.cutoffs") / "cutoffs.json").read_text())
    loaded = {
        language: (
            sentencepiece.SentencePieceProcessor(model_file=str(models / f"{language}.sp.model")),
            kenlm.Model(str(models / f"{language}.arpa.bin")),
        )
        for language in ("de", "en")
    }
    expected = {}
    for document in identified:
        language = document["language"]
        value = plain.perplexity(document["raw_content"], *loaded[language]) if language in loaded else None
        bucket = plain.bucket(value, cutoffs.get(language))
        expected[document["url"], document["cc_segment"]] = {
            **document,
            "perplexity": value,
            "bucket": bucket,
        }

    found = read_corpus(done.output("corpus.regroup"))
    assert found.keys() == expected.keys()
    assert {record["bucket"] for record in found.values()} == {"head", "middle", "tail", "all"}
    for key, record in expected.items():
        assert list(found[key]) == CORPUS.names
        for name, value in record.items():
            same = pytest.approx(value, rel=1e-6) if isinstance(value, float) else value
            assert found[key][name] == same, (key, name)


def test_the_counts_are_those_of_the_corpus(done):
    counts = json.loads((done.output("corpus.regroup") / "counts.json").read_text())
    found = read_corpus(done.output("corpus.regroup")).values()
    for record in found:
        language, bucket = record["language"], record["bucket"]
        counts["documents"][language][bucket] -= 1
        counts["characters"][language][bucket] -= len(record["raw_content"])
        counts["bytes"][language][bucket] -= len(record["raw_content"].encode())
    assert {n for rows in counts.values() for row in rows.values() for n in row.values()} == {0}


def test_a_narrow_window_keeps_more(small, fresh):
    words = ("--corpus.duplicates.window", "1")
    fresh.run(*words, until="corpus.mine")
    fresh.run(until="corpus.mine")
    narrow = sum(
        pa.ipc.open_file(str(p)).read_all().num_rows for p in fresh.output("corpus.mine", *words).glob("*.arrow")
    )
    wide = sum(pa.ipc.open_file(str(p)).read_all().num_rows for p in fresh.output("corpus.mine").glob("*.arrow"))
    assert narrow > wide


def test_the_identifier_ships_with_us():
    assert model_path("lid.176.ftz").stat().st_size == 938_013


def test_documents_are_read_in_order(small):
    tally = Tally()
    files = [str(path) for path in sorted((small / "crawl").iterdir())]
    found = [document.url for document in read_documents(files, 0, 2**24, tally)]
    assert found == [d["url"] for path in files for d in plain.parse(Path(path), 0)]
    assert (tally.bad, tally.records) == (0, len(found))
